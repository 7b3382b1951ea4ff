"""kill -9 at any moment: what has its final name is complete, and work continues from it."""

import re
import time

import numpy as np
import pytest

TRAIN = ["train", "--solver=solver.prototxt"]
N_KILLS = 4


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
