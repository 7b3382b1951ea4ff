"""The thread that sums gradients: order, errors, interrupts, and its end."""

import threading
import time
import weakref

import pytest
from parallel_training import make_backend, make_solver, train_alone, train_by_ranks
from test_exchange_on_device import FED_NET
from thread_communicator import ThreadCommunicator
from twin_communicator import TwinCommunicator

from lifetimes import no_garbage, threads
from minicaffe.distributed.reduction_thread import DeferredReductions, ReductionThread
from minicaffe.solver.parallel.settings import DataParallel

NAME = "minicaffe-reduction"


def wait_for_end():
    """Wait until no such thread is left."""
    end = time.monotonic() + 10
    while NAME in threads() and time.monotonic() < end:
        time.sleep(0.001)
    assert NAME not in threads()


@pytest.mark.parametrize("kind", [ReductionThread, DeferredReductions])
def test_jobs_run_in_order(kind):
    done, reductions = [], kind()
    for round in range(3):
        for i in range(4):
            reductions.append_job(lambda i=i: done.append(i))
        reductions.wait_for_jobs()
        assert done == [0, 1, 2, 3] * (round + 1)
    reductions.wait_for_jobs()


def test_jobs_run_while_the_caller_goes_on():
    started, go_on, reductions = threading.Event(), threading.Event(), ReductionThread()
    reductions.append_job(lambda: (started.set(), go_on.wait(10)))
    assert started.wait(10)
    go_on.set()
    reductions.wait_for_jobs()


@pytest.mark.parametrize("kind", [ReductionThread, DeferredReductions])
def test_an_error_is_raised_by_the_wait_and_no_later_job_runs(kind):
    done, reductions = [], kind()
    reductions.append_job(lambda: done.append(1 // 0))
    reductions.append_job(lambda: done.append(2))
    with pytest.raises(ZeroDivisionError):
        reductions.wait_for_jobs()
    assert not done


def test_no_job_runs_after_an_error():
    done, reductions = [], ReductionThread()
    reductions.append_job(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        reductions.wait_for_jobs()
    reductions.append_job(lambda: done.append(1))
    with pytest.raises(RuntimeError, match="an earlier sum failed"):
        reductions.wait_for_jobs()
    assert not done


def test_an_interrupted_wait_can_be_repeated(monkeypatch):
    go_on, done, reductions = threading.Event(), [], ReductionThread()
    reductions.append_job(lambda: (go_on.wait(10), done.append(1)))

    def interrupt(fence):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("minicaffe.distributed.reduction_thread._Fence.wait", interrupt)
        with pytest.raises(KeyboardInterrupt):
            reductions.wait_for_jobs()
    assert not done
    go_on.set()
    reductions.wait_for_jobs()
    assert done == [1]


def test_the_thread_ends_with_its_owner_after_the_job_that_runs():
    started, go_on, done = threading.Event(), threading.Event(), []
    reductions = ReductionThread()
    reductions.append_job(lambda: (started.set(), go_on.wait(10), done.append(1)))
    reductions.append_job(lambda: done.append(2))
    assert started.wait(10)
    del reductions
    go_on.set()
    wait_for_end()
    assert done == [1]


@pytest.mark.parametrize("settings", ["", "clip_gradients: 0.1", "debug_info: true display: 1"])
def test_a_solver_dies_with_its_last_reference_and_the_thread_with_it(settings, monkeypatch):
    monkeypatch.setattr("minicaffe.distributed.buckets.BUCKET_BYTES", 40)  # several buckets
    with no_garbage():
        parallel = DataParallel(TwinCommunicator())
        solver = make_solver(settings, parallel, make_backend("reference"), net=FED_NET)
        solver.step(2)
        assert NAME in threads()
        dead = weakref.ref(solver)
        del solver
        assert dead() is None
        wait_for_end()


def test_one_process_has_no_thread():
    train_alone("")
    assert NAME not in threads()


def test_an_error_of_the_exchange_ends_the_training():
    class Failing(TwinCommunicator):
        def allreduce(self, values):
            raise OSError("the cable is cut")

        def duplicate(self):
            return self

    parallel = DataParallel(Failing())
    solver = make_solver("", parallel, make_backend("reference"), net=FED_NET)
    with pytest.raises(OSError, match="the cable is cut"):
        solver.step(1)


def test_a_communicator_that_allows_one_thread_is_used_after_the_backward_pass(monkeypatch):
    monkeypatch.setattr(ThreadCommunicator, "allows_threads", False)
    monkeypatch.setattr(
        ThreadCommunicator, "duplicate", lambda self: pytest.fail("needs no duplicate")
    )
    wanted = train_alone("momentum: 0.9")
    found = train_by_ranks(2, "momentum: 0.9")[0]
    for name, values in wanted.parameters.items():
        assert found.parameters[name] == pytest.approx(values, rel=1e-4, abs=1e-6)
    assert NAME not in threads()
