"""The memory that the exchange of gradients keeps is counted."""

import pytest
from parallel_training import make_backend, make_solver
from twin_communicator import TwinCommunicator

from minicaffe.distributed.communicator import ALONE
from minicaffe.solver.parallel.settings import DataParallel


@pytest.mark.parametrize(
    ("communicator", "parallel", "n_more"),
    [
        (ALONE, {}, 0),
        (TwinCommunicator(), {}, 0),
        (ALONE, {"summation_parts": 8}, 3),
        (TwinCommunicator(), {"summation_parts": 8}, 2),
        (TwinCommunicator(), {"gradient_type": "float16"}, 1),
    ],
)
def test_sums_of_parts_and_unsent_gradients_count(communicator, parallel, n_more):
    solver = make_solver("", DataParallel(communicator, **parallel), make_backend("reference"))
    # SGD keeps one tensor of history for each parameter.
    assert solver._iteration.n_kept == 1 + n_more
