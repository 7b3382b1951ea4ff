import pytest

from emulator.dnn import EmulatedDnn
from minicaffe.backends.cuda import CudaBackend


@pytest.fixture
def make_backend(emulated_device):
    """A function that makes a cuda backend on the emulated GPU, with or without cuDNN."""

    def make(has_dnn=True, **options):
        emulated_device.dnns = (EmulatedDnn(emulated_device),) if has_dnn else ()
        return CudaBackend(emulated_device, **{"precision": "fp32", **options})

    return make
