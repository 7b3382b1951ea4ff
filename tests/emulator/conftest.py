from pathlib import Path

import numpy as np
import pytest

SOURCE = Path(__file__).with_name("test_kernels.cu").read_text()
OPTIONS = ("-DVALUE=8.0f",)


@pytest.fixture(params=[False, True], ids=["forwards", "backwards"])
def device(emulated_device, request):
    """The device, in both orders of blocks and threads."""
    emulated_device.is_backwards = request.param
    return emulated_device


@pytest.fixture
def kernel(device):
    """The function that returns a kernel of test_kernels.cu."""
    return lambda name: device.function(SOURCE, name, OPTIONS)


@pytest.fixture
def random():
    return np.random.default_rng(7)
