"""Trainings on an emulated GPU that are disturbed between iterations, to compare their bits."""

from __future__ import annotations

import numpy as np

from minicaffe.schema import SolverParameter, SolverSource, parse_net
from minicaffe.solver.solver import Solver


def train(text, backend, shape, disturb, disturbed, iter_size=1, blobs=()):
    """Train a net with inputs of values and of labels; return the values after each iteration.

    Parameters
    ----------
    text : str
        The net.
    backend : CudaBackend
    shape : tuple of int
        Of its first input; there are three samples.
    disturb : callable
        Takes the net.
    disturbed : sequence of int
        The iterations after which that is called; two more follow the last one.
    iter_size : int
    blobs : sequence of str
        Names of blobs whose values are returned after those of the parameters.
    """
    param = SolverParameter(base_lr=0.1, lr_policy="fixed", momentum=0.9, iter_size=iter_size)
    param.snapshot_after_train = False
    param.net_param.CopyFrom(parse_net(text).param)
    param.random_seed = 1
    solver = Solver(SolverSource(param, "disturbed"), backend=backend)
    seen = []
    for step in range(disturbed[-1] + 2):
        solver.net.inputs[0].data.set(np.random.default_rng(step).standard_normal(shape))
        solver.net.inputs[1].data.set([0, 3, 1])
        solver.step(1)
        if step in disturbed:
            disturb(solver.net)
        seen += [p.blob.data.get() for p in solver.net.parameters]
        seen += [solver.net.blobs[name].data.get() for name in blobs]
    solver.close()
    return seen
