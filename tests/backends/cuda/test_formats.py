"""Conversion between memory formats preserves values."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.backends.cuda.runtime.format import PLAIN, Format
from minicaffe.backends.cuda.runtime.session import Session
from minicaffe.backends.cuda.runtime.tensor import CudaTensor


@pytest.mark.parametrize("shape", [(3, 70, 5, 9), (2, 33, 64), (70, 2, 2), (1, 40, 3, 2, 17)])
@pytest.mark.parametrize("value", ["float", "bfloat16", "float16"])
def test_there_and_back(emulated_device, shape, value):
    tensor = CudaTensor(Session(emulated_device), shape)
    # What 8 bits hold is the same in every type.
    wanted = np.random.default_rng(0).integers(-128, 128, shape).astype(np.float32)
    tensor.set(wanted)
    tensor.change(Format(True, value))
    assert (tensor.get() == wanted).all()
    emulated_device.check()


def test_the_grid_is_long_along_one_axis_only(emulated_device):
    """There may be 65,535 blocks along y and z, and batches and images of any size."""
    for shape in ((4_000, 2, 2), (1, 2, 9_000)):
        tensor = CudaTensor(Session(emulated_device), shape)
        tensor.set(np.arange(np.prod(shape)).reshape(shape))
        tensor.source(Format(channels_last=True))
        tensor.source(PLAIN)
        grids = {launch.grid[1:] for launch in emulated_device.launches}
        assert grids == {(1, 1)}
