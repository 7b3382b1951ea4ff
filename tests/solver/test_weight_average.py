"""Averages of the parameters: their formulas, what tests and snapshots use, exact resuming."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from small_nets import DATA_NET, FED_NET, FIXED, feed, weights

from minicaffe.errors import SnapshotError, SolverError
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers
from minicaffe.schema import SolverParameter, parse_prototxt, read_net_weights
from minicaffe.solver.averaging.share import average_share, has_average
from minicaffe.solver.signals import Action
from probe import GPU_NAMES

BACKENDS = ["auto", "reference", *GPU_NAMES]
SETTINGS = (
    'base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 display: 1 average_loss: 4 max_iter: 9 '
    'snapshot: 5 snapshot_prefix: "run/s" test_iter: 2 test_interval: 3 random_seed: 7 '
)
STATE = "run/s_iter_5.solverstate"
EMA = "ema_decay: 0.6"
SWA = "swa_start: 3 swa_interval: 2"
BATCH_NORM = """layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" }
layer { name: "ip" """


def solver_param(text):
    return parse_prototxt(text, SolverParameter).message


def train(solver, n):
    """Make `n` iterations with other batches; return the parameters after each."""
    seen = []
    for step in range(solver.iter, solver.iter + n):
        feed(solver, step)
        solver.step(1)
        seen.append(weights(solver))
    return seen


def shown_average(solver):
    with solver._iteration.averaged(solver.iter):
        return weights(solver)


def test_shares_of_an_exponential_average():
    param = solver_param("ema_decay: 0.5")
    # i / (i + 9) is below 0.5 up to iteration 8.
    expected = [1, 9 / 10, 9 / 11, 9 / 12, 9 / 13, 9 / 14, 9 / 15, 9 / 16, 9 / 17, 0.5, 0.5]
    assert [average_share(param, i) for i in range(11)] == pytest.approx(expected)
    assert [has_average(param, n) for n in range(3)] == [False, True, True]


def test_shares_of_a_mean():
    param = solver_param("swa_start: 3 swa_interval: 2")
    expected = [0, 0, 1, 0, 1 / 2, 0, 1 / 3, 0, 1 / 4]
    assert [average_share(param, i) for i in range(9)] == pytest.approx(expected)
    assert [has_average(param, n) for n in range(5)] == [False, False, False, True, True]


def test_without_a_setting_nothing_is_kept(make_solver):
    solver = make_solver(FED_NET, FIXED)
    assert solver._iteration.average is None
    assert len(solver._iteration.kept) == len(solver.history)
    assert average_share(solver.param, 5) == 0


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("more", ["", "clip_gradients: 0.1", "larc: true"])
def test_exponential_average(make_solver, backend, more):
    solver = make_solver(FED_NET, f"{FIXED} {EMA} {more}", backend)
    plain = make_solver(FED_NET, f"{FIXED} {more}", backend, name="plain")
    seen = train(solver, 5)
    expected = seen[0]["ip.0"].astype(np.float64)
    for i in range(1, 5):
        share = 1 - min(0.6, i / (i + 9))
        expected += share * (seen[i]["ip.0"] - expected)
    np.testing.assert_allclose(shown_average(solver)["ip.0"], expected, rtol=1e-5)
    # The parameters are trained as without it, and shown again.
    np.testing.assert_array_equal(weights(solver)["ip.0"], train(plain, 5)[-1]["ip.0"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_mean_of_parameters(make_solver, backend):
    solver = make_solver(FED_NET, f"{FIXED} {SWA}", backend)
    seen = train(solver, 8)
    expected = np.mean([seen[n - 1]["ip.0"] for n in (3, 5, 7)], axis=0, dtype=np.float64)
    np.testing.assert_allclose(shown_average(solver)["ip.0"], expected, rtol=1e-5)


def test_large_parameters_in_chunks(make_solver):
    """As many values as several chunks of the oneDNN backend have, against the reference."""
    net = FED_NET.replace("num_output: 2", "num_output: 270011")
    averages = []
    for backend in ("auto", "reference"):
        solver = make_solver(net, f"{FIXED} {EMA}", backend, name=backend)
        train(solver, 2)
        averages.append(shown_average(solver)["ip.0"])
    np.testing.assert_allclose(*averages, rtol=1e-4, atol=1e-6)


def run(solver, caplog, resume=None):
    """Solve; return the parameters, their average, and the lines of tests."""
    caplog.clear()
    solver.solve(resume)
    lines = [m for m in caplog.messages if re.match(r"    Test|Iteration \d+, Testing", m)]
    return weights(solver), shown_average(solver), lines


@pytest.mark.parametrize("more", [EMA, SWA, f"{EMA} snapshot_format: HDF5"])
def test_resumed_equals_uninterrupted(make_solver, database, caplog_minicaffe, more):
    net = DATA_NET.replace('layer { name: "ip" ', BATCH_NORM)
    whole = run(make_solver(net, SETTINGS + more), caplog_minicaffe)
    state = STATE + (".h5" if "HDF5" in more else "")
    resumed = run(make_solver(net, SETTINGS + more), caplog_minicaffe, state)
    for got, want in zip(resumed[:2], whole[:2], strict=True):
        for name, values in want.items():
            np.testing.assert_array_equal(got[name], values, err_msg=name)
    first = whole[2].index("Iteration 6, Testing net (#0)")
    assert resumed[2] == whole[2][first:]
    assert len(resumed[2]) == 6


def test_tests_use_the_average(make_solver, database, caplog_minicaffe):
    """The scores are those of a net with the weights of the snapshot's .caffemodel."""
    averaged = make_solver(DATA_NET, SETTINGS + EMA)
    caplog_minicaffe.clear()
    averaged.solve()
    loss = next(m for m in reversed(caplog_minicaffe.messages) if "Test net output #1" in m)
    with_average = make_solver(DATA_NET, f'{SETTINGS} weights: "run/s_iter_9.caffemodel"')
    # The last test reads the batches after those of the tests at iterations 0, 3 and 6.
    for _ in range(3 * 2):
        with_average.test_nets[0].forward()
    caplog_minicaffe.clear()
    with_average.test_all()
    assert loss in caplog_minicaffe.messages


@pytest.mark.parametrize("suffix", ["", ".h5"])
def test_files_of_a_snapshot(make_solver, suffix):
    form = " snapshot_format: HDF5" if suffix else ""
    solver = make_solver(FED_NET, f'{FIXED} {SWA} snapshot_prefix: "s" {form}')
    train(solver, 2)
    solver.snapshot()
    assert not Path(f"s_iter_2.raw.caffemodel{suffix}").exists()
    train(solver, 2)
    solver.snapshot()
    for name, expected in (
        (f"s_iter_4.caffemodel{suffix}", shown_average(solver)),
        (f"s_iter_4.raw.caffemodel{suffix}", weights(solver)),
    ):
        (layer,) = [layer for layer in read_net_weights(name) if layer.blobs]
        np.testing.assert_array_equal(layer.blobs[0], expected["ip.0"])
    assert (shown_average(solver)["ip.0"] != weights(solver)["ip.0"]).any()


def test_a_snapshot_during_a_test_holds_both(make_solver, database):
    solver = make_solver(DATA_NET, SETTINGS + EMA)
    solver.step(4)
    before = weights(solver)
    asked = [Action.SNAPSHOT]
    solver.poll = lambda: asked.pop() if asked else Action.NONE
    solver.test_all()
    for name, values in before.items():
        np.testing.assert_array_equal(weights(solver)[name], values)
    net = Net("solver_net.prototxt", "TEST", backend=solver.backend)
    for path, expected in (
        ("run/s_iter_4.raw.caffemodel", before),
        ("run/s_iter_4.caffemodel", shown_average(solver)),
    ):
        copy_trained_layers(net, path)
        for p in net.parameters:
            name = f"{p.layer.name}.{p.index}"
            np.testing.assert_array_equal(p.blob.data.get(), expected[name])


def test_an_average_begins_anew_after_a_snapshot_without_one(make_solver, caplog_minicaffe):
    plain = make_solver(FED_NET, f'{FIXED} snapshot_prefix: "s"')
    train(plain, 3)
    plain.snapshot()
    solver = make_solver(FED_NET, f"{FIXED} {EMA}", name="averaging")
    solver.restore("s_iter_3.solverstate")
    assert any("holds no average of the parameters" in m for m in caplog_minicaffe.messages)
    np.testing.assert_array_equal(shown_average(solver)["ip.0"], weights(plain)["ip.0"])


def test_a_solver_without_averages_resumes_from_the_parameters(make_solver):
    solver = make_solver(FED_NET, f'{FIXED} {EMA} snapshot_prefix: "s"')
    train(solver, 3)
    solver.snapshot()
    plain = make_solver(FED_NET, FIXED, name="plain")
    plain.restore("s_iter_3.solverstate")
    np.testing.assert_array_equal(weights(plain)["ip.0"], weights(solver)["ip.0"])


def test_a_missing_file_of_the_average_is_an_error(make_solver):
    solver = make_solver(FED_NET, f'{FIXED} {EMA} snapshot_prefix: "s"')
    train(solver, 3)
    solver.snapshot()
    Path("s_iter_3.caffemodel").unlink()
    with pytest.raises(SnapshotError, match=r"s_iter_3\.caffemodel, does not exist\. Copy it"):
        solver.restore("s_iter_3.solverstate")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("ema_decay: 1", "ema_decay must be at least 0 and below 1, it is 1"),
        ("ema_decay: 0.9 swa_start: 5", "ema_decay and swa_start exclude each other"),
        ("swa_start: -1", "swa_start must be at least 0, it is -1"),
        ("swa_start: 1 swa_interval: 0", "swa_interval must be at least 1, it is 0"),
    ],
)
def test_problems(make_solver, settings, message):
    with pytest.raises(SolverError, match=message):
        make_solver(FED_NET, FIXED + settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("swa_interval: 2", "swa_interval has no effect without swa_start"),
        ("swa_start: 9 max_iter: 8", "swa_start: 9 is larger than max_iter: 8"),
    ],
)
def test_settings_without_effect(make_solver, caplog_minicaffe, settings, message):
    make_solver(FED_NET, FIXED + settings)
    assert any(message in m for m in caplog_minicaffe.messages)
