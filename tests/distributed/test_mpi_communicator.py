"""MpiCommunicator in processes that mpiexec starts."""

import pytest
from mpi_ranks import run_ranks_of_python

PROGRAM = """
import sys, threading
import numpy as np
from minicaffe.distributed.processes import process_communicator
from minicaffe.distributed.mpi import MpiCommunicator
from minicaffe.errors import CommunicationError

everyone = process_communicator()
assert process_communicator() is everyone
n, rank = everyone.size, everyone.rank
assert n == int(sys.argv[1]), n
assert (everyone.local_rank, everyone.local_size) == (rank, n)
assert everyone.is_root == (rank == 0)
assert everyone.library.startswith("MPICH"), everyone.library
assert everyone.allows_threads

small = MpiCommunicator(everyone._comm, (rank, n), most_bytes=40)  # many parts
for communicator in (everyone, small, everyone.duplicate()):
    for dtype in (np.float32, np.float64, np.int64):
        values = (np.arange(33) * (rank + 1)).astype(dtype).reshape(3, 11)
        communicator.allreduce(values)
        np.testing.assert_array_equal(values, np.arange(33).reshape(3, 11) * (n * (n + 1) // 2))
    for values in (np.full((3, 11), rank, np.uint16), np.full((), rank, np.float32), np.empty(0)):
        communicator.broadcast(values, n - 1)
        assert (values == n - 1).all()
    for partner in (rank ^ 1, rank):
        received = np.zeros((5, 7), np.float32)
        communicator.exchange(np.full((5, 7), rank, np.float32), received, partner)
        assert (received == partner).all()
    assert communicator.allgather({"rank": rank}) == [{"rank": k} for k in range(n)]
    assert communicator.from_root(f"of rank {rank}") == "of rank 0"
    communicator.barrier()

# Two threads at the same time, each with its own communicator.
other = everyone.duplicate()
sums = [np.full(1000, rank, np.float32) for _ in range(40)]
thread = threading.Thread(target=lambda: [other.allreduce(values) for values in sums])
thread.start()
for k in range(40):
    assert everyone.allgather(k) == [k] * n
thread.join()
assert all((values == n * (n - 1) // 2).all() for values in sums)

try:
    everyone.broadcast(np.zeros((3, 4))[:, :2])
except ValueError as error:
    assert "C order" in str(error)
else:
    raise AssertionError("accepted an array that is not in C order")
try:
    everyone.exchange(np.zeros(1), np.zeros(1), n)
except CommunicationError as error:
    assert str(error).startswith("MPI: "), error
else:
    raise AssertionError("accepted a rank that does not exist")

assert everyone.meets_within(60)
print("done")
"""


@pytest.mark.parametrize("n", [2, 4])
def test_ranks_exchange_values(n):
    code, out, err = run_ranks_of_python(n, "-c", PROGRAM, str(n))
    assert code == 0, err
    assert out.count("done") == n


def test_one_rank_is_a_single_process():
    program = (
        "import sys\n"
        "from minicaffe.distributed.processes import process_communicator\n"
        "print(process_communicator().library, 'mpi4py' in sys.modules)"
    )
    assert run_ranks_of_python(1, "-c", program) == (0, "one process False\n", "")


def test_not_all_meet():
    program = (
        "from minicaffe.distributed.processes import process_communicator\n"
        "everyone = process_communicator()\n"
        "if everyone.is_root:\n"
        "    print(everyone.meets_within(0.05), flush=True)\n"
        "    everyone.abort(7)\n"
        "everyone.duplicate()"  # waits for rank 0
    )
    code, out, _ = run_ranks_of_python(2, "-c", program)
    assert (code, out) == (7, "False\n")
