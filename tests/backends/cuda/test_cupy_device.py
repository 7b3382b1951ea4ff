"""What `cupy_device` asks of CuPy, held to a stand-in that is as late and as strict as a GPU."""

from __future__ import annotations

import gc
import sys

import fake_cupy
import numpy as np
import pytest
from fake_cupy import Stream

from minicaffe.backends.cuda.driver.device import Address, CannotCapture
from minicaffe.errors import BackendUnavailable


@pytest.fixture
def module(monkeypatch):
    yield fake_cupy.install(monkeypatch)
    for name in fake_cupy.MODULES:
        sys.modules.pop(name, None)


@pytest.fixture
def device(module):
    return module.CupyDevice(0)


def floats(device, values):
    memory = device.allocate(4 * len(values))
    device.upload(memory.address, np.array(values, np.float32))
    return memory


def fetched(device, memory):
    values = np.empty(memory.size_bytes // 4, np.float32)
    device.download(memory.address, values)
    return values.tolist()


WORK = {
    "allocate": lambda device: device.allocate(4),
    "launch": lambda device: device.function("", "kernel")(1, 32),
    "capture": lambda device: device.capture(lambda: None)(),
    "array": lambda device: device.array(device.allocate(4), (1,)),
    "upload": lambda device: floats(device, [1]),
}


@pytest.mark.parametrize("what", WORK)
def test_the_reference_kernels_run_on_the_devices_own_stream(module, device, what):
    WORK[what](device)
    assert Stream.current.ptr == device.stream
    other = module.CupyDevice(0)
    assert Stream.current.ptr == other.stream
    memory = device.allocate(4)
    assert memory.pointer.stream.ptr == device.stream
    device.array(memory, (1,))
    assert Stream.current.ptr == device.stream


def test_memory_is_that_of_the_card_that_is_asked(module, device):
    module.CupyDevice(0)
    assert device.memory() == (4 + 3, 9)
    assert Stream.current.ptr == device.stream


def test_a_new_device_frees_what_the_pool_keeps_for_others(module, device):
    before = fake_cupy.Pool.times_freed
    module.CupyDevice(0)
    assert fake_cupy.Pool.times_freed == before + 1


def test_a_launch_names_its_stream_and_has_arguments_of_the_kernels_sizes(module, device):
    launch = device.function("source", "kernel", ("-DVALUE=float",))
    module.CupyDevice(0)
    launch((3, 2), 256, Address(1 << 40), -1, 0.5, shared_bytes=64)
    device.synchronize()
    ((name, grid, block, args, shared, stream),) = Stream.launches
    assert (name, grid, block, shared) == ("kernel", (3, 2), (256,), 64)
    assert [type(a) for a in args] == [np.uint64, np.int32, np.float32]
    assert stream.ptr == device.stream


def test_pinned_memory_is_not_used_again_before_a_copy_is_done(device):
    memories = [floats(device, [float(i)]) for i in range(100)]
    device.synchronize()
    values = np.empty(1, np.float32)
    device.download_async(memories[0].address, values)  # never waited for
    gc.collect()
    again = device.download_async(memories[7].address, values)
    assert [fetched(device, memory) for memory in memories] == [[float(i)] for i in range(100)]
    again.wait()
    assert values == 7


def test_uploads_may_be_changed_as_soon_as_they_are_asked_for(device):
    for size in (1, 20_000):
        memories, values = [device.allocate(4 * size) for _ in range(70)], np.empty(size, "f4")
        for i, memory in enumerate(memories):
            values[:] = i
            device.upload(memory.address, values)
        for i, memory in enumerate(memories):
            assert fetched(device, memory) == [i] * size


def test_what_is_captured_is_done_by_calling_it(device):
    source, target = floats(device, [1, 2]), floats(device, [0, 0])
    replay = device.capture(lambda: device.copy(source.address, target.address, 8))
    assert fetched(device, target) == [0, 0]
    replay()
    assert fetched(device, target) == [1, 2]


def test_work_that_fails_while_captured(device):
    memory = floats(device, [3])

    def fail(error):
        device.clear(memory.address, 4)
        raise error

    for error in (CannotCapture("no"), ValueError("wrong"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught:
            device.capture(lambda error=error: fail(error))
        assert caught.value is error
        assert not device.is_capturing
    assert fetched(device, memory) == [3]


def test_what_cuda_refuses_without_breaking_the_capture(device):
    def refused():
        raise fake_cupy.CUDARuntimeError("invalid argument")

    with pytest.raises(CannotCapture, match="CUDA cannot capture this work: invalid argument"):
        device.capture(refused)


def test_nothing_is_no_part_of_a_capture(device):
    memory = floats(device, [5])
    device.capture(lambda: device.clear(memory.address, 0))()
    device.capture(lambda: device.copy(memory.address, memory.address, 0))()
    assert fetched(device, memory) == [5]


class Handle:
    """What waits for the device when it is freed, as cuBLAS's does; refers to itself."""

    def __init__(self, device):
        self.me, self.device = self, device

    def __del__(self):
        self.device.synchronize()


def test_garbage_is_not_given_back_while_captured(device):
    memory = floats(device, [6])
    gc.collect()

    def work():
        for _ in range(2):
            Handle(device)
        # Enough for a collection.
        objects = [[] for _ in range(10 * gc.get_threshold()[0])]
        device.clear(memory.address, len(objects) and 4)

    try:
        device.capture(work)()
        assert gc.isenabled()
        with pytest.raises(ValueError, match="wrong"):
            device.capture(lambda: (_ for _ in ()).throw(ValueError("wrong")))
        assert gc.isenabled()
    finally:
        gc.collect()
    assert fetched(device, memory) == [0]


def test_what_cuda_does_not_record_breaks_a_graph_only(device):
    memory = floats(device, [4])

    def wait():
        device.clear(memory.address, 4)
        device.synchronize()

    with pytest.raises(CannotCapture, match="CUDA cannot capture this work: operation not"):
        device.capture(wait)

    def wait_without_a_word():
        with pytest.raises(RuntimeError):
            wait()

    with pytest.raises(CannotCapture, match="the capture was invalidated"):
        device.capture(wait_without_a_word)
    assert fetched(device, memory) == [4]
    device.capture(lambda: device.clear(memory.address, 4))()
    assert fetched(device, memory) == [0]


def test_missing_headers_of_cuda_are_named(device, monkeypatch):
    def refuse(code, options):
        raise RuntimeError("Failed to find CUDA headers. Please install the CUDA Toolkit")

    monkeypatch.setattr(fake_cupy.sys.modules["cupy"], "RawModule", refuse)
    with pytest.raises(
        BackendUnavailable,
        match=r"CuPy cannot compile kernels \(Failed to find CUDA headers.*nvidia-cuda-runtime",
    ):
        device.function("", "kernel")


def test_other_errors_of_a_compilation_stay_as_they_are(device, monkeypatch):
    def refuse(code, options):
        raise RuntimeError("an unknown architecture")

    monkeypatch.setattr(fake_cupy.sys.modules["cupy"], "RawModule", refuse)
    with pytest.raises(RuntimeError, match=r"^an unknown architecture"):
        device.function("", "kernel")
