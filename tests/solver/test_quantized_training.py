"""Training through random rounding: full-precision weights learn, tests see rounded ones."""

from __future__ import annotations

import numpy as np
import pytest
from small_nets import FED_NET, FIXED

from minicaffe.backends import get_backend

GRID = "bw_params: 3 fl_params: 1"  # -2, -1.5, ..., 1.5
NET = FED_NET.replace("num_output: 2", "num_output: 2 bias_term: false").replace(
    '"InnerProduct"', f'"FcRistretto" quantization_param {{ {GRID} }}'
)


def feed_separable(net, step):
    """Fill the inputs: the class is whether the first number exceeds the second."""
    rng = np.random.default_rng(step)
    x, y = net.inputs
    values = rng.standard_normal(x.shape)
    x.data.set(values)
    y.data.set(values[:, 0] > values[:, 1])


def loss_of(net):
    total = 0.0
    for step in range(100):
        feed_separable(net, 1000 + step)
        net.forward()
        total += float(net.blobs["loss"].data.get())
    return total / 100


@pytest.mark.parametrize("name", ["reference", "auto"])
def test_the_loss_falls_and_weights_move_by_less_than_a_step_of_the_grid(make_solver, name):
    settings = FIXED.replace("base_lr: 0.1", "base_lr: 0.05") + "test_iter: 1 test_interval: 999"
    solver = make_solver(NET, settings, get_backend(name))
    tested = solver.test_nets[0]
    first = loss_of(tested)
    for step in range(200):
        feed_separable(solver.net, step)
        solver.step(1)
    assert loss_of(tested) < first / 2
    weights = solver.net.parameters[0].blob.data.get()
    assert (weights * 2 != np.rint(weights * 2)).all()
