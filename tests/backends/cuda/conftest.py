import pytest

from emulator.dnn import EmulatedDnn
from minicaffe.backends.cuda import CudaBackend
from minicaffe.backends.cuda.driver.tuning import PlanCache, Tuner


@pytest.fixture
def make_backend(emulated_device):
    """A function that makes a cuda backend on the emulated GPU, with or without cuDNN."""

    def make(has_dnn=True, **options):
        emulated_device.dnns = (EmulatedDnn(emulated_device),) if has_dnn else ()
        backend = CudaBackend(emulated_device, **{"precision": "fp32", **options})
        # Without timing, which captures and replays plans: tests count graphs.
        backend.tuner = Tuner(emulated_device.dnns, emulated_device.name, PlanCache(None))
        return backend

    return make
