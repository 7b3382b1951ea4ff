"""Damaged databases: an error that names the database, or all records; never fewer, no crash."""

import random
import shutil
from pathlib import Path

import lmdb
import pytest

from minicaffe.data.db import create_database, open_database
from minicaffe.data.engines import leveldb_log, lmdb_tree
from minicaffe.errors import DataError

PAGE = 4096


def records(n, size):
    return [(b"%08d" % i, bytes([i % 251]) * (size + i % 7)) for i in range(n)]


def write(path, content, backend="LMDB"):
    with create_database(str(path), backend) as new:
        for key, value in content:
            new.put(key, value)
    return path


def read(path, backend="LMDB"):
    with open_database(str(path), backend) as database:
        return list(database.items())


def read_by_place(path):
    with open_database(str(path), "LMDB") as database:
        database.cursor().seek_index(0)


def read_or_refusal(path, backend="LMDB"):
    """Return the records and "", or nothing and the message."""
    try:
        return read(path, backend), ""
    except DataError as error:
        return [], str(error)


@pytest.fixture(params=[(1500, 40), (400, 700), (60, 9000)], ids=["many", "images", "large"])
def content(request):
    return records(*request.param)


@pytest.fixture(params=[True, False], ids=["whole", "sample"])
def checked_at_once(request, monkeypatch):
    """Check all pages when the database is opened, or only some of them."""
    if not request.param:
        monkeypatch.setattr(lmdb_tree, "MOST_BYTES", 0)
        monkeypatch.setattr(lmdb_tree, "_SAMPLE", 2)


def zero(data, at, rng):
    data[at : at + PAGE] = bytes(PAGE)


def noise(data, at, rng):
    data[at : at + PAGE] = rng.randbytes(PAGE)


def swap(data, at, rng):
    other = rng.randrange(2, len(data) // PAGE) * PAGE
    one = data[at : at + PAGE]
    data[at : at + PAGE] = data[other : other + PAGE]
    data[other : other + PAGE] = one


def flip_header_bit(data, at, rng):
    data[at + rng.randrange(16)] ^= 1 << rng.randrange(8)


def flip_offset_bit(data, at, rng):
    data[at + 16 + rng.randrange(8)] ^= 1 << rng.randrange(8)


@pytest.mark.parametrize("damage", [zero, noise, swap, flip_header_bit, flip_offset_bit])
def test_lmdb_with_a_damaged_page(tmp_path, content, checked_at_once, damage):
    file = write(tmp_path / "db", content) / "data.mdb"
    whole, rng = file.read_bytes(), random.Random(7)
    refused = 0
    for page in rng.sample(range(2, len(whole) // PAGE), 20):
        data = bytearray(whole)
        damage(data, page * PAGE, rng)
        file.write_bytes(data)
        found, message = read_or_refusal(tmp_path / "db")
        if message:
            refused += 1
            assert message.startswith(f"{tmp_path}/db: the LMDB is damaged: ")
            assert message.endswith(". Restore it from a copy or convert it again.")
        else:  # a free page, or pixels, which have no checksum
            assert [key for key, _ in found] == [key for key, _ in content]
    assert refused or len(content) == 60  # most pages of it are pixels


@pytest.mark.parametrize("at_once", [True, False])
def test_lmdb_with_a_lost_record(tmp_path, monkeypatch, at_once):
    """A header that says one record more is what a lost record looks like."""
    if not at_once:
        monkeypatch.setattr(lmdb_tree, "MOST_BYTES", 0)
    file = write(tmp_path / "db", records(400, 700)) / "data.mdb"
    data = bytearray(file.read_bytes())
    for entries in (120, PAGE + 120):
        n = int.from_bytes(data[entries : entries + 8], "little")
        if n == 400:
            data[entries : entries + 8] = (n + 1).to_bytes(8, "little")
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"hold(s)? 400 records, its header says 401"):
        read(tmp_path / "db")
    with pytest.raises(DataError, match=r"its pages hold 400 records, its header says 401"):
        read_by_place(tmp_path / "db")


def test_lmdb_with_a_wrong_number_of_pages_of_a_value(tmp_path):
    """The number of a value that needs 3 of its pages; more would be read without a difference."""
    file = write(tmp_path / "db", records(60, 9000)) / "data.mdb"
    data = bytearray(file.read_bytes())
    at = next(at for at in range(2 * PAGE, len(data), PAGE) if data[at + 10] == 4)  # P_OVERFLOW
    assert data[at + 12] == 3
    data[at + 12] = 7
    file.write_bytes(data)
    with pytest.raises(DataError, match="its large values have 184 pages, its header says 180"):
        read(tmp_path / "db")


def test_lmdb_with_an_empty_leaf(tmp_path, monkeypatch):
    monkeypatch.setattr(lmdb_tree, "MOST_BYTES", 0)
    monkeypatch.setattr(lmdb_tree, "_SAMPLE", 1)  # only the first page is checked at once
    file = write(tmp_path / "db", records(1500, 40)) / "data.mdb"
    with open_database(str(tmp_path / "db"), "LMDB") as database:
        leaf = int(database._reader._tree.leaves[20])
        first_key = database._reader._pages.leaf(leaf)[0][0]
    data = bytearray(file.read_bytes())
    data[leaf * PAGE + 12 : leaf * PAGE + 16] = (16).to_bytes(2, "little") + PAGE.to_bytes(
        2, "little"
    )
    file.write_bytes(data)
    with open_database(str(tmp_path / "db"), "LMDB") as database:
        with pytest.raises(DataError, match=rf"page {leaf} of data\.mdb do not fit"):
            list(database.items())
        with pytest.raises(DataError, match=rf"page {leaf} of data\.mdb do not fit"):
            database.cursor().seek(first_key)
    for number in (15, 17, PAGE + 2):  # where the offsets of its records end
        data[leaf * PAGE + 12 : leaf * PAGE + 14] = number.to_bytes(2, "little")
        file.write_bytes(data)
        with pytest.raises(DataError, match=rf"page {leaf} of data\.mdb do not fit"):
            read_by_place(tmp_path / "db")


def test_lmdb_larger_than_the_limit_is_read_whole(tmp_path, content, monkeypatch):
    monkeypatch.setattr(lmdb_tree, "MOST_BYTES", 0)
    assert read(write(tmp_path / "db", content)) == content


def test_lmdb_from_which_records_were_deleted(tmp_path):
    kept = {key: value for key, value in records(1500, 300) if int(key) % 7}
    write(tmp_path / "db", records(1500, 300))
    with lmdb.open(str(tmp_path / "db"), map_size=1 << 26) as environment:
        for kind in (0, 3, 5):
            with environment.begin(write=True) as transaction:
                for key, _ in records(1500, 300):
                    if int(key) % 7 == 0:
                        transaction.delete(key)
                    elif int(key) % 11 == kind:
                        kept[key] = bytes(5000 if kind == 3 else 5 * kind)
                        transaction.put(key, kept[key])
    assert read(tmp_path / "db") == sorted(kept.items())


def test_lmdb_that_the_program_has_open(tmp_path):
    """The lmdb package allows one environment for each file in a process."""
    path, content = str(tmp_path / "db"), records(20, 30)
    environment = lmdb.open(path, map_size=1 << 24)
    with environment.begin(write=True) as transaction:
        for key, value in content:
            transaction.put(key, value)
    with open_database(path, "LMDB") as database:
        assert list(database.items()) == content
        environment.close()
        with lmdb.open(path, readonly=True) as again:
            assert again.stat()["entries"] == len(database) == 20


def test_leveldb_that_the_program_has_open(tmp_path):
    plyvel = pytest.importorskip("plyvel")
    other = plyvel.DB(str(write(tmp_path / "db", records(9, 9), "LEVELDB")))
    with pytest.raises(DataError, match=r"db: this process has the LevelDB open.*db\.close\(\)"):
        open_database(str(tmp_path / "db"), "LEVELDB")
    other.close()
    assert read(tmp_path / "db", "LEVELDB") == records(9, 9)


def test_a_leveldb_conversion_leaves_its_logs_empty(tmp_path):
    content = records(3000, 700)
    folder = write(tmp_path / "db", content, "LEVELDB")
    assert [path.stat().st_size for path in folder.glob("*.log")] == [0]
    assert (folder / "RECORDS").read_text() == "3000\n"
    assert read(folder, "LEVELDB") == content


@pytest.mark.parametrize("cut", ["half", "empty", "removed"])
def test_a_leveldb_of_which_a_file_is_cut(tmp_path, cut):
    content = records(9000, 700)
    folder = write(tmp_path / "db", content, "LEVELDB")
    names = {path.name for path in folder.iterdir()} - {"LOCK", "LOG"}
    assert len(names) > 5
    for name in sorted(names):
        copy = shutil.copytree(folder, tmp_path / name)
        if cut == "removed":
            (copy / name).unlink()
        else:
            with (copy / name).open("r+b") as file:
                file.truncate((copy / name).stat().st_size // 2 if cut == "half" else 0)
        found, message = read_or_refusal(copy, "LEVELDB")
        assert str(copy) in message or found == content
        assert bool(message) or not name.endswith(".ldb")
        assert not message or not name.endswith(".log")


def test_a_leveldb_whose_log_is_cut(tmp_path):
    """Caffe's converters leave the last records in the log, of which LevelDB drops a cut end."""
    plyvel = pytest.importorskip("plyvel")
    folder, content = tmp_path / "db", records(40, 3000)
    with plyvel.DB(str(folder), create_if_missing=True) as database:
        for key, value in content:
            database.put(key, value)
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert read(folder, "LEVELDB") == content
    [log] = copy.glob("*.log")
    whole = log.read_bytes()
    assert leveldb_log.count_log_records(whole) == (40, True)
    for size in (len(whole) // 2, len(whole) - 1, 3):
        log.write_bytes(whole[:size])
        kept = min(size // 3020, 39)
        with pytest.raises(
            DataError,
            match=rf"copy: the LevelDB is damaged.*: {log.name}, {size} bytes, ends inside a "
            rf"record; {kept} records precede it\. Restore",
        ):
            open_database(str(copy), "LEVELDB")
    log.write_bytes(whole[:-5000] + bytes(5000))
    with pytest.raises(DataError, match="ends inside a record"):
        open_database(str(copy), "LEVELDB")


def test_a_leveldb_without_its_log_is_warned_of(tmp_path, caplog_minicaffe):
    folder = write(tmp_path / "db", records(4, 4), "LEVELDB")
    [log] = folder.glob("*.log")
    log.unlink()
    assert read(folder, "LEVELDB") == records(4, 4)
    assert f"{folder}: the LevelDB has no log (NUMBER.log)" in caplog_minicaffe.text


def test_a_leveldb_with_fewer_records_than_were_converted(tmp_path):
    folder = write(tmp_path / "db", records(20, 30), "LEVELDB")
    (folder / "RECORDS").write_text("21\n")
    with pytest.raises(
        DataError, match="db: the LevelDB is damaged: it holds 20 records, its file"
    ):
        read(folder, "LEVELDB")
    with open_database(str(folder), "LEVELDB") as database:
        cursor = database.cursor()
        cursor.seek(b"00000013")
        assert [cursor.advance() for _ in range(7)] == [False] * 6 + [True]


@pytest.mark.parametrize("backend", ["LMDB", "LEVELDB"])
def test_names_are_on_the_disk_before_and_after_the_rename(tmp_path, monkeypatch, backend):
    synced = []
    monkeypatch.setattr(
        "minicaffe.atomic_file.sync_folder",
        lambda path: synced.append((path, sorted(p.name for p in tmp_path.iterdir()))),
    )
    monkeypatch.chdir(tmp_path)
    write("db", records(5, 5), backend)
    assert synced == [(Path("db.partial"), ["db.partial"]), (tmp_path, ["db"])]
