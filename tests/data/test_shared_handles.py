from minicaffe.data.engines.shared_handles import SharedHandles


class Handle:
    def __init__(self):
        self.is_open = True

    def close(self):
        self.is_open = False


def test_users_of_one_file_share_its_handle(tmp_path):
    file = tmp_path / "file"
    file.touch()
    handles = SharedHandles()
    (first, id_), (second, same) = (handles.take(file, Handle) for _ in range(2))
    assert first is second
    assert id_ == same
    handles.give_back(id_)
    assert first.is_open
    handles.drop(id_)
    assert not first.is_open
    assert handles.take(file, Handle)[0].is_open


def test_a_file_of_the_same_name_is_another_one(tmp_path):
    file = tmp_path / "file"
    file.touch()
    handles = SharedHandles()
    old, id_ = handles.take(file, Handle)
    file.rename(tmp_path / "held")
    file.touch()
    new, _ = handles.take(file, Handle)
    handles.give_back(id_)
    assert (old.is_open, new.is_open) == (False, True)


def test_what_is_dropped_while_another_is_opened_is_closed_later(tmp_path):
    """The garbage collector runs in any thread, also in one that holds the lock."""
    handles = SharedHandles()
    for name in ("a", "b"):
        (tmp_path / name).touch()
    first, id_ = handles.take(tmp_path / "a", Handle)

    def opened():
        handles.drop(id_)
        return Handle()

    _, other = handles.take(tmp_path / "b", opened)
    handles.give_back(other)
    assert not first.is_open
