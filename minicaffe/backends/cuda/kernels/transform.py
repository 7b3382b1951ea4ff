"""Batches of pictures: uploaded as bytes beside the kernels, transformed by one of them."""

from __future__ import annotations

import queue
import weakref
from collections.abc import Callable

import numpy as np

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, kernel
from minicaffe.backends.cuda.driver.device import THREADS, Inbox
from minicaffe.backends.cuda.kernels._divisor import divisor
from minicaffe.backends.cuda.runtime.format import PLAIN
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.backend import Shape
from minicaffe.ops.transform import Transform

# A picture's window is three words, its label one.
WINDOW_BYTES, LABEL_BYTES = 12, 4
# So many values for each thread, and blocks along y.
VALUES_PER_THREAD, MAX_BLOCKS_ALONG_Y = 4, 65535


class CudaParcel:
    """An inbox seen as windows, labels and pictures; see `minicaffe.ops.transform.Parcel`.

    Parameters
    ----------
    inbox : Inbox
    shape : tuple of int
        Shape of the pictures.
    give_back : callable
        Takes the inbox once the parcel is used up or nobody holds on to it.
    """

    def __init__(self, inbox: Inbox, shape: Shape, give_back: Callable[[Inbox], None]) -> None:
        self.inbox, self.shape = inbox, shape
        n = shape[0]
        labels_at, pictures_at = n * WINDOW_BYTES, n * (WINDOW_BYTES + LABEL_BYTES)
        self.windows = inbox.host[:labels_at].view(np.int32).reshape(n, 3)
        self.labels = inbox.host[labels_at:pictures_at].view(np.float32)
        self.pictures = inbox.host[pictures_at:].reshape(shape)
        self.use_up = weakref.finalize(self, give_back, inbox)
        self.use_up.atexit = False

    def send(self) -> None:
        """Begin to upload."""
        self.inbox.send()


@kernel(Transform)
class CudaTransform(CudaKernel):
    """One inbox for each parcel; y is written in the format that convolutions want."""

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
        # Strides of the mean's channels, rows and columns; one that has a single value has none.
        self._strides = (1, 0, 0) if height * width == 1 else (height * width, width, 1)
        blocks = -(-size // (THREADS * VALUES_PER_THREAD))
        self._grid = (n, min(blocks, MAX_BLOCKS_ALONG_Y))
        # May be given back to by the garbage collector: its `put` may interrupt itself.
        self._free: queue.SimpleQueue[Inbox] = queue.SimpleQueue()
        for _ in range(op.parcels):
            size_bytes = n * (WINDOW_BYTES + LABEL_BYTES) + n * size
            self._free.put(self.device.inbox(size_bytes))

    def parcel(self) -> CudaParcel | None:
        """Return a parcel to fill."""
        try:
            inbox = self._free.get_nowait()
        except queue.Empty:
            return None
        inbox.wait()
        return CudaParcel(inbox, self._shape, self._free.put)

    def forward(
        self, parcel: CudaParcel, mean: CudaTensor, y: CudaTensor, labels: CudaTensor | None
    ) -> None:
        """Overwrite y and labels."""
        # Another batch comes another way: this is not to be repeated.
        self.session.watch.is_outside = True
        form = self.backend.format.on(y.shape)
        means, to = mean.source(PLAIN), y.target(form)
        inbox, n = parcel.inbox, self._shape[0]
        windows, given_labels = inbox.address, inbox.address + n * WINDOW_BYTES
        pictures = given_labels + n * LABEL_BYTES
        inbox.receive()
        self.function("transform", form.value)(
            self._grid,
            THREADS,
            *(pictures, windows, means, to, *self._numbers, *self._strides),
            *(float(self.op.scale), int(form.channels_last)),
        )
        if labels is not None:
            self.device.copy(given_labels, labels.target(PLAIN), n * LABEL_BYTES)
        inbox.release()
        parcel.use_up()
