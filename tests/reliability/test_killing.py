"""kill -9 at any moment: what has its final name is complete, and work continues from it."""

import re
import signal
import subprocess
import time

import numpy as np
import pytest
from PIL import Image

from minicaffe.data.db import open_any_database

TRAIN = ["train", "--solver=solver.prototxt"]
N_KILLS = 4


PICTURES = ["--resize_height=512", "--resize_width=512", "--shuffle", "pictures/", "list.txt"]


def newest_state(workplace):
    """Return the name of the last .solverstate, None without any."""
    names = [
        name for name in workplace.files("s_iter_*") if re.search(r"solverstate(\.h5)?$", name)
    ]
    return max(names, key=lambda name: int(re.search(r"iter_(\d+)", name)[1]), default=None)


@pytest.mark.slow
@pytest.mark.parametrize("snapshot_format", ["BINARYPROTO", "HDF5"])
def test_killed_and_resumed_trainings_end_with_the_same_bytes(workplace, snapshot_format):
    workplace.write_solver(max_iter=60, more=f"snapshot_format: {snapshot_format}")
    began = time.monotonic()
    assert workplace.run(*TRAIN)[0] == 0
    duration = time.monotonic() - began
    undisturbed = workplace.files("s_iter_*")
    for name in undisturbed:
        (workplace.folder / name).unlink()
    rng = np.random.default_rng(8)
    for _ in range(N_KILLS):
        state = newest_state(workplace)
        process = workplace.start(*TRAIN, *([f"--snapshot={state}"] if state else []))
        time.sleep(duration * rng.uniform(0.4, 0.9))
        process.kill()
        process.communicate()
        for name, content in workplace.files("s_iter_*").items():
            assert content == undisturbed[name], f"{name} after a kill"
    state = newest_state(workplace)
    code, output = workplace.run(*TRAIN, *([f"--snapshot={state}"] if state else []))
    assert code == 0, output
    finished = workplace.files("s_iter_60*")
    assert finished == {name: undisturbed[name] for name in finished}
    assert len(finished) == 3


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_a_killed_conversion_leaves_no_database_of_that_name(workplace, backend):
    from minicaffe.data.idx import write_idx

    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (60000, 8, 8), dtype=np.uint8)
    (workplace.folder / "images").write_bytes(write_idx(images))
    (workplace.folder / "labels").write_bytes(write_idx(images[:, 0, 0] % 10))
    convert = ["convert_mnist_data", "images", "labels", "db", f"--backend={backend}"]
    process = workplace.start(*convert)
    partial = workplace.folder / "db.partial"
    deadline = time.monotonic() + 60
    while not partial.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert partial.exists()
    assert not (workplace.folder / "db").exists()
    code, output = workplace.run(*convert)
    assert code == 1
    assert "db.partial" in output


def write_pictures(folder, n=150):
    """Write noise as JPEG files, and a list that names some other files, too."""
    rng = np.random.default_rng(4)
    (folder / "pictures").mkdir()
    for k in range(n):
        pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{k}.jpg")
    lines = [f"{k}.{'png' if k % 40 == 5 else 'jpg'} {k % 7}\n" for k in range(n)]
    (folder / "list.txt").write_text("".join(lines))


def records(path):
    with open_any_database(str(path)) as database:
        return list(database.items())


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
def test_killed_and_continued_conversions_end_with_the_same_records(workplace, backend):
    folder = workplace.folder
    write_pictures(folder)
    convert = ["convert_imageset", f"--backend={backend}", *PICTURES]
    began = time.monotonic()
    assert workplace.run(*convert, "undisturbed")[0] == 0
    duration = time.monotonic() - began
    expected = records(folder / "undisturbed")
    rng = np.random.default_rng(9)
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        process = workplace.start(*convert, "db")
        try:
            process.wait(duration * rng.uniform(0.4, 0.8))
        except subprocess.TimeoutExpired:
            process.send_signal(number)
        output, _ = process.communicate()
        assert "Traceback" not in output
        if (folder / "db").exists():
            break
    else:
        code, output = workplace.run(*convert, "db")
        assert code == 0, output
    assert records(folder / "db") == expected
    assert not (folder / "db.partial").exists()


@pytest.mark.slow
def test_a_conversion_that_filled_the_disk_is_continued(workplace):
    folder = workplace.folder
    write_pictures(folder)
    convert = ["convert_imageset", *PICTURES]
    assert workplace.run(*convert, "undisturbed")[0] == 0
    size = (folder / "undisturbed" / "data.mdb").stat().st_size
    code, output = workplace.run(*convert, "db", file_limit=int(size * 0.8))
    assert code == 1
    assert "Is the disk full? db.partial has " in output
    assert not (folder / "db").exists()
    code, output = workplace.run(*convert, "db")
    assert code == 0, output
    assert records(folder / "db") == records(folder / "undisturbed")
