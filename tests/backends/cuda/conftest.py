import pytest

from minicaffe.backends.cuda import CudaBackend


@pytest.fixture
def make_backend(emulated_device):
    """A function that makes a cuda backend on the emulated GPU."""

    def make(**options):
        return CudaBackend(emulated_device, **{"precision": "fp32", **options})

    return make
