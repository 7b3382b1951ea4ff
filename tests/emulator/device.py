"""The device itself: memory, copies, launches, graph capture."""

import atexit
import collections
import shutil
import tempfile
import threading
import weakref
from pathlib import Path

import numpy as np

from emulator.arrays import ArrayModule
from emulator.cublas import EmulatedCublas
from emulator.dnn import EmulatedDnn
from emulator.kernels import Compiler, Kernel
from emulator.memory import DeviceFault, Heap
from minicaffe.backends.cuda.driver.device import Address, CannotCapture

_compilers = {}
# Contents of a staging buffer while it must not be read.
GARBAGE = 0xA7


def compiler(folder=None):
    """Return the compiler of a folder; without one, of a folder that the process removes."""
    if folder not in _compilers:
        path = Path(folder or tempfile.mkdtemp(prefix="emulated_kernels_"))
        if folder is None:
            atexit.register(shutil.rmtree, path, ignore_errors=True)
        _compilers[folder] = Compiler(path)
    return _compilers[folder]


class Download:
    """A copy to the host that is unfinished until `wait` is called."""

    is_done = False

    def __init__(self, arrive):
        self._arrive = arrive

    def wait(self):
        """Wait."""
        if not self.is_done:
            self._arrive()
        self.is_done = True


class StagingBuffer:
    """A staging buffer with worst-case timing.

    An upload finishes only when the host or the device waits for it; before that, and after
    `release`, the device's memory holds garbage, and access to it raises DeviceFault.
    """

    def __init__(self, device, size_bytes):
        self._device = device
        self._memory = device.allocate(size_bytes)
        self.address = self._memory.address
        # Looked up now, because another thread uploads.
        self._content = device.heap.view(self.address, size_bytes, np.uint8, "staging")
        self.host = np.full(size_bytes, GARBAGE, np.uint8)
        self.is_acquired = False
        self._uploaded = None
        self._is_uploading = False

    def wait(self):
        """Finish the upload for the host: its memory may be changed."""
        self._device.counts["staging wait"] += 1
        if self._is_uploading and (self._uploaded != self.host).any():
            raise DeviceFault("a staging buffer was changed on the host while it was uploaded")
        self._is_uploading = False

    def upload(self):
        """Fill the device's memory with garbage until `acquire`."""
        self._device.counts["staging upload"] += 1
        if self.is_acquired:
            raise DeviceFault("a staging buffer was uploaded that was not released")
        if self._is_uploading:
            raise DeviceFault("a staging buffer was uploaded twice without a wait")
        self._content[:] = GARBAGE
        self._uploaded, self._is_uploading = self.host.copy(), True

    def acquire(self):
        """Finish the upload for the device."""
        self._device.computing("acquire")
        self._device.counts["acquire"] += 1
        if self._uploaded is None or self.is_acquired:
            raise DeviceFault("a staging buffer was acquired that was not uploaded")
        self.wait()
        self._content[:] = self._uploaded
        self.is_acquired = True

    def release(self):
        """Fill the device's memory with garbage."""
        self._device.computing("release")
        if not self.is_acquired:
            raise DeviceFault("a staging buffer was released that was not acquired")
        self._content[:] = GARBAGE
        self._uploaded, self.is_acquired = None, False

    def holds(self, address):
        """Return whether an address is in the buffer."""
        return self.address <= address < self.address + self._content.size


class EmulatedDevice:
    """A device on the CPU, which executes every operation immediately and in order.

    Parameters
    ----------
    folder : Path, optional
        Cache of compiled kernels.
    total_bytes : int
        Memory of the device; ``device.heap.total_bytes`` may be set at any time.
    has_dnn : bool
        Whether there are plans for convolutions, as cuDNN has them.
    is_backwards : bool
        Run the last block, warp and thread first, to find kernels that depend on the order.

    Attributes
    ----------
    launches : list of Launch
        Kernels and cuBLAS calls that have run, also those of captured graphs.
    counts : Counter
        How often each method was called; "wait" for each time that the host waited for the device,
        "refused" for each time that something was refused during graph capture.
    """

    name = "emulated"
    pci_bus = "0000:57:00.0"
    capability = (9, 0)
    multiprocessors = 4
    stream = 0x57
    description = "an emulated GPU"

    def __init__(self, folder=None, total_bytes=4 << 30, has_dnn=False, is_backwards=False):
        self.compiler = compiler(folder)
        self.heap = Heap(total_bytes)
        self.is_backwards = is_backwards
        self.dnns = (EmulatedDnn(self),) if has_dnn else ()
        self.is_capturing = False
        self.launches = []
        self.counts = collections.Counter()
        self.xp = ArrayModule(self)
        self.cublas = EmulatedCublas(self)
        self._functions = {}
        self._captured = []
        self._staging_buffers = weakref.WeakSet()
        self._threads = {threading.get_ident()}

    def memory(self):
        """Return free and total memory, bytes."""
        return self.heap.total_bytes - self.heap.used_bytes, self.heap.total_bytes

    def allocate(self, size_bytes):
        """Return new memory, which holds NaN."""
        self._outside("allocate")
        return self.heap.allocate(size_bytes)

    def array(self, memory, shape):
        """Return a float32 array over the beginning of a memory."""
        count = int(np.prod(shape, dtype=np.int64))
        values = self.heap.view(memory.address, count, np.float32, "array")
        return self.xp.over(values.reshape(shape), memory)

    def upload(self, address, values):
        """Copy from the host."""
        self._outside("upload")
        self._bytes(address, values, "upload")[:] = values.reshape(-1).view(np.uint8)

    def staging(self, size_bytes):
        """Return new memory for uploads that overlap with kernels."""
        staging = StagingBuffer(self, size_bytes)
        self._staging_buffers.add(staging)
        return staging

    def download(self, address, values):
        """Copy to the host."""
        self._outside("download", waits=True)
        values.reshape(-1).view(np.uint8)[:] = self._bytes(address, values, "download")

    def download_async(self, address, values):
        """Take a copy; `values` holds garbage until `wait` is called."""
        self._outside("download_async")
        copied = self._bytes(address, values, "download_async").copy()
        target = values.reshape(-1).view(np.uint8)
        target[:] = 0xFF

        def arrive():
            self._outside("wait", waits=True)
            target[:] = copied

        return Download(arrive)

    def clear(self, address, size_bytes):
        """Fill with zero bytes."""

        def run():
            self.heap.view(address, size_bytes, np.uint8, "clear")[:] = 0

        self._submit("clear", run)

    def copy(self, source, target, size_bytes):
        """Copy within the device."""
        if abs(source - target) < size_bytes:
            raise DeviceFault(
                f"copy of {size_bytes} bytes onto themselves, {target - source} further"
            )

        def run():
            self._look_into_staging_buffers("copy", [source, target])
            values = self.heap.view(source, size_bytes, np.uint8, "copy from")
            self.heap.view(target, size_bytes, np.uint8, "copy to")[:] = values

        self._submit("copy", run)

    def function(self, source, name, options=()):
        """Return a kernel of a CUDA source text."""
        key = source, name, options
        if key not in self._functions:
            library, signatures = self.compiler.library(source, options)
            self._functions[key] = Kernel(self, name, library, signatures)
        return self._functions[key]

    def capture(self, work):
        """Capture the operations of `work` without executing them; return their replay."""
        self._outside("capture")
        self.is_capturing, self._captured = True, []
        try:
            work()
        finally:
            self.is_capturing, captured = False, self._captured

        def replay():
            self._outside("replay")
            for run in captured:
                run()

        return replay

    def milliseconds(self, work):
        """Run `work` and return a meaningless time."""
        work()
        return 1.0

    def make_current(self):
        """Let the calling thread launch."""
        self._threads.add(threading.get_ident())

    def synchronize(self):
        """Count that the host waits."""
        self._outside("synchronize", waits=True)

    # The interface for the other parts of the emulator and the tests.

    def check(self):
        """Raise if anything was written outside of allocations or to memory freed."""
        self.heap.check()

    def submit(self, launch, run):
        """Run or capture a launch; its pointers are checked in both cases."""
        if threading.get_ident() not in self._threads:
            raise DeviceFault(f"{launch.name}: the device is not the current one of this thread")
        self._blocks(launch)

        def run_checked():
            self._look_into_staging_buffers(launch.name, launch.addresses)
            blocks = self._blocks(launch)
            run()
            self.launches.append(launch)
            for block in blocks:
                try:
                    block.check()
                except DeviceFault as fault:
                    raise DeviceFault(f"{launch.name}: {fault}") from None

        self._submit("launch", run_checked)

    def computing(self, what):
        """Raise during graph capture, because the operation would be executed, not captured."""
        if self.is_capturing:
            self.counts["refused"] += 1
            raise CannotCapture(f"{what} during graph capture")

    def waiting(self, what):
        """Count that the host waits for a value; raise during graph capture."""
        self._outside(what, waits=True)

    def _blocks(self, launch):
        return [self.heap.block(address, 0, launch.name) for address in launch.addresses]

    def _look_into_staging_buffers(self, what, addresses):
        for staging in self._staging_buffers:
            if not staging.is_acquired and any(staging.holds(address) for address in addresses):
                raise DeviceFault(f"{what}: a staging buffer is read that was not acquired")

    def _submit(self, what, run):
        self.counts[what] += 1
        if self.is_capturing:
            self._captured.append(run)
        else:
            run()

    def _outside(self, what, waits=False):
        self.computing(what)
        self.counts[what] += 1
        if waits and what != "wait":
            self.counts["wait"] += 1

    def _bytes(self, address, values, purpose):
        if type(address) is not Address:
            raise DeviceFault(f"{purpose}: {address!r} is no Address")
        if type(values) is not np.ndarray or not values.flags.c_contiguous:
            raise DeviceFault(f"{purpose}: not a C-ordered array of the host")
        return self.heap.view(address, values.nbytes, np.uint8, purpose)
