"""What convolutions and inner products do for each channel: add a bias, sum its gradient."""

from __future__ import annotations

import math

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel
from minicaffe.backends.cuda.device import THREADS
from minicaffe.backends.cuda.format import Format
from minicaffe.backends.cuda.tensor import CudaTensor
from minicaffe.ops.backend import Shape

# How many parts the sums of a channel are made of at most.
MAX_PARTS = 64
LANES, LINES = 32, 8


class ChannelBias(CudaKernel):
    """Bias of a tensor (N, C, ...).

    Parameters
    ----------
    shape : tuple of int
        Of the tensor, in any format that is asked for.
    """

    file = "channels"

    def __init__(self, backend: CudaBackend, shape: Shape) -> None:
        super().__init__(backend, None)
        self._images, self._channels = shape[0], shape[1]
        self._pixels = math.prod(shape[2:])

    def add(self, b: CudaTensor | None, y: CudaTensor, form: Format, relu: bool = False) -> None:
        """Add b to y, which has just been written in `form`, and rectify."""
        to, n = y.change(form), y.size
        if b is not None:
            last = int(form.channels_last)
            sizes = (n, self._channels, self._pixels, last, int(relu))
            self.launch("add_bias", n, to, b.source(), *sizes, value=form.value)
        elif relu:
            self.launch("rectify", n, to, n, value=form.value)

    def accumulate(self, dy: CudaTensor, db: CudaTensor) -> None:
        """Add to db the sums of dy over all but the channels."""
        form = dy.format
        given = dy.source(form)
        to, is_first = db.accumulate()
        channels, pixels = self._channels, self._pixels
        is_last = form.channels_last or pixels == 1
        rows = self._images * pixels if is_last else self._images
        share = max(1, -(-rows // MAX_PARTS))
        n_parts = max(1, -(-rows // share))
        parts = self.scratch(n_parts * channels * 4, "parts")
        if is_last:
            grid, block = (-(-channels // LANES), n_parts), (LANES, LINES)
            function = self.function("sum_last", form.value)
            function(grid, block, given, parts, rows, channels, share)
        else:
            function = self.function("sum_first", form.value)
            function((channels, n_parts), THREADS, given, parts, rows, channels, pixels, share)
        self.launch("add_parts", channels, parts, to, channels, n_parts, int(is_first))
