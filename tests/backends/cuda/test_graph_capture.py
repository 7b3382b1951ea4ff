"""Captured tasks give the same results as eager ones."""

from __future__ import annotations

import logging
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from minicaffe.backends.cuda import CudaBackend
from minicaffe.backends.cuda.driver.device import CannotCapture
from minicaffe.backends.cuda.runtime.graph_capture import MAX_FAILURES
from minicaffe.backends.cuda.runtime.launch_parameters import LaunchParameters
from minicaffe.backends.lock import Forks
from minicaffe.errors import BackendUnavailable
from minicaffe.layers.host_blob import HostBlob
from minicaffe.net import Net
from minicaffe.ops.lrn import Lrn
from minicaffe.schema import read_solver
from minicaffe.solver.solver import Solver
from probe import net_from_text

LABELS = [0, 3, 1, 2, 4, 0]
# All that a training iteration of a common net asks for: a branch, layers in place, dropout.
NET = """
name: "captured"
layer { name: "in" type: "Input" top: "x" top: "label"
  input_param { shape { dim: 6 dim: 2 dim: 9 dim: 8 } shape { dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }
layer { name: "scale" type: "Scale" bottom: "bn" top: "bn" scale_param { bias_term: true } }
layer { name: "relu" type: "ReLU" bottom: "bn" top: "bn" }
layer { name: "pool" type: "Pooling" bottom: "bn" top: "pool"
  pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "norm" type: "LRN" bottom: "pool" top: "norm" lrn_param { local_size: 3 } }
layer { name: "side" type: "Convolution" bottom: "pool" top: "side"
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "sum" type: "Eltwise" bottom: "norm" bottom: "side" top: "sum" }
layer { name: "join" type: "Concat" bottom: "sum" bottom: "side" top: "join" }
layer { name: "ip" type: "InnerProduct" bottom: "join" top: "ip"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "ip" top: "ip" }
layer { name: "out" type: "InnerProduct" bottom: "ip" top: "out"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "out" bottom: "label" top: "loss" }
"""
SETTINGS = (
    'base_lr: 0.1 lr_policy: "inv" gamma: 0.1 power: 0.75 momentum: 0.9 weight_decay: 0.01 '
    'random_seed: 3 max_iter: 100 snapshot_prefix: "s" '
)


@pytest.fixture
def make_solver(tmp_path, monkeypatch):
    """A function that makes a solver on a backend."""
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    made = []

    def make(backend, settings=""):
        Path("solver.prototxt").write_text(f'net: "net.prototxt" {SETTINGS} {settings}')
        made.append(Solver(read_solver(Path("solver.prototxt")), backend))
        return made[-1]

    yield make
    for solver in made:
        solver.close()


def feed(solver, step, size=6):
    rng = np.random.default_rng(step)
    data, labels = solver.net.inputs
    data.data.set(rng.standard_normal((size, 2, 9, 8)))
    labels.data.set(LABELS[:size])


def train(solver, steps, between=lambda solver, step: None):
    """Train; return the parameters after every step."""
    seen = []
    for step in range(steps):
        feed(solver, step)
        solver.step(1)
        between(solver, step)
        seen.append([p.blob.data.get() for p in solver.net.parameters])
    return seen


def assert_same(got, want):
    for step, (ours, theirs) in enumerate(zip(got, want, strict=True)):
        for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            np.testing.assert_array_equal(a, b, err_msg=f"parameter {i} after step {step}")


@pytest.mark.parametrize("modern", [False, True], ids=["columns first", "dnn channels last"])
@pytest.mark.parametrize(
    "settings", ["", "iter_size: 3", "clip_gradients: 0.5", 'type: "AdamW"', "ema_decay: 0.9"]
)
def test_captured_training_is_the_same(make_backend, make_solver, modern, settings):
    plain = make_backend(modern, captures=False, channels_last=modern)
    want = train(make_solver(plain, settings), 8)
    captured = make_backend(modern, channels_last=modern)
    assert_same(train(make_solver(captured, settings), 8), want)


@pytest.mark.parametrize("has_dnn", [False, True])
@pytest.mark.parametrize("precision", ["tf32", "bf16", "fp16"])
def test_captured_training_is_the_same_in_other_precisions(
    make_backend, make_solver, precision, has_dnn
):
    want = train(make_solver(make_backend(has_dnn, captures=False, precision=precision)), 6)
    assert_same(train(make_solver(make_backend(has_dnn, precision=precision)), 6), want)


@pytest.mark.parametrize("has_dnn", [False, True])
@pytest.mark.parametrize(("precision", "bits"), [("bf16", 8), ("fp16", 11)])
def test_short_values_change_an_update_by_their_rounding(
    make_backend, make_solver, precision, bits, has_dnn
):
    """Parameters stay float32; a step differs by a few units in the last place of an activation."""
    full = train(make_solver(make_backend(has_dnn)), 1)[0]
    short = train(make_solver(make_backend(has_dnn, precision=precision)), 1)[0]
    assert not np.array_equal(full[0], short[0])
    for want, got in zip(full, short, strict=True):
        assert abs(got - want).max() <= 8 * 0.5**bits * max(abs(want).max(), 0.1)


def test_nothing_is_planned_or_taken_once_it_is_captured(
    make_backend, make_solver, emulated_device
):
    backend = make_backend()
    solver = make_solver(backend)
    train(solver, 5)
    calls = []
    for layer in solver.net.layers:
        layer.forward = lambda *args, name=layer.name: calls.append(name)
        layer.backward = lambda *args, name=layer.name: calls.append(name)
    before = dict(emulated_device.counts)
    for step in range(5, 8):
        feed(solver, step)
        solver.step(1)
    assert emulated_device.counts["allocate"] == before["allocate"]
    # What has been captured runs without Python; Input has nothing to record.
    assert set(calls) <= {"in"}
    per_step = (emulated_device.counts["upload"] - before["upload"]) / 3
    # The batch, its labels and what changes; the update is part of the one graph.
    assert per_step == 3
    assert emulated_device.counts["replay"] - before["replay"] == 3


DISTURBANCES = {
    "weights are read": lambda solver, step: solver.net.parameters[0].blob.data.read(),
    "weights are written": lambda solver, step: solver.net.parameters[0].blob.data.set(
        np.full(solver.net.parameters[0].blob.shape, 0.01 * step)
    ),
    "weights are changed on the host": lambda solver, step: np.multiply(
        solver.net.parameters[2].blob.data.host(),
        0.5,
        out=solver.net.parameters[2].blob.data.host(),
    ),
    "a pass runs in between": lambda solver, step: solver.net.forward(),
    "a part runs in between": lambda solver, step: solver.net.forward(1, 4),
    "the history is read": lambda solver, step: [h.host() for h in solver.history],
    "gradients are read": lambda solver, step: [
        p.blob.diff.update() for p in solver.net.parameters
    ],
}


@pytest.mark.parametrize("name", DISTURBANCES)
def test_disturbed_training_is_the_same(make_backend, make_solver, name):
    """Accesses between two steps take effect and do not disturb later ones."""
    between = DISTURBANCES[name]

    def sometimes(solver, step):
        if step in (2, 4, 5, 8):
            between(solver, step)

    want = train(make_solver(make_backend(captures=False)), 11, sometimes)
    assert_same(train(make_solver(make_backend()), 11, sometimes), want)


def count_replays(solver, device, n_steps, between):
    """Return how many graphs were launched in each step, with something done before every sixth."""
    replays = []
    for step in range(n_steps):
        feed(solver, step)
        if step % 6 == 5:
            between()
        before = device.counts["replay"]
        solver.step(1)
        replays.append(device.counts["replay"] - before)
    return replays


def test_what_is_disturbed_now_and_then_is_captured_ever_again(
    make_backend, make_solver, emulated_device
):
    solver = make_solver(make_backend())
    disturb = partial(solver.net.forward, 1, 4)
    replays = count_replays(solver, emulated_device, 6 * (MAX_FAILURES + 2), disturb)
    assert replays[11:] == [0, 0, 1, 1, 1, 1] * MAX_FAILURES + [0]


@pytest.mark.parametrize("name", ["conv", "loss"])
def test_looking_at_what_is_overwritten_disturbs_nothing(
    make_backend, make_solver, emulated_device, name
):
    solver = make_solver(make_backend())
    blob = solver.net.blobs[name]
    replays = count_replays(
        solver, emulated_device, 18, lambda: (blob.data.host(), blob.diff.host())
    )
    assert replays == [0, 0, *[1] * 16]


def test_a_new_batch_size_is_captured_anew(make_backend, make_solver):
    def run(backend):
        solver = make_solver(backend)
        seen = []
        for step, size in enumerate([6, 6, 6, 6, 4, 4, 4, 4, 6, 6, 6, 6]):
            for blob, rest in zip(solver.net.inputs, ((2, 9, 8), ()), strict=True):
                blob.reshape((size, *rest))
            feed(solver, step, size)
            solver.step(1)
            seen.append([p.blob.data.get() for p in solver.net.parameters])
        return seen

    assert_same(run(make_backend()), run(make_backend(captures=False)))


def test_a_test_net_shares_the_weights(make_backend, make_solver):
    def run(backend):
        solver = make_solver(backend)
        tester = Net("net.prototxt", "TEST", backend=backend, seed=1)
        tester.share_parameters_with(solver.net)
        losses = []

        def test(solver, step):
            rng = np.random.default_rng(100 + step)
            tester.inputs[0].data.set(rng.standard_normal((6, 2, 9, 8)))
            tester.inputs[1].data.set(LABELS)
            tester.forward()
            losses.append(tester.loss())

        train(solver, 8, test)
        return losses

    assert run(make_backend()) == run(make_backend(captures=False))


@pytest.mark.parametrize("captures", [False, True])
def test_solvers_in_threads(make_backend, make_solver, captures):
    """They share scratch memory and notes, and a new thread has chosen no device yet."""
    want = train(make_solver(make_backend(captures=captures)), 6)
    backend = make_backend(captures=captures)
    solvers, found = [make_solver(backend) for _ in range(3)], {}
    threads = [
        threading.Thread(target=lambda s=solver: found.update({s: train(s, 6)}))
        for solver in solvers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for solver in solvers:
        assert_same(found[solver], want)


@pytest.mark.parametrize("what", ["synchronize", "state", "restore"])
def test_calls_from_another_thread_wait_for_the_lock(make_backend, emulated_device, what):
    backend, failures = make_backend(precision="fp16"), []
    given = [backend.state()] if what == "restore" else []

    def ask():
        try:
            getattr(backend, what)(*given)
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    with backend.lock:
        # The other thread runs during the capture or, at the latest, after it.
        emulated_device.capture(lambda: (thread.start(), thread.join(0.05)))
    thread.join()
    assert not failures


def test_a_backend_of_the_parent_is_refused_after_fork(make_backend, make_solver, monkeypatch):
    solver = make_solver(make_backend())
    monkeypatch.setattr(Forks, "count", Forks.count + 1)
    with pytest.raises(BackendUnavailable, match="created before the process was forked, and CUDA"):
        solver.step(1)


def test_a_layer_without_a_kernel_runs_between_graphs(make_backend, monkeypatch, emulated_device):
    monkeypatch.delitem(CudaBackend.kernels, Lrn)
    rng = np.random.default_rng(0)
    batches = [rng.standard_normal((6, 2, 9, 8)) for _ in range(6)]

    def run(backend):
        net = net_from_text(NET, "TEST", backend=backend)
        net.inputs[1].data.set(LABELS)
        found = []
        for batch in batches:
            net.inputs[0].data.set(batch)
            net.forward()
            found.append(net.blobs["out"].data.get())
        return found

    want = run(make_backend(captures=False))
    np.testing.assert_array_equal(run(make_backend()), want)
    assert emulated_device.counts["capture"] == 2


def test_a_net_that_is_fed_through_host_views_is_captured(make_backend, emulated_device):
    net = net_from_text(NET, "TEST", backend=make_backend())
    views = [HostBlob(blob) for blob in net.inputs]
    for step in range(6):
        views[0].data[...] = step
        views[1].data[...] = LABELS
        net.forward()
        found = HostBlob(net.blobs["x"]).data.copy()
        assert (found == step).all()
    calls = []
    net.layers[1].forward = lambda *args: calls.append("conv")
    net.forward()
    assert not calls


def test_work_in_which_a_number_changes_is_not_captured(emulated_device):
    """Two passes draw two dropout masks; a graph would have one value for both."""
    values = LaunchParameters(emulated_device)
    slot, other = values.slot(1), values.slot(1)
    one = partial(np.ones, 1, np.float32)

    def give(*slots):
        for given in slots:
            given.bind(one)

    assert values.collect(partial(give, slot, other)) == [(slot, one), (other, one)]
    with pytest.raises(CannotCapture, match="a launch parameter changes in the middle"):
        values.collect(partial(give, slot, slot))


def test_pieces_that_stay_eager_are_logged_once(
    make_backend, emulated_device, caplog_minicaffe, caplog
):
    caplog.set_level(logging.INFO)
    backend = make_backend()
    one, other = backend.tensor((3, 4)), backend.tensor((3, 4))

    def refuse():
        other.target()
        if emulated_device.is_capturing:
            raise CannotCapture("a plan allocates memory")

    run = backend.compile([lambda: one.target(), lambda: one.get(), refuse])
    for _ in range(MAX_FAILURES + 1):
        run()
    assert not [line for line in caplog.messages if "captured" in line]
    for _ in range(5):
        run()
    (line,) = [line for line in caplog.messages if "captured" in line]
    assert line == (
        "1 of 2 pieces are not captured as CUDA graphs and run kernel by kernel: a plan allocates "
        "memory"
    )


def test_a_task_that_runs_another_net_is_not_captured(make_backend, emulated_device):
    backend = make_backend()
    net = net_from_text(NET, "TEST", backend=backend)
    net.inputs[1].data.set(LABELS)
    other = backend.tensor((3, 4))

    def run():
        net.forward()
        other.target()

    outer = backend.compile([run])
    for _ in range(6):
        outer()
    # The one graph of the inner net.
    assert emulated_device.counts["capture"] == 1
    assert emulated_device.counts["refused"] == 0
    assert emulated_device.counts["replay"] == 4


@pytest.mark.parametrize("settings", ["", "clip_gradients: 0.5"])
def test_a_net_without_parameters_is_trained(make_backend, tmp_path, settings):
    blobs = "dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 3 } }"
    path = tmp_path / "solver.prototxt"
    path.write_text(
        f'net_param {{ layer {{ name: "d" type: "DummyData" top: "a" top: "b" {blobs} }} '
        'layer { name: "loss" type: "EuclideanLoss" bottom: "a" bottom: "b" } } '
        f"{SETTINGS} {settings}"
    )
    solver = Solver(read_solver(path), make_backend())
    solver.step(4)
    assert solver.net.loss() == 0
    solver.close()
