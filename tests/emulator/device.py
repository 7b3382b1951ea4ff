"""The device itself: memory, copies, launches, recording."""

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
# What a staging buffer of the device holds when nobody may read it.
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
    """A copy to the host that is on its way until somebody waits for it."""

    is_done = False

    def __init__(self, arrive):
        self._arrive = arrive

    def wait(self):
        """Wait."""
        if not self.is_done:
            self._arrive()
        self.is_done = True


class StagingBuffer:
    """Memory that is uploaded to whenever it is least convenient.

    What is sent arrives when the host or the device waits for it, no sooner; before that, and once
    it is released, the device's memory holds garbage, and whatever asks for it is refused.
    """

    def __init__(self, device, size_bytes):
        self._device = device
        self._memory = device.allocate(size_bytes)
        self.address = self._memory.address
        # Looked up now: another thread sends.
        self._content = device.heap.view(self.address, size_bytes, np.uint8, "staging")
        self.host = np.full(size_bytes, GARBAGE, np.uint8)
        self.is_held = False
        self._sent = None
        self._is_on_its_way = False

    def wait(self):
        """Have it arrive, as far as the host's memory is concerned."""
        self._device.counts["staging wait"] += 1
        if self._is_on_its_way and (self._sent != self.host).any():
            raise DeviceFault("a staging buffer was changed on the host while it was uploaded")
        self._is_on_its_way = False

    def upload(self):
        """Overwrite what the device has with garbage until it is received."""
        self._device.counts["staging upload"] += 1
        if self.is_held:
            raise DeviceFault("a staging buffer was sent that was not released")
        if self._is_on_its_way:
            raise DeviceFault("a staging buffer was sent twice without a wait")
        self._content[:] = GARBAGE
        self._sent, self._is_on_its_way = self.host.copy(), True

    def acquire(self):
        """Have it arrive."""
        self._device.computing("acquire")
        self._device.counts["acquire"] += 1
        if self._sent is None or self.is_held:
            raise DeviceFault("a staging buffer was received that was not sent")
        self.wait()
        self._content[:] = self._sent
        self.is_held = True

    def release(self):
        """Let nobody read it any more."""
        self._device.computing("release")
        if not self.is_held:
            raise DeviceFault("a staging buffer was released that was not received")
        self._content[:] = GARBAGE
        self._sent, self.is_held = None, False

    def holds(self, address):
        """Return whether an address lies in it."""
        return self.address <= address < self.address + self._content.size


class EmulatedDevice:
    """A device on the CPU, which does everything at once and in order.

    Parameters
    ----------
    folder : Path, optional
        Where compiled kernels are kept.
    total_bytes : int
        Memory of the device; ``device.heap.total_bytes`` may be set at any time.
    has_dnn : bool
        Whether there are plans for convolutions, as cuDNN has them.
    is_backwards : bool
        Run the last block, warp and thread first: a kernel that depends on the order shows it.

    Attributes
    ----------
    launches : list of Launch
        Kernels and cuBLAS calls that have run, also those of recordings.
    counts : Counter
        How often each method was called; "wait" for each time that the host waited for the device,
        "refused" for each time that something was refused while recording.
    """

    name = "emulated"
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
        self._recorded = []
        self._inboxes = weakref.WeakSet()
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
        self._inboxes.add(staging)
        return staging

    def download(self, address, values):
        """Copy to the host."""
        self._outside("download", waits=True)
        values.reshape(-1).view(np.uint8)[:] = self._bytes(address, values, "download")

    def download_async(self, address, values):
        """Take a copy; `values` holds garbage until the function that is returned is called."""
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
            self._look_into_inboxes("copy", [source, target])
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
        """Record what `work` asks for without doing it; calling what is returned does it."""
        self._outside("record")
        self.is_capturing, self._recorded = True, []
        try:
            work()
        finally:
            self.is_capturing, recorded = False, self._recorded

        def replay():
            self._outside("replay")
            for run in recorded:
                run()

        return replay

    def milliseconds(self, work):
        """Run `work`, and return a time that means nothing."""
        work()
        return 1.0

    def make_current(self):
        """Let the calling thread launch."""
        self._threads.add(threading.get_ident())

    def synchronize(self):
        """Count that the host waits."""
        self._outside("synchronize", waits=True)

    # What the other parts of the emulator and the tests use.

    def check(self):
        """Raise if anything was written outside of allocations or to memory given back."""
        self.heap.check()

    def submit(self, launch, run):
        """Have a launch run, or recorded. Its pointers are looked at in both cases."""
        if threading.get_ident() not in self._threads:
            raise DeviceFault(f"{launch.name}: the device is not the current one of this thread")
        self._blocks(launch)

        def run_checked():
            self._look_into_inboxes(launch.name, launch.addresses)
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
        """Raise while recording: what is asked for would be done, not recorded."""
        if self.is_capturing:
            self.counts["refused"] += 1
            raise CannotCapture(f"{what} while recording")

    def waiting(self, what):
        """Count that the host waits for a value; raise while recording."""
        self._outside(what, waits=True)

    def _blocks(self, launch):
        return [self.heap.block(address, 0, launch.name) for address in launch.addresses]

    def _look_into_inboxes(self, what, addresses):
        for staging in self._inboxes:
            if not staging.is_held and any(staging.holds(address) for address in addresses):
                raise DeviceFault(f"{what}: a staging buffer is read that was not received")

    def _submit(self, what, run):
        self.counts[what] += 1
        if self.is_capturing:
            self._recorded.append(run)
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
