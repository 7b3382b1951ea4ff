"""Trainings of several processes: they stop, snapshot, test and fail at the same iteration."""

import json
from pathlib import Path

import numpy as np
import pytest
from thread_communicator import assert_same_on_all_ranks

from minicaffe.errors import DivergedError, NetError, SnapshotError, SolverError
from minicaffe.layers.batch_norm import BatchNorm
from minicaffe.solver.signals import Action
from minicaffe.solver.snapshots import snapshot_writer
from minicaffe.solver.solver import Solver

QUIET = "snapshot_after_train: false "
TESTED = QUIET + "max_iter: 2 test_interval: 2 test_iter: {} test_compute_loss: true "


def weights(solver):
    """Return copies of all parameters."""
    return [p.blob.data.get().copy() for p in solver.net.parameters]


def names(pattern="s_*"):
    return sorted(path.name for path in Path().glob(pattern))


def triple(iteration):
    stem = f"s_iter_{iteration}"
    return [f"{stem}.caffemodel", f"{stem}.solverstate", f"{stem}.solverstate.json"]


def asks(solver, action, rank, iteration):
    """Return a poll of a signal that one rank receives in an iteration."""
    pending = [action] if solver.parallel.communicator.rank == rank else []

    def poll():
        return pending.pop() if pending and solver.iter >= iteration else Action.NONE

    return poll


@pytest.mark.parametrize("rank", [0, 2])
def test_a_signal_to_one_rank_stops_all_after_the_same_iteration(train, rank):
    def work(solver):
        solver.poll = asks(solver, Action.STOP, rank, 3)
        solver.solve()
        return solver.iter, solver.stopped_early

    assert train(3, "max_iter: 9", work) == [(3, True)] * 3
    assert names() == triple(3)


def test_signals_that_reach_ranks_at_different_iterations(train):
    def work(solver):
        solver.poll = asks(solver, Action.STOP, solver.parallel.communicator.rank, 5)
        if solver.parallel.communicator.rank == 1:
            solver.poll = asks(solver, Action.STOP, 1, 4)
        solver.solve()
        return solver.iter

    assert train(3, QUIET + "max_iter: 9", work) == [4] * 3


def test_a_signal_asks_for_a_snapshot_of_all(train, monkeypatch):
    writers = count_writers(monkeypatch)

    def work(solver):
        solver.poll = asks(solver, Action.SNAPSHOT, 1, 2)
        solver.solve()
        return solver.iter

    assert train(2, QUIET + "max_iter: 4", work) == [4] * 2
    assert names() == triple(2)
    assert writers == [(0, 2)]


def test_a_signal_ends_the_test_of_all(train, caplog_minicaffe):
    def work(solver):
        batches = []
        solver.observers.test_batches.append(lambda batch, n: batches.append(batch))
        pending = [Action.STOP] if solver.parallel.communicator.rank == 1 else []
        solver.poll = lambda: pending.pop() if pending and len(batches) == 2 else Action.NONE
        before = [net.state() for net in solver.test_nets]
        solver.solve()
        return solver.iter, [net.state() for net in solver.test_nets] == before, batches

    # The test before the first iteration: rank 1 computes the last three of five batches.
    assert train(2, TESTED.format(5), work) == [(0, True, [0, 2])] * 2
    assert caplog_minicaffe.messages.count("Test interrupted.") == 2


def count_writers(monkeypatch):
    """Return the (rank, iteration) of each snapshot that is written."""
    found, original = [], snapshot_writer.write_snapshot

    def write(contents, iteration):
        found.append((contents.parallel.communicator.rank, iteration))
        original(contents, iteration)

    monkeypatch.setattr(snapshot_writer, "write_snapshot", write)
    return found


def test_losses_and_outputs_are_means_over_all_ranks(train):
    """Of one rank they are those of its own inputs."""

    def work(solver):
        displayed, own = [], []
        solver.observers.displays.append(displayed.append)
        solver.on_gradients_ready.append(lambda: own.append(solver.net.loss()))
        solver.solve()
        return displayed, own, solver.losses.values()

    found = train(3, QUIET + "max_iter: 6 display: 2 average_loss: 2", work)
    own = np.mean([own for _, own, _ in found], axis=0)
    assert np.std([own for _, own, _ in found], axis=0).min() > 0.01
    for displayed, _, last in found:
        losses = [report.loss for report in displayed]
        assert losses == pytest.approx([own[0], *(own[1:3].mean(), own[3:5].mean())])
        outputs = [report.outputs["loss"] for report in displayed]
        assert outputs == pytest.approx([own[0], own[2], own[4]])
        assert last == found[0][2]
        assert last[0] == pytest.approx(own[-1])  # then comes the last display's


def test_a_loss_can_be_shown_without_waiting_for_other_ranks(train):
    def work(solver):
        solver.step(3)
        known = [solver.smoothed_loss for _ in range(1 + solver.parallel.communicator.rank)]
        return known[0], solver.losses.mean()

    found = train(2, QUIET + "max_iter: 6 average_loss: 3", work)
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]


def test_all_ranks_stop_at_the_loss_of_one_that_is_not_finite(train):
    def work(solver):
        def spoil():
            if solver.iter == 2 and solver.parallel.communicator.rank == 1:
                x = solver.net.inputs[0].data
                x.set(np.full(x.shape, np.nan, np.float32))

        solver.on_start.append(spoil)
        with pytest.raises(DivergedError, match=r"^Iteration 2: the loss is nan") as error:
            solver.solve()
        return solver.iter, str(error.value)

    found = train(2, "max_iter: 9 stop_at_non_finite_loss: true snapshot: 3", work)
    assert found[0] == found[1]
    assert names() == []


def test_the_policy_plateau_decides_alike(train):
    def work(solver):
        solver.solve()
        return solver.rate, weights(solver)

    policy = 'lr_policy: "plateau" gamma: 0.5 plateau_winsize: 2 plateau_winsize: 3 '
    settings = QUIET + "max_iter: 12 " + policy
    rates, found = zip(*train(3, settings, work), strict=True)
    assert len(set(rates)) == 1
    assert rates[0] < 0.1
    for values in zip(*found, strict=True):
        assert_same_on_all_ranks(values)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_scores_are_those_of_one_process(train, n):
    def work(solver):
        reports = []
        solver.observers.tests.append(reports.append)
        for _ in range(2):  # the second test goes on in the data
            solver.test_all()
        states = [net.state() for net in solver.test_nets]
        return [report.outputs for report in reports], states

    ((expected, state),) = train(1, TESTED.format(n), work)
    for size in (2, 3, 4):
        found = train(size, TESTED.format(n), work)
        for outputs, states in found:
            assert states == state
            assert outputs == found[0][0] == [pytest.approx(one, rel=1e-5) for one in expected]


def test_the_loss_of_a_test_is_that_of_one_process(train, caplog_minicaffe):
    def line():
        lines = [m for m in caplog_minicaffe.messages if m.startswith("Test loss")]
        caplog_minicaffe.clear()
        return set(lines)

    train(1, TESTED.format(5), Solver.test_all)
    (expected,) = line()
    train(3, TESTED.format(5), Solver.test_all)
    assert line() == {expected}


def test_patience_and_the_best_weights_are_those_of_all(train, monkeypatch):
    saved = []
    monkeypatch.setattr(
        "minicaffe.solver.scores.model_selection.save_net", lambda net, path: saved.append(net)
    )

    def work(solver):
        solver.solve()
        return solver.iter, solver.lost_patience, solver.selection.best

    tested = 'test_interval: 1 test_iter: 3 patience: 2 keep_best: "accuracy" base_lr: 0 '
    settings = QUIET + "max_iter: 9 " + tested
    found = train(2, settings, work)
    assert found[0] == found[1]
    assert found[0][:2] == (2, True)
    assert len(saved) == 1


BATCH_NORM = """
layer { name: "x" type: "Input" top: "x" top: "y"
  input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
layer { name: "bn" type: "BatchNorm" bottom: "x" top: "x" }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss" }
"""


@pytest.mark.parametrize("average", ["", "ema_decay: 0.5"])
@pytest.mark.parametrize("what", [Solver.snapshot, Solver.test_all])
def test_running_statistics_become_means(train, monkeypatch, what, average):
    monkeypatch.setattr(BatchNorm, "running_statistics", (0, 1, 2))
    Path("net.prototxt").write_text(BATCH_NORM)

    def work(solver):
        solver.step(3)
        before = weights(solver)[:3]
        what(solver)
        kept = solver._iteration.average
        return before, weights(solver)[:3], kept and [t.get().copy() for t in kept.tensors[:3]]

    before, after, kept = zip(*train(2, QUIET + average, work), strict=True)
    assert np.abs(before[0][0] - before[1][0]).max() > 0.01
    for k in range(3):
        np.testing.assert_allclose(after[0][k], (before[0][k] + before[1][k]) / 2, rtol=1e-6)
        assert_same_on_all_ranks([after[0][k], after[1][k]])
        if average:
            assert_same_on_all_ranks([kept[0][k], kept[1][k]])


def fail_to_write(monkeypatch, iterations):
    """Let the snapshots of some iterations fail."""
    original = snapshot_writer.write_snapshot

    def write(contents, iteration):
        if iteration in iterations:
            raise SnapshotError(f"s_iter_{iteration} cannot be written: No space left on device.")
        original(contents, iteration)

    monkeypatch.setattr(snapshot_writer, "write_snapshot", write)


def test_a_snapshot_that_rank_0_cannot_write_ends_nothing(train, monkeypatch):
    fail_to_write(monkeypatch, {2})

    def work(solver):
        solver.solve()
        return solver.iter

    assert train(2, "snapshot: 2 max_iter: 4", work) == [4, 4]
    assert names() == triple(4)


def test_the_last_snapshot_fails_on_all_ranks(train, monkeypatch):
    fail_to_write(monkeypatch, {4})

    def work(solver):
        with pytest.raises(SnapshotError, match="No space left"):
            solver.solve()
        return solver.iter

    assert train(2, "max_iter: 4", work) == [4, 4]


@pytest.mark.parametrize("ranks", [{1}, {0}, {1, 2}])
def test_an_error_of_some_ranks_saves_what_was_learned(train, monkeypatch, ranks):
    """The others are ended while they wait; here their waiting fails."""
    writers = count_writers(monkeypatch)

    def work(solver):
        rank = solver.parallel.communicator.rank

        def fail():
            if solver.iter == 3 and rank in ranks:
                raise ValueError(f"rank {rank} has read a damaged record")

        solver.on_start.append(fail)
        solver.solve()

    with pytest.raises(ValueError, match="damaged record") as error:
        train(3, "max_iter: 9", work)
    assert "Iteration 3 is saved" in error.value.__notes__[0]
    assert [iteration for _, iteration in writers] == [3]
    assert names() == triple(3)
    assert names(".s_*") == []


def test_snapshots_hold_the_number_of_processes_and_can_go_on_with_another(train, caplog_minicaffe):
    train(4, "max_iter: 4 average_loss: 3")
    side = json.loads(Path("s_iter_4.solverstate.json").read_text())
    assert side["processes"] == 4
    assert side["batch_size"] is None  # a program fills the net
    assert len(side["losses"]) == 3

    def work(solver):
        solver.solve("s_iter_4.solverstate")
        return weights(solver)

    for values in zip(*train(2, "max_iter: 6", work), strict=True):
        assert_same_on_all_ranks(values)
    assert names("s_iter_6*") == triple(6)


def test_another_size_of_the_batch_is_warned_of(train, caplog_minicaffe):
    net = Path("net.prototxt")
    text = net.read_text()
    start, end = text.index('layer { name: "x"'), text.index('layer { name: "data"')
    net.write_text(text[:start] + text[end:].replace("include { phase: TEST }", ""))
    train(4, "max_iter: 2 iter_size: 3")
    caplog_minicaffe.clear()

    def work(solver):
        solver.solve("s_iter_2.solverstate")

    train(2, "max_iter: 3 iter_size: 3", work)
    (warning,) = {r.getMessage() for r in caplog_minicaffe.records if r.levelname == "WARNING"}
    assert warning == (
        "s_iter_2.solverstate.json: an update was made of 24 images (4 processes), and is made of "
        "12 now (2 processes): iterations, max_iter and base_lr mean something else. "
        "--batch_size=8:total keeps the size."
    )
    assert "Effective batch size 12 = 2 x 2 x 3 (2 processes, iter_size: 3)" in (
        caplog_minicaffe.messages
    )


def test_a_seed_that_the_solver_does_not_set_is_that_of_rank_0(train):
    seeds = train(3, "random_seed: -1", lambda solver: solver.seed)
    assert len(set(seeds)) == 1


def test_a_leveldb_to_test_is_refused_on_all_ranks(train):
    net = Path("net.prototxt")
    net.write_text(net.read_text().replace("backend: LMDB", "backend: LEVELDB"))
    with pytest.raises(NetError, match="lmdb: 2 processes read this database, but LevelDB lets"):
        train(2, TESTED.format(1))


def test_marks_of_processes_that_were_killed_are_removed(train):
    Path(".s_iter_7.solverstate.writer").write_text("host 1")
    Path(".other_iter_7.solverstate.writer").write_text("host 1")
    train(2, "max_iter: 1")
    assert names(".*.writer") == [".other_iter_7.solverstate.writer"]


def test_a_prefix_that_rank_0_cannot_write_is_an_error_of_all(train):
    Path("file").write_text("")

    def work(solver):
        with pytest.raises(SolverError, match='snapshot_prefix: "file/s" cannot be written'):
            solver.solve()
        return True

    assert train(2, 'max_iter: 1 snapshot_prefix: "file/s"', work) == [True, True]
