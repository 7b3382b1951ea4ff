"""Atomic file replacement: old or new content, at whichever step the process is killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minicaffe.atomic_file import write_atomically
from minicaffe.errors import SnapshotError


class Killed(BaseException):
    """Simulates kill -9: no cleanup runs."""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"old")
    return path


def write(path, then=lambda: None):
    with write_atomically(path) as file:
        file.write(b"new content")
        then()


def other_files(path):
    return [p for p in path.parent.iterdir() if p != path]


def test_new_content(path):
    write(path)
    assert path.read_bytes() == b"new content"
    assert other_files(path) == []


def test_a_file_that_did_not_exist(tmp_path):
    write(str(tmp_path / "fresh"))
    assert (tmp_path / "fresh").read_bytes() == b"new content"


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()])
def test_an_error_in_the_block_changes_nothing(path, error):
    def write_half():
        with write_atomically(path) as file:
            file.write(b"half")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert path.read_bytes() == b"old"
    assert other_files(path) == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_error_is_raised_and_changes_nothing(path, monkeypatch, step):
    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[step], fail)
    with pytest.raises(SnapshotError) as caught:
        write(path)
    assert str(caught.value) == (
        f"{path} cannot be written: No space left on device. The previous file is unchanged."
    )
    assert path.read_bytes() == b"old"
    assert other_files(path) == []


def test_no_such_folder(tmp_path):
    with pytest.raises(SnapshotError, match="no/file cannot be written: No such file or directory"):
        write(tmp_path / "no" / "file")


@pytest.mark.parametrize("exists", [True, False])
def test_the_target_of_a_symbolic_link_is_replaced(tmp_path, exists):
    (tmp_path / "disk").mkdir()
    target = tmp_path / "disk" / "weights"
    if exists:
        target.write_bytes(b"old")
    link = tmp_path / "latest"
    link.symlink_to("disk/weights")
    write(link)
    assert link.is_symlink()
    assert target.read_bytes() == b"new content"
    assert other_files(target) == []


def test_a_pipe_is_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write(pipe)
    assert os.read(reader, 100) == b"new content"
    os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="this system has no /dev/full")
def test_a_device_that_is_full(tmp_path):
    (tmp_path / "device").symlink_to("/dev/full")
    with pytest.raises(SnapshotError, match=r"device cannot be written: No space left on device.$"):
        write(tmp_path / "device")


@pytest.mark.parametrize(
    ("step", "expected"),
    [("write", b"old"), ("fsync", b"old"), ("replace", b"old"), ("folder", b"new content")],
)
def test_killed_at_every_step(path, monkeypatch, step, expected):
    def die(*args, **kwargs):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *args, **kwargs: None)
        if step == "fsync":
            patch.setattr(os, "fsync", die)
        elif step == "replace":
            patch.setattr(Path, "replace", die)
        elif step == "folder":
            patch.setattr("minicaffe.atomic_file.sync_folder", die)
        with pytest.raises(Killed):
            write(path, die if step == "write" else lambda: None)
    assert path.read_bytes() == expected


def test_temporary_files_of_killed_processes_are_removed(path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    leftover = path.with_name(f".{path.name}.{dead.pid}")
    alive = path.with_name(f".{path.name}.{os.getppid()}")
    foreign = path.with_name(f".{path.name}.notes")
    for file in (leftover, alive, foreign):
        file.write_bytes(b"half")
    write(path)
    assert sorted(other_files(path)) == sorted([alive, foreign])


def test_a_name_with_glob_characters(tmp_path):
    path = tmp_path / "net[1]*?"
    write(path)
    assert path.read_bytes() == b"new content"


def test_the_data_are_synced_before_the_rename(path, monkeypatch):
    steps = []
    sync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (steps.append("fsync"), sync(handle)))
    monkeypatch.setattr(Path, "replace", lambda *a: (steps.append("replace"), replace(*a))[1])
    write(path)
    assert steps == ["fsync", "replace", "fsync"]
