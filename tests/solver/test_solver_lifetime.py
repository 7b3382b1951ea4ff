"""Solvers are freed by their last reference, with nets, threads and database handles."""

from __future__ import annotations

import weakref
from pathlib import Path

import pytest
from small_nets import DATA_NET, FED_NET, FIXED

from lifetimes import no_garbage, open_files, threads
from minicaffe.errors import DeviceMemoryError, MinicaffeError, SnapshotError
from minicaffe.schema import read_solver
from minicaffe.solver.solver import Solver
from probe import backend_or_skip, make_backend
from recording import RecordingBackend

SETTINGS = FIXED + "momentum: 0.5 average_loss: 2 display: 2 test_iter: 1 test_interval: 2 "


@pytest.fixture(params=["reference", "onednn", "cuda-channels-last", "recording"])
def backend(request):
    if request.param == "recording":
        return RecordingBackend()
    return backend_or_skip(request.param)


@pytest.fixture
def source(workdir):
    """A function that returns the source of a solver; nothing keeps what is made of it."""

    def write(net, settings):
        Path("net.prototxt").write_text(net)
        Path("solver.prototxt").write_text(f'net: "net.prototxt" {settings}')
        return read_solver("solver.prototxt")

    return write


@pytest.mark.parametrize("more", ["", "iter_size: 2", "clip_gradients: 0.1", "debug_info: true"])
def test_a_solver_dies_with_its_last_reference(source, database, workdir, backend, more):
    before, source = threads(), source(DATA_NET, SETTINGS + more)
    with no_garbage():
        solver = Solver(source, backend)
        solver.step(5)
        assert threads() - before
        assert open_files(workdir)
        dead = [weakref.ref(thing) for thing in (solver, solver.net, *solver.test_nets)]
        del solver
        if isinstance(backend, RecordingBackend):
            backend.forget()
        assert not any(ref() for ref in dead)
        assert threads() - before <= {"minicaffe_0"}
        assert not open_files(workdir)


def test_a_solver_that_saved_resumed_and_failed_to_save_dies(source, database, monkeypatch):
    source = source(DATA_NET, SETTINGS + 'snapshot: 2 max_iter: 4 snapshot_prefix: "s"')
    backend = make_backend("reference")
    with no_garbage():
        solver = Solver(source, backend)
        solver.solve()
        solver.restore("s_iter_2.solverstate")
        monkeypatch.setattr("minicaffe.solver.snapshots.snapshot_writer.write_snapshot", _full_disk)
        with pytest.raises(SnapshotError, match="disk is full"):
            solver.solve()
        dead = weakref.ref(solver)
        del solver
        assert dead() is None


def _full_disk(*_):
    raise SnapshotError("the disk is full.")


def test_a_solver_and_a_test_net_that_shares_its_parameters_die_apart(source):
    source, backend = source(FED_NET, FIXED + "test_iter: 1 test_interval: 9"), RecordingBackend()
    with no_garbage():
        solver = Solver(source, backend)
        (net,), dead = solver.test_nets, weakref.ref(solver)
        del solver
        assert dead() is None
        net.forward()
        dead = weakref.ref(net)
        del net
        backend.forget()
        assert dead() is None


FAULTS = {
    "test net": (DATA_NET + 'layer { name: "a" type: "Nothing" include { phase: TEST } }', ""),
    "weights": (DATA_NET, 'weights: "missing.caffemodel"'),
    "prefix": (DATA_NET, 'snapshot: 1 snapshot_prefix: "net.prototxt/s"'),
}


@pytest.mark.parametrize(("net", "more"), FAULTS.values(), ids=FAULTS)
def test_a_solver_that_cannot_be_built_closes_its_databases(source, database, workdir, net, more):
    source = source(net, SETTINGS + more)
    with pytest.raises(MinicaffeError) as caught:
        Solver(source, make_backend("reference"))
    assert not open_files(workdir)
    assert caught.value


def test_a_solver_without_memory_closes_its_databases(source, database, workdir, monkeypatch):
    backend = make_backend("reference")
    monkeypatch.setattr(backend, "free_bytes", lambda: 0)
    monkeypatch.setattr(backend, "missing_bytes", lambda tensors, are_activations: 1)
    with pytest.raises(DeviceMemoryError):
        Solver(source(DATA_NET, SETTINGS), backend)
    assert not open_files(workdir)
