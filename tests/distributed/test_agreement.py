"""What processes decide together: actions, means, errors of rank 0, and shares of work."""

from itertools import chain

import pytest
from thread_communicator import run_ranks

from minicaffe.distributed.communicator import ALONE
from minicaffe.errors import DivergedError, SnapshotError, SolverError
from minicaffe.solver.parallel.agreement import Agreement
from minicaffe.solver.signals import Action

NONE, STOP, SNAPSHOT = Action.NONE, Action.STOP, Action.SNAPSHOT


@pytest.mark.parametrize(
    ("actions", "strongest"),
    [
        ((NONE, NONE, NONE), NONE),
        ((NONE, NONE, SNAPSHOT), SNAPSHOT),
        ((SNAPSHOT, STOP, SNAPSHOT), STOP),
        ((NONE, STOP, NONE), STOP),
    ],
)
def test_the_strongest_action_is_that_of_all(actions, strongest):
    def work(communicator):
        ranks = Agreement(communicator)
        return ranks.agree_on(actions[ranks.rank], (float(ranks.rank), 0.25))

    assert run_ranks(3, work) == [(strongest, [1.0, 0.25])] * 3


def test_the_log_tells_of_the_signal_of_another_process(caplog_minicaffe):
    run_ranks(2, lambda c: Agreement(c).agree_on(STOP if c.rank else NONE))
    line = "Another process received a signal: stopping after this iteration"
    assert caplog_minicaffe.messages == [line]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 8])
def test_work_is_divided_into_consecutive_parts_of_nearly_equal_size(n):
    parts = run_ranks(3, lambda communicator: Agreement(communicator).own_part(n))
    assert list(chain(*parts)) == list(range(n))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) == -(-n // 3)


@pytest.mark.parametrize("kind", [SnapshotError, SolverError, DivergedError])
def test_an_error_of_rank_0_is_that_of_all(kind):
    def work(communicator):
        def fail():
            raise kind(f"rank {communicator.rank}")

        with pytest.raises(kind, match=r"^rank 0$"):
            Agreement(communicator).on_root(fail)
        return True

    assert run_ranks(3, work) == [True] * 3


def test_work_of_rank_0_is_done_once():
    done = []
    run_ranks(3, lambda c: Agreement(c).on_root(lambda: done.append(c.rank)))
    assert done == [0]


def test_one_process_returns_what_it_was_given():
    ranks = Agreement(ALONE)
    assert ranks.agree_on(SNAPSHOT, (2.0,)) == (SNAPSHOT, (2.0,))
    assert ranks.own_part(5) == range(5)
    with pytest.raises(SnapshotError, match="alone"):
        ranks.on_root(lambda: (_ for _ in ()).throw(SnapshotError("alone")))
