"""Training on a backend with graph replay and asynchronous copies equals training without."""

from __future__ import annotations

import re

import numpy as np
import pytest
from small_nets import DATA_NET, FED_NET, FIXED, weights

from minicaffe.backends.reference import ReferenceBackend
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.errors import LabelError
from minicaffe.solver.loss_history import LONGEST_DELAY
from minicaffe.solver.signals import Action
from recording import RUNS_FIRST, RecordingBackend

SETTINGS = (
    'base_lr: 0.05 lr_policy: "inv" gamma: 0.1 power: 0.75 momentum: 0.9 weight_decay: 0.001 '
    'display: 4 average_loss: 3 max_iter: 13 snapshot: 6 snapshot_prefix: "run/s" '
    "test_iter: 2 test_interval: 5 random_seed: 7 "
)


def logged(caplog):
    """Return the log of a training, without speeds."""
    lines = [re.sub(r" \(\S+ iter/s.*\)", "", m) for m in caplog.messages]
    return [m for m in lines if re.match(r"Iteration|    [T\[]|Gradient|Snapshotting", m)]


def solve(solver, caplog, resume=None):
    caplog.clear()
    solver.solve(resume)
    return weights(solver), logged(caplog)


def assert_same(got, want):
    assert got[1] == want[1]
    for name, values in want[0].items():
        np.testing.assert_array_equal(got[0][name], values, err_msg=name)


def names(tasks):
    """Return the names of tasks: a direction and a layer, or a function."""
    found = []
    for task in tasks:
        function = getattr(task, "func", task)
        step = task.args[0] if hasattr(task, "args") else task.__self__
        layer = f" {step.layer.name}" if hasattr(step, "layer") else ""
        found.append(f"{function.__name__.strip('_')}{layer}")
    return found


@pytest.mark.parametrize(
    "more",
    [
        "",
        "iter_size: 3",
        "clip_gradients: 0.5",
        "debug_info: true",
        'type: "Adam" momentum2: 0.99',
        "test_compute_loss: true snapshot_format: HDF5",
    ],
)
def test_solves_alike(make_solver, database, caplog_minicaffe, more):
    settings = f"{SETTINGS} {more}"
    plain = solve(make_solver(DATA_NET, settings, ReferenceBackend()), caplog_minicaffe)
    backend = RecordingBackend()
    assert_same(solve(make_solver(DATA_NET, settings, backend), caplog_minicaffe), plain)
    assert backend.replayed > 50
    assert sum(line.startswith("Gradient") for line in plain[1]) == (13 if "clip" in more else 0)


@pytest.mark.parametrize("iter_size", [1, 2])
def test_resumes_alike(make_solver, database, caplog_minicaffe, iter_size):
    settings = f"{SETTINGS} iter_size: {iter_size}"
    whole = solve(make_solver(DATA_NET, settings, RecordingBackend()), caplog_minicaffe)
    state = "run/s_iter_6.solverstate"
    resumed = solve(make_solver(DATA_NET, settings, RecordingBackend()), caplog_minicaffe, state)
    first = next(i for i, line in enumerate(whole[1]) if line.startswith("Iteration 8, loss"))
    assert resumed[1] == whole[1][first:]
    assert_same((resumed[0], []), (whole[0], []))


def test_tasks_of_an_iteration(make_solver, database):
    backend = RecordingBackend()
    solver = make_solver(DATA_NET, FIXED + "iter_size: 2 momentum: 0.5", backend)
    solver.step(1)
    forward = [*(f"forward {step.layer.name}" for step in solver.net.steps), "add_non_finite"]
    backward = ["backward loss", "backward ip", "backward drop", "backward conv"]
    assert names(backend.called) == [
        "forward data", "clear_param_diffs", *forward[1:], *backward,
        "take_loss", *forward, *backward, "update_parameters",
    ]  # fmt: skip
    solver.step(RUNS_FIRST - 1)
    backend.called.clear()
    solver.step(5)
    assert names(backend.called) == ["forward data", "take_loss", "forward data"] * 5


@pytest.mark.parametrize(
    ("more", "listens", "n"),
    [
        ("", False, 1),
        ("iter_size: 3", False, 1),
        ("clip_gradients: 100", False, 2),
        ("", True, 2),
    ],
)
def test_the_update_is_one_of_the_tasks_unless_gradients_are_read(
    make_solver, monkeypatch, more, listens, n
):
    compiled, backend = [], ReferenceBackend()
    compile = backend.compile
    monkeypatch.setattr(
        backend, "compile", lambda *args: compiled.append(args[0]) or compile(*args)
    )
    solver = make_solver(FED_NET, FIXED + more, backend)
    if listens:
        solver.on_gradients_ready.append(lambda: None)
    solver.step(3)
    assert names(compiled[-1])[-1] == "update_parameters"
    assert len(compiled) == n


def test_callbacks_see_the_same_values(make_solver, database):
    def seen_by(backend):
        solver, seen = make_solver(DATA_NET, FIXED + "momentum: 0.5 iter_size: 2", backend), []
        blob = solver.net.parameters[0].blob

        def look():
            seen.append((solver.iter, blob.data.get().sum(), blob.diff.get().sum()))

        solver.on_start.append(look)
        solver.on_gradients_ready.append(look)
        solver.step(6)
        assert all(diff == 0 for _, _, diff in seen[::2])
        assert all(diff != 0 for _, _, diff in seen[1::2])
        return seen

    assert seen_by(RecordingBackend()) == seen_by(ReferenceBackend())


def test_hooks_are_called_after_graph_capture(make_solver, database):
    solver = make_solver(DATA_NET, FIXED, RecordingBackend())
    solver.step(4)
    seen = []
    solver.net.before_forward.append(seen.append)
    solver.net.after_backward.append(seen.append)
    solver.step(1)
    steps = list(range(len(solver.net.steps)))
    assert seen == steps + steps[::-1]


def test_what_a_program_changes_between_steps_counts(make_solver, database):
    def after(backend):
        solver = make_solver(DATA_NET, FIXED + "momentum: 0.5", backend)
        other = make_solver(DATA_NET, FIXED.replace("1 ", "2 "), backend)
        solver.step(4)
        solver.param.base_lr = 0.01
        solver.step(1)
        solver.param.iter_size = 2
        solver.step(4)
        before = weights(other)
        solver.net.share_parameters_with(other.net)
        solver.step(4)
        for name, values in weights(other).items():
            assert (values != before[name]).any(), f"{name} is not trained"
            np.testing.assert_array_equal(values, weights(solver)[name])
        return weights(solver), []

    assert_same(after(RecordingBackend()), after(ReferenceBackend()))


def test_images_of_changing_size(make_solver, workdir):
    rng = np.random.default_rng(5)
    with create_database("train_lmdb", "LMDB") as db:
        for i in range(12):
            size = 9 if i % 5 == 4 else 7
            image = rng.integers(0, 256, (1, size, 8), dtype=np.uint8)
            db.put(b"%08d" % i, encode_datum(image, i % 5))
    net = DATA_NET.replace("batch_size: 4", "batch_size: 1").replace("crop_size: 6", "")
    net = net.replace("batch_size: 3", "batch_size: 1").replace(
        'layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }',
        'layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" '
        "pooling_param { global_pooling: true pool: AVE } }",
    )
    net = net.replace('"InnerProduct" bottom: "conv"', '"InnerProduct" bottom: "pool"')

    def after(backend):
        solver = make_solver(net, FIXED, backend)
        solver.step(14)
        return weights(solver), []

    backend = RecordingBackend()
    assert_same(after(backend), after(ReferenceBackend()))
    assert backend.replayed


def test_losses_are_not_waited_for(make_solver, database):
    backend = RecordingBackend()
    solver = make_solver(DATA_NET, FIXED + "average_loss: 2", backend)
    solver.step(20)
    assert backend.waits == 0
    assert np.isfinite(solver.smoothed_loss)
    assert backend.waits == backend.delay


@pytest.mark.parametrize(("delay", "steps"), [(0, 1), (3, 4), (10**6, LONGEST_DELAY + 1)])
def test_divergence_is_logged_when_the_loss_is_read(make_solver, caplog_minicaffe, delay, steps):
    solver = make_solver(FED_NET, FIXED, RecordingBackend(delay))
    solver.net.inputs[0].data.set(np.full((4, 3), np.nan, np.float32))
    solver.step(steps - 1)
    assert not [r for r in caplog_minicaffe.records if r.levelname == "WARNING"]
    solver.step(1)
    (warning,) = (r for r in caplog_minicaffe.records if r.levelname == "WARNING")
    assert warning.getMessage().startswith("Iteration 0: the loss is nan")


def test_divergence_is_logged_at_the_end(make_solver, caplog_minicaffe):
    solver = make_solver(FED_NET, FIXED + "max_iter: 3", RecordingBackend(10**6))
    solver.net.inputs[0].data.set(np.full((4, 3), np.nan, np.float32))
    solver.solve()
    assert any("Iteration 0: the loss is nan" in m for m in caplog_minicaffe.messages)


def test_stopping_by_a_signal_saves_pending_losses(make_solver, database):
    backend = RecordingBackend(10**6)
    settings = SETTINGS.replace("display: 4", "").replace("test_interval: 5", "test_interval: 99")
    solver = make_solver(DATA_NET, settings, backend)
    solver.poll = lambda: Action.STOP if solver.iter == 5 else Action.NONE
    solver.solve()
    plain = make_solver(DATA_NET, settings, ReferenceBackend())
    plain.step(5)
    assert solver.losses.values() == plain.losses.values()


def test_a_wrong_label_that_is_found_late_is_named(make_solver, database):
    """The data layer has gone on to other batches by then."""
    solver = make_solver(DATA_NET, FIXED, RecordingBackend())
    loss, label = solver.net.blobs["loss"].data, solver.net.blobs["label"].data
    get_async = loss.get_async

    def get_wrong():
        values = get_async()
        if solver.iter != 1:
            return values

        class Wrong(type(values)):
            def result(self):
                raise LabelError(2, 7, 5, labels=label)

        values.__class__ = Wrong
        return values

    loss.get_async = get_wrong
    message = (
        r'solver_net.prototxt:\d+, layer "loss" \(SoftmaxWithLoss\): label 7 of sample 2 in the '
        r"batch is not a class; .* It is key '00000006' of train_lmdb."
    )
    solver.step(1 + solver.backend.delay)
    with pytest.raises(LabelError, match=message):
        solver.step(1)


def test_a_wrong_label_found_when_outputs_are_read(make_solver, database, monkeypatch):
    net = make_solver(
        DATA_NET, FIXED + "test_iter: 1 test_interval: 1", RecordingBackend()
    ).test_nets[0]
    net.forward()

    def get():
        raise LabelError(1, 9, 5, labels=net.blobs["label"].data)

    monkeypatch.setattr(net.blobs["accuracy"].data, "get", get)
    with pytest.raises(LabelError, match=r'"accuracy" \(Accuracy\): label 9 .* key \'00000001\''):
        net.output_values()
