"""Batches of images: uploaded as bytes while kernels run, then transformed by a kernel."""

from __future__ import annotations

import queue
import weakref
from collections.abc import Callable

import numpy as np

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, kernel
from minicaffe.backends.cuda.driver.device import THREADS, StagingBuffer
from minicaffe.backends.cuda.kernels._divisor import divisor
from minicaffe.backends.cuda.runtime.format import PLAIN
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.backend import Shape
from minicaffe.ops.transform import Transform

# An image has three words for its window and one for its label.
WINDOW_BYTES, LABEL_BYTES = 12, 4
# Values of a thread, and maximum number of blocks along y.
VALUES_PER_THREAD, MAX_BLOCKS_ALONG_Y = 4, 65535


class CudaStagedBatch:
    """A staging buffer divided into windows, labels and images; a `StagedBatch`.

    Parameters
    ----------
    staging : StagingBuffer
    shape : tuple of int
        Shape of the images.
    give_back : callable
        Called with the staging buffer after use, or when the last reference goes away.
    """

    def __init__(
        self, staging: StagingBuffer, shape: Shape, give_back: Callable[[StagingBuffer], None]
    ) -> None:
        self.staging, self.shape = staging, shape
        n = shape[0]
        labels_at, images_at = n * WINDOW_BYTES, n * (WINDOW_BYTES + LABEL_BYTES)
        self.windows = staging.host[:labels_at].view(np.int32).reshape(n, 3)
        self.labels = staging.host[labels_at:images_at].view(np.float32)
        self.images = staging.host[images_at:].reshape(shape)
        self.use_up = weakref.finalize(self, give_back, staging)
        self.use_up.atexit = False

    def upload(self) -> None:
        """Start the upload."""
        self.staging.upload()


@kernel(Transform)
class CudaTransform(CudaKernel[Transform]):
    """Image transformation on the device; y is written in the format that convolutions prefer."""

    file = "transform"

    def __init__(
        self, backend: CudaBackend, op: Transform, mean: CudaTensor, y: CudaTensor
    ) -> None:
        super().__init__(backend, op)
        self._shape = y.shape
        n, channels, rows, columns = y.shape
        size = channels * rows * columns
        self._numbers = (size, *divisor(channels), *divisor(rows), *divisor(columns))
        height, width = mean.shape[1:]
        # Strides of the mean's channels, rows and columns; 0 for a mean per channel.
        self._strides = (1, 0, 0) if height * width == 1 else (height * width, width, 1)
        blocks = -(-size // (THREADS * VALUES_PER_THREAD))
        self._grid = (n, min(blocks, MAX_BLOCKS_ALONG_Y))
        # A SimpleQueue, because the garbage collector may call `put` while `put` runs (reentrancy).
        self._free: queue.SimpleQueue[StagingBuffer] = queue.SimpleQueue()
        for _ in range(op.depth):
            size_bytes = n * (WINDOW_BYTES + LABEL_BYTES) + n * size
            self._free.put(self.device.staging(size_bytes))

    def stage(self) -> CudaStagedBatch | None:
        """Return a staged batch to fill."""
        try:
            staging = self._free.get_nowait()
        except queue.Empty:
            return None
        staging.wait()
        return CudaStagedBatch(staging, self._shape, self._free.put)

    def forward(
        self, staged: CudaStagedBatch, mean: CudaTensor, y: CudaTensor, labels: CudaTensor | None
    ) -> None:
        """Overwrite y and labels."""
        # Not captured, because the next batch may use another buffer or be transformed on the host.
        self.session.log_host_access()
        form = self.backend.format.on(y.shape)
        means, to = mean.source(PLAIN), y.target(form)
        staging, n = staged.staging, self._shape[0]
        windows, given_labels = staging.address, staging.address + n * WINDOW_BYTES
        images = given_labels + n * LABEL_BYTES
        staging.acquire()
        self.function("transform", form.value)(
            self._grid,
            THREADS,
            *(images, windows, means, to, *self._numbers, *self._strides),
            *(float(self.op.scale), int(form.channels_last)),
        )
        if labels is not None:
            self.device.copy(given_labels, labels.target(PLAIN), n * LABEL_BYTES)
        staging.release()
        staged.use_up()
