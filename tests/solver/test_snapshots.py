"""When snapshots are taken, what they are called and hold, and what happens if they cannot be."""

import os
from pathlib import Path

import numpy as np
import pytest
from small_nets import FED_NET, FIXED, feed, weights

from minicaffe.errors import SnapshotError, SolverError
from minicaffe.net.weights import copy_trained_layers
from minicaffe.schema import NetParameter, read_binary
from minicaffe.solver.signals import Action
from minicaffe.solver.snapshots import snapshot, snapshot_prefix

ALWAYS = FIXED.replace("snapshot_after_train: false", "")


def names(folder="."):
    return sorted(p.name for p in Path(folder).iterdir() if "_iter_" in p.name)


def triple(prefix, iteration, suffix=""):
    stem = f"{prefix}_iter_{iteration}"
    state = f"{stem}.solverstate{suffix}"
    return [f"{stem}.caffemodel{suffix}", state, f"{state}.json"]


@pytest.mark.parametrize(
    ("settings", "iterations"),
    [
        ("snapshot: 2 max_iter: 5", [2, 4, 5]),
        ("snapshot: 2 max_iter: 4", [2, 4]),
        ("max_iter: 3", [3]),
        ("snapshot: 2 max_iter: 5 snapshot_after_train: false", [2, 4]),
        ("max_iter: 3 snapshot_after_train: false", []),
    ],
)
def test_when(make_solver, settings, iterations):
    make_solver(FED_NET, ALWAYS + f'snapshot_prefix: "s" {settings}').solve()
    assert names() == sorted(name for i in iterations for name in triple("s", i))


def test_hdf5_names(make_solver, caplog_minicaffe):
    settings = 'snapshot_prefix: "s" snapshot_format: HDF5 max_iter: 1'
    make_solver(FED_NET, ALWAYS + settings).solve()
    assert names() == triple("s", 1, ".h5")
    assert [m for m in caplog_minicaffe.messages if m.startswith("Snapshotting")] == [
        "Snapshotting to HDF5 file s_iter_1.caffemodel.h5",
        "Snapshotting solver state to HDF5 file s_iter_1.solverstate.h5",
    ]


def test_the_prefix_defaults_to_the_solver_file(make_solver):
    make_solver(FED_NET, ALWAYS + "max_iter: 1").solve()
    assert names() == triple("solver", 1)


def test_a_prefix_that_is_a_folder_gives_files_in_it(make_solver):
    Path("out").mkdir()
    make_solver(FED_NET, ALWAYS + 'snapshot_prefix: "out/" max_iter: 1').solve()
    assert any(name.endswith("_iter_1.caffemodel") for name in names("out"))


def test_the_folder_is_made(make_solver):
    make_solver(FED_NET, ALWAYS + 'snapshot_prefix: "a/b/s" max_iter: 1').solve()
    assert names("a/b") == triple("s", 1)


def test_snapshot_diff(make_solver):
    solver = make_solver(FED_NET, FIXED + 'snapshot_prefix: "s" snapshot_diff: true')
    feed(solver, 0)
    solver.step(1)
    solver.snapshot()
    net = read_binary("s_iter_1.caffemodel", NetParameter)
    (ip,) = (layer for layer in net.layer if layer.name == "ip")
    gradient = solver.net.parameters[0].blob.diff.get()
    np.testing.assert_array_equal(np.reshape(ip.blobs[0].diff, gradient.shape), gradient)


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_weights_come_back(make_solver, form):
    settings = FIXED + f'snapshot_prefix: "s" snapshot_format: {form}'
    solver = make_solver(FED_NET, settings)
    solver.snapshot()
    other = make_solver(FED_NET, settings.replace("random_seed: 1", "random_seed: 2"))
    copy_trained_layers(other.net, "s_iter_0.caffemodel" + (".h5" if form == "HDF5" else ""))
    for name, values in weights(solver).items():
        np.testing.assert_array_equal(weights(other)[name], values)


@pytest.mark.parametrize("settings", ["snapshot: 1 max_iter: 1", "max_iter: 1"])
def test_a_prefix_that_cannot_be_written_is_found_before_training(make_solver, settings):
    Path("file").touch()
    with pytest.raises(SolverError) as caught:
        make_solver(FED_NET, ALWAYS + f'\nsnapshot_prefix: "file/s" {settings}').solve()
    assert str(caught.value).startswith(
        'solver.prototxt:2: snapshot_prefix: "file/s" cannot be written: '
    )


def test_without_snapshots_no_folder_is_needed(make_solver):
    Path("file").touch()
    make_solver(FED_NET, FIXED + 'snapshot_prefix: "file/s" max_iter: 1').solve()


class FullDisk:
    """Makes writes fail between two iterations."""

    def __init__(self, monkeypatch, iterations):
        self.iterations, self.save = iterations, snapshot.save_net
        monkeypatch.setattr(snapshot, "save_net", self)
        monkeypatch.setattr(os, "fsync", self.fsync)
        self.full = False

    def __call__(self, net, path, **options):
        self.full = any(f"iter_{i}." in str(path) for i in self.iterations)
        self.save(net, path, **options)

    def fsync(self, handle):
        if self.full:
            raise OSError(28, "No space left on device")


def test_training_goes_on_when_the_disk_is_full(make_solver, monkeypatch, caplog_minicaffe):
    FullDisk(monkeypatch, [2])
    make_solver(FED_NET, ALWAYS + 'snapshot_prefix: "s" snapshot: 1 max_iter: 4').solve()
    assert names() == sorted(name for i in (1, 3, 4) for name in triple("s", i))
    (error,) = (r.getMessage() for r in caplog_minicaffe.records if r.levelname == "ERROR")
    assert error == (
        "s_iter_2.caffemodel cannot be written: No space left on device. The previous file is "
        "unchanged. Training goes on; the next snapshot is tried when it is due."
    )


def contents():
    return {path.name: path.read_bytes() for path in Path().glob("s_iter_*")}


def rewrite(make_solver, seed, form):
    settings = ALWAYS.replace("random_seed: 1", f"random_seed: {seed}")
    solver = make_solver(
        FED_NET, settings + f'snapshot_prefix: "s" snapshot_format: {form} max_iter: 1'
    )
    feed(solver, seed)
    return solver


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_a_snapshot_that_is_rewritten_is_never_of_two_runs(make_solver, monkeypatch, form):
    """Whenever the process is killed: what can be resumed is of one run."""
    rewrite(make_solver, 1, form).solve()
    old = contents()
    found = []

    def recorded(method):
        def call(path, *arguments, **options):
            result = method(path, *arguments, **options)
            found.append(contents())
            return result

        return call

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink"):
            patch.setattr(Path, name, recorded(getattr(Path, name)))
        rewrite(make_solver, 2, form).solve()
    new = contents()
    weights, state, _ = triple("s", 1, ".h5" if form == "HDF5" else "")
    assert new.keys() == old.keys()
    assert old[weights] != new[weights]
    assert any(files[weights] == new[weights] and state not in files for files in found)
    assert all(files in (old, new) for files in found if state in files)


def test_a_snapshot_that_cannot_be_rewritten_stays(make_solver, monkeypatch):
    rewrite(make_solver, 1, "BINARYPROTO").solve()
    old = contents()
    FullDisk(monkeypatch, [1])
    with pytest.raises(SnapshotError, match="The previous file is unchanged"):
        rewrite(make_solver, 2, "BINARYPROTO").solve()
    assert contents() == old


@pytest.mark.parametrize("after", ["", "snapshot_after_train: false"])
def test_a_last_snapshot_that_failed_is_an_error(make_solver, monkeypatch, after):
    FullDisk(monkeypatch, [3])
    solver = make_solver(FED_NET, ALWAYS + f'snapshot_prefix: "s" snapshot: 1 max_iter: 3 {after}')
    with pytest.raises(SnapshotError, match=r"s_iter_3.caffemodel cannot be written: No space"):
        solver.solve()
    assert solver.iter == 3
    assert names() == sorted(name for i in (1, 2) for name in triple("s", i))


def test_the_last_snapshot_is_tried_again(make_solver, monkeypatch):
    disk = FullDisk(monkeypatch, [3])
    solver = make_solver(FED_NET, ALWAYS + 'snapshot_prefix: "s" snapshot: 1 max_iter: 3')
    # Space is freed right after the failure.
    original = solver.snapshots.try_write

    def then_make_room(iteration):
        original(iteration)
        if iteration == 3:
            disk.iterations.clear()

    solver.snapshots.try_write = then_make_room
    solver.solve()
    assert names() == sorted(name for i in (1, 2, 3) for name in triple("s", i))


def test_stop_snapshots_and_says_so(make_solver, caplog_minicaffe):
    solver = make_solver(FED_NET, ALWAYS + 'snapshot_prefix: "s" max_iter: 9')
    solver.poll = lambda: Action.STOP if solver.iter == 4 else Action.NONE
    solver.solve()
    assert solver.stopped_early
    assert names() == triple("s", 4)
    assert caplog_minicaffe.messages[-1] == "Optimization stopped early."


def test_stop_without_snapshot_after_train(make_solver):
    solver = make_solver(FED_NET, FIXED + 'snapshot_prefix: "s" max_iter: 9')
    solver.poll = lambda: Action.STOP if solver.iter == 4 else Action.NONE
    solver.solve()
    assert names() == []


def test_snapshot_asked_for_goes_on(make_solver):
    solver = make_solver(FED_NET, FIXED + 'snapshot_prefix: "s" max_iter: 9')
    solver.poll = lambda: Action.SNAPSHOT if solver.iter == 4 else Action.NONE
    solver.solve()
    assert solver.iter == 9
    assert names() == triple("s", 4)


def test_the_check_of_the_prefix_leaves_other_files_alone(tmp_path):
    kept = tmp_path / "run.writable"
    kept.write_text("mine")
    snapshot_prefix.check_snapshot_prefix(str(tmp_path / "run"), "s.prototxt:1")
    assert kept.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [kept]


def test_a_prefix_that_a_shell_would_expand_is_warned_of(tmp_path, monkeypatch, caplog_minicaffe):
    monkeypatch.chdir(tmp_path)
    snapshot_prefix.check_snapshot_prefix("~/runs/first", "s.prototxt:1")
    assert (
        's.prototxt:1: snapshot_prefix: "~/runs/first": ~ and variables such as $HOME are not '
        f"expanded here; the folder ~/runs is made in {tmp_path}. Write the whole path."
    ) in caplog_minicaffe.text
    with pytest.raises(SolverError, match="contains a NUL byte"):
        snapshot_prefix.check_snapshot_prefix("a\0b", "s.prototxt:1")
