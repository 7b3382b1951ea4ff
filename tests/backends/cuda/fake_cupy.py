"""The part of CuPy 14 that `cupy_device` uses, with worst-case asynchrony.

Work stays in its stream until it is waited for. Freed pinned memory is reused at once. After
``with stream`` CUDA's default stream is the current one, as in CuPy. During capture, an operation
that CUDA refuses invalidates the capture.
"""

import ctypes
import itertools
import sys
import weakref
from types import ModuleType, SimpleNamespace

import numpy as np

MODULES = (
    "minicaffe.backends.cuda.driver.cupy_device",
    "minicaffe.backends.cuda.driver.cupy_transfers",
)


class CUDARuntimeError(RuntimeError):
    pass


class Stream:
    current = None
    numbers = itertools.count()

    def __init__(self, non_blocking=False):
        self.ptr = next(self.numbers)
        self.queue, self.captured, self.is_broken = [], None, False
        by_number[self.ptr] = self

    def use(self):
        Stream.current = self

    def __enter__(self):
        Stream.current = self

    def __exit__(self, *args):
        Stream.current = null

    def submit(self, work):
        (self.queue if self.captured is None else self.captured).append(work)

    def synchronize(self):
        if self.captured is not None:
            self.is_broken = True
            raise CUDARuntimeError("operation not permitted when stream is capturing")
        while self.queue:
            self.queue.pop(0)()

    def begin_capture(self):
        self.captured, self.is_broken = [], False

    def end_capture(self):
        captured, self.captured = self.captured, None
        if self.is_broken:
            raise CUDARuntimeError("capture was invalidated")
        return SimpleNamespace(launch=lambda stream: [stream.submit(work) for work in captured])


by_number = weakref.WeakValueDictionary()
null = Stream()


def memset_async(address, value, size_bytes, stream):
    if not size_bytes and by_number[stream].captured is not None:
        raise CUDARuntimeError("invalid argument")
    by_number[stream].submit(lambda: ctypes.memset(address, value, size_bytes))


class Event:
    stream, done = None, True

    def __init__(self, block=False, disable_timing=False):
        pass

    def record(self, stream):
        self.stream, self.done = stream, False
        stream.submit(lambda: setattr(self, "done", True))

    def synchronize(self):
        while not self.done:
            self.stream.queue.pop(0)()


class Pinned(np.ndarray):
    """The buffer of which `numpy.frombuffer` is made."""

    free = []


def alloc_pinned_memory(size_bytes):
    found = Pinned.free.pop() if Pinned.free else np.empty(1 << 17, np.uint8)
    pinned = found.view(Pinned)
    pinned.ptr = found.ctypes.data
    weakref.finalize(pinned, Pinned.free.append, found).atexit = False
    return pinned


def alloc(size_bytes):
    memory = np.empty(size_bytes, np.uint8)
    return SimpleNamespace(ptr=memory.ctypes.data, memory=memory, stream=Stream.current)


def memcpy_async(target, source, size_bytes, kind, stream):
    by_number[stream].submit(lambda: ctypes.memmove(target, source, size_bytes))


class Pool:
    times_freed = 0

    def free_all_blocks(self):
        Pool.times_freed += 1

    def free_bytes(self):
        return 3


class RawModule:
    def __init__(self, code, options):
        self.code, self.options = code, options

    def get_function(self, name):
        launches = Stream.launches

        def kernel(grid, block, args, *, shared_mem, stream):
            stream.submit(lambda: launches.append((name, grid, block, args, shared_mem, stream)))

        return SimpleNamespace(kernel=kernel)


def install(monkeypatch):
    """Install this as CuPy and import `cupy_device` with it; return that module."""
    card = {"name": b"a card", "major": 9, "minor": 0, "multiProcessorCount": 132}
    runtime = SimpleNamespace(
        deviceGetPCIBusId=lambda number: f"0000:{number:02x}:00.0",
        memcpyAsync=memcpy_async,
        memsetAsync=memset_async,
        getDeviceProperties=lambda number: card,
        memGetInfo=lambda: (4, 9),
        CUDARuntimeError=CUDARuntimeError,
        **{f"memcpy{way}": 0 for way in ("HostToDevice", "DeviceToHost", "DeviceToDevice")},
    )
    cuda = ModuleType("cupy.cuda")
    vars(cuda).update(
        runtime=runtime,
        Stream=Stream,
        Event=Event,
        Device=lambda number: SimpleNamespace(use=lambda: None),
        alloc=alloc,
        alloc_pinned_memory=alloc_pinned_memory,
    )
    memory, cupy = ModuleType("cupy.cuda.memory"), ModuleType("cupy")
    memory.OutOfMemoryError = MemoryError
    vars(cupy).update(
        cuda=cuda,
        RawModule=RawModule,
        get_default_memory_pool=Pool,
        ndarray=lambda *args, **given: given,
    )
    for module in (cupy, cuda, memory):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)
    Stream.current, Stream.launches = null, []
    Pinned.free.clear()
    return __import__(MODULES[0], fromlist=["CupyDevice"])
