"""NcclSum with a fake of cupy.cuda.nccl, whose processes are threads."""

import sys
import threading
from types import ModuleType

import numpy as np
import pytest
from thread_communicator import run_ranks

from minicaffe.distributed.communicator import ALONE, SingleProcess
from minicaffe.distributed.nccl import NcclSum, open_nccl
from minicaffe.errors import CommunicationError, MissingPackage

STREAM = 77


class NcclError(RuntimeError):
    pass


class FakeNccl(ModuleType):
    """Sums arrays that `addresses` holds; the identifier must be that of rank 0."""

    NCCL_FLOAT32, NCCL_SUM = 7, 0
    NcclError = NcclError
    available = True

    def __init__(self, size):
        super().__init__("cupy.cuda.nccl")
        self.addresses, self.calls, self.n_identifiers = {}, [], 0
        self.barrier = threading.Barrier(size)
        outer = self

        class NcclCommunicator:
            def __init__(self, ndev, commId, rank):
                assert (ndev, commId) == (size, b"identifier 1")
                self.rank = rank

            def allReduce(self, sendbuf, recvbuf, count, datatype, op, stream):
                assert sendbuf == recvbuf
                if count == 0:
                    raise NcclError("NCCL_ERROR_INVALID_ARGUMENT")
                outer.calls.append((count, datatype, op, stream))
                outer.barrier.wait(10)
                total = sum(outer.addresses[address][:count].copy() for address in outer.addresses)
                outer.barrier.wait(10)
                outer.addresses[recvbuf][:count] = total

            def check_async_error(self):
                raise NcclError("NCCL_ERROR_SYSTEM_ERROR")

        self.NcclCommunicator = NcclCommunicator

    def get_unique_id(self):
        self.n_identifiers += 1
        return f"identifier {self.n_identifiers}".encode()

    def get_version(self):
        return 23203


def install(monkeypatch, nccl):
    cuda = ModuleType("cupy.cuda")
    cuda.nccl = nccl
    cupy = ModuleType("cupy")
    cupy.cuda = cuda
    for name, module in (("cupy", cupy), ("cupy.cuda", cuda), ("cupy.cuda.nccl", nccl)):
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.parametrize("n", [1, 3])
def test_sums(monkeypatch, n):
    nccl = FakeNccl(n)
    install(monkeypatch, nccl)
    nccl.addresses = {1000 + k: np.arange(7, dtype=np.float32) * (k + 1) for k in range(n)}

    def work(communicator):
        group = NcclSum(communicator)
        group.enqueue_sum(1000 + communicator.rank, 5, STREAM)
        return group.library

    assert run_ranks(n, work) == ["NCCL 2.32.3"] * n
    assert nccl.n_identifiers == 1
    assert nccl.calls == [(5, 7, 0, STREAM)] * n
    for k, values in enumerate(nccl.addresses.values()):
        factors = [n * (n + 1) // 2] * 5 + [k + 1] * 2  # two values lie behind the sum
        np.testing.assert_array_equal(values, np.arange(7) * factors)


def test_errors_of_nccl(monkeypatch):
    nccl = FakeNccl(1)
    install(monkeypatch, nccl)
    group = NcclSum(ALONE)
    with pytest.raises(CommunicationError, match=r"^NCCL: NCCL_ERROR_INVALID_ARGUMENT\. A GPU, a "):
        group.enqueue_sum(1000, 0, STREAM)
    with pytest.raises(CommunicationError, match="NCCL_DEBUG=INFO"):
        group.raise_if_failed()


def test_without_nccl(monkeypatch):
    nccl = FakeNccl(1)
    nccl.available = False
    install(monkeypatch, nccl)
    with pytest.raises(MissingPackage, match=r"needs NCCL, which CuPy cannot load\. Install it w"):
        NcclSum(ALONE)
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.delitem(sys.modules, "cupy.cuda")
    monkeypatch.delitem(sys.modules, "cupy.cuda.nccl")
    with pytest.raises(MissingPackage, match=r"pip install 'minicaffe\[gpu-multi\]'"):
        NcclSum(ALONE)


class Ranks(SingleProcess):
    """Rank 0 of processes, each with a GPU of its own or the given ones."""

    def __init__(self, gpus):
        self.size, self._gpus = len(gpus), gpus

    def allgather(self, value):
        return self._gpus if isinstance(value, tuple) else [value] * self.size


APART = [("a", "01:00"), ("a", "02:00"), ("b", "01:00")]


@pytest.mark.parametrize(
    ("gpus", "reason", "line"),
    [
        (APART, "", "Gradients are summed on the GPUs: NCCL 2.32.3."),
        (APART, "a reason.", "Gradients are summed in main memory (one process): a reason."),
        (
            [("a", "01:00"), ("b", "01:00"), ("b", "01:00")],
            "",
            "Gradients are summed in main memory (one process): ranks 1 and 2 on b share a GPU, "
            "which NCCL does not allow.",
        ),
        (
            [("a", "01:00"), ("b", "")],
            "",
            "Gradients are summed in main memory (one process): rank 1 on b computes on the CPU.",
        ),
        ([("a", ""), ("a", "")], "", None),
        ([("a", "01:00")], "", None),
    ],
)
def test_gpus_that_allow_it_are_used(monkeypatch, caplog_minicaffe, gpus, reason, line):
    install(monkeypatch, FakeNccl(len(gpus)))
    found = open_nccl(Ranks(gpus), gpus[0][1], reason)
    assert caplog_minicaffe.messages == ([line] if line else [])
    assert (found is not None) == (gpus is APART and not reason)


def test_main_memory_is_used_without_nccl(monkeypatch, caplog_minicaffe):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert open_nccl(Ranks(APART), "01:00") is None
    (line,) = caplog_minicaffe.messages
    assert line.startswith(
        "Gradients are summed in main memory (one process): training on several GPUs needs CuPy "
    )
    assert line.endswith("Install it with: pip install 'minicaffe[gpu-multi]'")
