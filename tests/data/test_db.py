import gc
import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from minicaffe.data.db import create_database, open_database, open_writer
from minicaffe.data.engines import lmdb_engine
from minicaffe.data.engines.lmdb_pages import LmdbPages
from minicaffe.errors import DataError

BACKENDS = ("LMDB", "LEVELDB")
RECORDS = [(b"%08d" % i, bytes([i]) * (i + 1)) for i in range(20)]


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture
def database(tmp_path, backend):
    path = str(tmp_path / "db")
    with create_database(path, backend) as new:
        for key, value in reversed(RECORDS):
            new.put(key, value)
    return path


def test_records_come_back_in_the_order_of_their_keys(database, backend):
    with open_database(database, backend) as db:
        assert list(db.items()) == RECORDS
        assert len(db) == 20


def test_a_cursor_is_cyclic(database, backend):
    with open_database(database, backend) as db:
        cursor = db.cursor()
        assert (cursor.key, cursor.value) == RECORDS[0]
        wraps = [cursor.advance() for _ in range(21)]
        assert wraps == [False] * 19 + [True, False]
        assert cursor.key == RECORDS[1][0]


@pytest.mark.parametrize("size", [10, 3000])
@pytest.mark.parametrize("n", [1, 5, 700])
def test_records_are_found_by_their_place(tmp_path, backend, n, size):
    path = str(tmp_path / "many")
    with create_database(path, backend) as new:
        for i in range(n):
            new.put(b"%06d" % (3 * i), bytes([i % 251]) * (i % size))
    order = [*range(n), *reversed(range(n))]
    Random(n).shuffle(order)
    with open_database(path, backend) as db:
        cursor = db.cursor()
        assert cursor.count() == n
        for index in order:
            cursor.seek_index(index)
            assert cursor.key == b"%06d" % (3 * index)
            assert bytes(cursor.value) == bytes([index % 251]) * (index % size)
        assert cursor.advance() == (order[-1] == n - 1)
        assert cursor.key == b"%06d" % (3 * ((order[-1] + 1) % n))


@pytest.mark.parametrize("size", [10, 3000])
@pytest.mark.parametrize("n", [1, 5, 700])
def test_skipping_is_advancing(tmp_path, backend, n, size):
    """Records of some bytes, and of overflow pages; in one leaf page of an LMDB, and in many."""
    path = str(tmp_path / "many")
    with create_database(path, backend) as new:
        for i in range(n):
            new.put(b"%06d" % i, bytes([i % 251]) * (i % size))
    random, at = Random(n), 0
    with open_database(path, backend) as db:
        cursor = db.cursor()
        for _ in range(60):
            skipped = random.choice([0, 1, random.randrange(40), random.randrange(2 * n)])
            n_rounds, at = divmod(at + skipped, n)
            assert cursor.skip(skipped) == n_rounds
            assert (cursor.key, bytes(cursor.value)) == (
                b"%06d" % at,
                bytes([at % 251]) * (at % size),
            )
            if random.randrange(4) == 0:
                cursor.seek(cursor.key)
            n_rounds, at = divmod(at + 1, n)
            assert cursor.advance() == bool(n_rounds)
            assert cursor.key == b"%06d" % at


def test_skipping_reads_no_records_of_pages_that_it_passes_over(tmp_path, monkeypatch):
    path = str(tmp_path / "many")
    with create_database(path, "LMDB") as new:
        for i in range(2000):
            new.put(b"%06d" % i, bytes(100))
    with open_database(path, "LMDB") as db:
        cursor = db.cursor()
        leaves, leaf = [], LmdbPages.leaf
        monkeypatch.setattr(
            LmdbPages, "leaf", lambda self, page: (leaves.append(page), leaf(self, page))[1]
        )
        assert cursor.skip(1500) == 0
        assert cursor.key == b"001500"
        assert len(leaves) == 1


def test_seek(database, backend):
    with open_database(database, backend) as db:
        cursor = db.cursor()
        cursor.seek(RECORDS[13][0])
        assert cursor.value == RECORDS[13][1]
        with pytest.raises(
            DataError, match=r"db: no record with key '0000001x'; the database has cha"
        ):
            cursor.seek(b"0000001x")


def test_two_users_in_one_process_share_the_database(database, backend):
    link = f"{database}_link"
    Path(link).symlink_to(database)
    first, second = open_database(database, backend), open_database(link, backend.lower())
    a, b = first.cursor(), second.cursor()
    a.advance()
    assert (a.key, b.key) == (RECORDS[1][0], RECORDS[0][0])
    first.close()
    first.close()
    assert not b.advance()
    second.close()
    open_database(database, backend).close()


def test_closing_after_a_change_of_directory(database, backend, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    db = open_database("db", backend)
    monkeypatch.chdir("/")
    db.close()
    monkeypatch.chdir(tmp_path)
    with open_database("db", backend) as again:  # LevelDB has but one lock to give
        assert len(again) == 20


def test_a_database_is_closed_with_its_last_reference(database, backend):
    cursor = open_database(database, backend).cursor()
    gc.collect()
    assert bytes(cursor.value) == RECORDS[0][1]  # for a cursor it is kept
    del cursor
    gc.collect()
    code = f"from minicaffe.data.db import open_database; open_database({database!r}, {backend!r})"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_database_written_anew_is_read_anew(database, backend):
    old = open_database(database, backend)
    if backend == "LEVELDB":  # it locks by the path
        del old
        gc.collect()
    shutil.rmtree(database)
    with create_database(database, backend) as new:
        new.put(b"key", b"value")
    with open_database(database, backend) as db:
        assert list(db.items()) == [(b"key", b"value")]
    if backend == "LMDB":
        assert list(old.items()) == RECORDS


def test_a_closed_database_raises_an_error(database, backend):
    db = open_database(database, backend)
    db.close()
    with pytest.raises(DataError, match="db: the database was closed"):
        db.cursor()


@pytest.mark.parametrize(
    ("name", "backend", "first"),
    [
        ("db_resized_lmdb", "LMDB", b"00000000_a/img0.png"),
        ("db_resized_leveldb", "LEVELDB", b"00000000_a/img0.png"),
        ("db_encoded_png_leveldb", "LEVELDB", b"00000000_a/img0.png"),
    ],
)
def test_databases_that_caffe_wrote(golden_files, name, backend, first):
    with open_database(str(golden_files / name), backend) as db:
        assert len(db) == 10
        assert db.cursor().key == first


def test_lmdb_on_read_only_media(golden_files):
    folder = golden_files / "db_raw_lmdb"
    (folder / "data.mdb").chmod(0o444)
    folder.chmod(0o555)
    with open_database(str(folder), "LMDB") as db:
        assert len(db) == 10
    assert [entry.name for entry in folder.iterdir()] == ["data.mdb"]
    folder.chmod(0o755)


def test_lmdb_outgrows_its_map(tmp_path, monkeypatch):
    monkeypatch.setattr(lmdb_engine, "_FIRST_MAP_BYTES", 1 << 16)
    path = str(tmp_path / "db")
    with create_database(path, "LMDB") as new:
        for i in range(1500):
            new.put(b"%08d" % i, bytes(1000))
    with open_database(path, "LMDB") as db:
        assert len(db) == 1500


def test_opened_is_logged_as_caffe_does(database, backend, caplog_minicaffe):
    caplog_minicaffe.clear()
    open_database(database, backend).close()
    assert caplog_minicaffe.messages == [f"Opened {backend.lower()} {database}"]


# --- what can be wrong with a path ---


def test_no_such_database(tmp_path, monkeypatch, backend):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        open_database("examples/db", backend)
    assert str(caught.value) == (
        "examples/db: no such database. The path is relative to the current directory, "
        f"{tmp_path}. There is no folder examples. convert_imageset and similar commands write "
        "databases."
    )
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(
        DataError, match=r"/nowhere/db: no such database. There is no folder /nowhere."
    ):
        open_database("/nowhere/db", backend)


def test_the_other_backend(database, backend):
    other = BACKENDS[1 - BACKENDS.index(backend)]
    with pytest.raises(DataError) as caught:
        open_database(database, other)
    name = "an LMDB" if backend == "LMDB" else "a LevelDB"
    default = " (the default of data_param)" if other == "LEVELDB" else ""
    assert str(caught.value) == (
        f"{database}: this is {name} database, but it was to be opened as {other}{default}. "
        f"Write backend: {backend} in data_param, or --backend={backend.lower()} on a command line."
    )


def test_a_file_and_a_folder_without_database(tmp_path, backend):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file: a file, but a database is a folder"):
        open_database(str(tmp_path / "file"), backend)
    with pytest.raises(DataError, match=f"this folder holds no {backend} database"):
        open_database(str(tmp_path), backend)


def test_unknown_backend(tmp_path):
    with pytest.raises(
        DataError, match=r"backend lmbd: no such kind of database. Did you mean LMDB\?"
    ):
        open_database(str(tmp_path), "lmbd")


# --- damage ---


def test_lmdb_cut_off(golden_files):
    folder = golden_files / "db_raw_lmdb"
    os.truncate(folder / "data.mdb", 100_000)
    with pytest.raises(
        DataError, match=r"data.mdb is cut off: it has 100000 bytes, its header says 172032"
    ):
        open_database(str(folder), "LMDB")


@pytest.mark.parametrize("content", [b"", b"short", os.urandom(20000)])
def test_files_that_are_not_lmdb(tmp_path, content):
    (tmp_path / "data.mdb").write_bytes(content)
    with pytest.raises(
        DataError, match=r"the LMDB is damaged: .*\. Restore it from a copy or convert"
    ):
        open_database(str(tmp_path), "LMDB")


def test_lmdb_without_permission(golden_files, monkeypatch):
    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(
        DataError,
        match=r"_lmdb: the LMDB cannot be read: Permission denied\. Ask the owner of .*mdb",
    ):
        open_database(str(golden_files / "db_resized_lmdb"), "LMDB")


@pytest.mark.parametrize("missing", ["CURRENT", "MANIFEST-000004", "000005.ldb"])
def test_leveldb_with_a_file_missing(golden_files, missing):
    folder = golden_files / "db_resized_leveldb"
    (folder / missing).unlink()
    with pytest.raises(DataError, match=r"db_resized_leveldb: the LevelDB is damaged: "):
        open_database(str(folder), "LEVELDB")


def test_leveldb_with_a_flipped_bit(golden_files):
    table = golden_files / "db_resized_leveldb" / "000005.ldb"
    content = bytearray(table.read_bytes())
    content[1000] ^= 1
    table.write_bytes(content)
    with (
        open_database(str(table.parent), "LEVELDB") as db,
        pytest.raises(DataError, match="the LevelDB is damaged: "),
    ):
        list(db.items())


def test_empty_database(tmp_path, backend):
    path = str(tmp_path / "db")
    with create_database(path, backend):
        pass
    with open_database(path, backend) as db, pytest.raises(DataError, match="database is empty"):
        db.cursor()


def test_leveldb_held_by_another_process(tmp_path):
    path = str(tmp_path / "db")
    with create_database(path, "LEVELDB") as new:
        new.put(b"a", b"b")
    program = f"import plyvel; db = plyvel.DB({path!r}); print('open', flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with other:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(
            DataError, match=r"another process has this LevelDB open.*--backend=lmdb writes an LMDB"
        ):
            open_database(path, "LEVELDB")
        other.communicate(b"\n")
    open_database(path, "LEVELDB").close()


def test_leveldb_held_by_this_process(tmp_path):
    plyvel = pytest.importorskip("plyvel")
    path = str(tmp_path / "db")
    held = plyvel.DB(path, create_if_missing=True)
    with pytest.raises(
        DataError, match=r"this process has the LevelDB open already.*db\.close\(\)"
    ):
        open_database(path, "LEVELDB")
    held.close()


def test_no_plyvel(golden_files, monkeypatch):
    monkeypatch.setitem(sys.modules, "plyvel", None)
    with pytest.raises(
        DataError, match=r"pip install plyvel; or convert the data to backend: LMDB"
    ):
        open_database(str(golden_files / "db_resized_leveldb"), "LEVELDB")
    with (
        pytest.raises(DataError, match="pip install plyvel"),
        create_database(str(golden_files / "new"), "LEVELDB"),
    ):
        pass


# --- writing ---


def test_an_existing_database_is_refused(database, backend):
    with (
        pytest.raises(DataError, match=r"db: exists already; databases are never overwritten"),
        create_database(database, backend),
    ):
        pass
    with open_database(database, backend) as db:
        assert len(db) == 20


def test_no_folder_to_create_in(tmp_path, backend):
    with (
        pytest.raises(DataError, match=r"cannot be created: No such file or directory"),
        create_database(str(tmp_path / "a" / "db"), backend),
    ):
        pass


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interrupted_conversion_leaves_nothing(tmp_path, backend, error):
    (tmp_path / "other").mkdir()

    def convert():
        with create_database(str(tmp_path / "db"), backend) as new:
            new.put(b"a", b"b")
            raise error

    with pytest.raises(error):
        convert()
    assert [entry.name for entry in tmp_path.iterdir()] == ["other"]


def test_a_killed_conversion_is_not_taken_for_a_database(tmp_path, backend):
    (tmp_path / "db.partial").mkdir()
    with (
        pytest.raises(DataError, match=r"db.partial: exists already; another command is writing"),
        create_database(str(tmp_path / "db"), backend),
    ):
        pass


def test_a_writer_removes_the_last_records_of_a_full_map(tmp_path, backend):
    records = [(b"%08d" % k, bytes([k % 256]) * 90_000) for k in range(250)]
    with closing(open_writer(str(tmp_path), "db", backend)) as writer:
        for k in range(0, 250, 50):
            writer.write(records[k : k + 50])
    for first in (249, 200, 30):
        with closing(open_writer(str(tmp_path), "db", backend)) as writer:
            assert writer.remove_tail(b"%08d" % first) in (first, None)
        with open_database(str(tmp_path), backend) as db:
            assert list(db.items()) == records[:first]


def test_transactions_of_a_writer_are_on_the_disk(tmp_path):
    with closing(open_writer(str(tmp_path), "db", "LMDB")) as writer:
        flags = writer._env.flags()
        assert (flags["sync"], flags["metasync"], flags["writemap"]) == (True, True, False)


FILL_THE_DISK = """
import resource, sys
from minicaffe.data.db import create_database
from minicaffe.errors import DataError
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    with create_database(sys.argv[1], sys.argv[2]) as new:
        for i in range(4000):
            new.put(b"%08d" % i, bytes(1000))
except DataError as error:
    print(error)
"""


def test_full_disk(tmp_path, backend):
    # A limit on the size of files fails in the same calls as a full disk does.
    (tmp_path / "other").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(tmp_path / "db"), backend],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"{tmp_path}/db: the L")
    assert "cannot be written" in done.stdout
    assert done.stdout.endswith("Is the disk full? What was written of it has been removed.\n")
    assert [entry.name for entry in tmp_path.iterdir()] == ["other"]


def test_plyvel_reads_what_we_write(tmp_path):
    plyvel = pytest.importorskip("plyvel")
    path = str(tmp_path / "db")
    with create_database(path, "LEVELDB") as new:
        new.put(b"k", b"v")
    copy = shutil.copytree(path, tmp_path / "copy")
    db = plyvel.DB(str(Path(copy)))
    assert list(db) == [(b"k", b"v")]
    db.close()
