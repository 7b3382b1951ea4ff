"""Epilogue of convolutions: batch normalisation by stored statistics, Scale and ReLU.

Batch normalisation and Scale amount to one factor and one term for each channel. The filters are
multiplied by the factor, and the term replaces the bias, in every pass, so that changed parameters
take effect. This reads and writes the filters instead of the output, which is larger except for the
smallest batches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel
from minicaffe.backends.cuda.driver.device import Address
from minicaffe.backends.cuda.kernels._channel_sums import NULL
from minicaffe.backends.cuda.kernels._divisor import divisor
from minicaffe.backends.cuda.runtime.format import Format, ValueType
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.activation import starts_with_relu
from minicaffe.ops.backend import EpilogueOp, Shape
from minicaffe.ops.batch_norm import BatchNorm
from minicaffe.ops.scale import Scale


class CudaEpilogue(CudaKernel[None]):
    """The ops that are fused into a convolution.

    Parameters
    ----------
    backend : CudaBackend
    filters : tuple of int
        Shape of the filters, (output channels, ...).
    scales : bool
        Whether batch normalisation and Scale can be fused; otherwise only ReLU.

    Attributes
    ----------
    applies_relu : bool
        Whether a ReLU is the last fused op.
    """

    file = "_epilogue"

    def __init__(self, backend: CudaBackend, filters: Shape, scales: bool) -> None:
        super().__init__(backend, None)
        self._filters, self._may_scale = filters, scales
        self._statistics: EpilogueOp | None = None
        self._scale: EpilogueOp | None = None
        self.applies_relu = False

    def take(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse as many ops as possible, counted from the first; return how many."""
        self._statistics = self._scale = None
        rest = list(epilogue)
        if rest and self._normalises(rest[0]):
            self._statistics = rest.pop(0)
        if rest and self._multiplies(rest[0]):
            self._scale = rest.pop(0)
        self.applies_relu = starts_with_relu(rest)
        return len(epilogue) - len(rest) + self.applies_relu

    @property
    def scales(self) -> bool:
        """Whether the fused ops change the filters and the bias."""
        return self._statistics is not None or self._scale is not None

    def fold(
        self, w: CudaTensor, b: CudaTensor | None, form: Format, bias_value: ValueType
    ) -> tuple[Address, Address | None]:
        """Return the filters and bias that include the fused ops, valid until the next call.

        Parameters
        ----------
        w, b : CudaTensor
            The convolution's filters and bias, if any.
        form : Format
            Format of the returned filters.
        bias_value : str
            Type of the returned bias.

        Returns
        -------
        filters : Address
        bias : Address or None
        """
        if not self.scales:
            bias = None if b is None else b.source(Format(False, bias_value))
            return w.source(form), bias
        bias = NULL if b is None else b.source()
        n, given = self._filters[0], w.source(Format(form.channels_last))
        # Separate allocations, because cuDNN requires aligned operands.
        factors, terms = self.scratch(4 * n, "factors"), self.scratch(4 * n, "terms")
        parameters = (*_sources(self._statistics, 3), *_sources(self._scale, 2))
        numbers = (n, self._eps)
        self.launch("fold", n, bias, *parameters, factors, terms, *numbers, value=bias_value)
        filters = self.scratch(form.size_bytes(w.shape), "filters")
        sizes = (w.size, *divisor(math.prod(self._filters[1:])))
        self.launch("scale_filters", w.size, given, factors, filters, *sizes, value=form.value)
        return filters, terms

    def _normalises(self, epilogue_op: EpilogueOp) -> bool:
        op = epilogue_op.op
        return isinstance(op, BatchNorm) and op.use_stored and self._matches_channels(epilogue_op)

    def _multiplies(self, epilogue_op: EpilogueOp) -> bool:
        op = epilogue_op.op
        return isinstance(op, Scale) and op.axis == 1 and self._matches_channels(epilogue_op)

    def _matches_channels(self, epilogue_op: EpilogueOp) -> bool:
        return self._may_scale and epilogue_op.parameters()[0].shape == self._filters[:1]

    @property
    def _eps(self) -> float:
        op = self._statistics.op if self._statistics is not None else None
        return op.eps if isinstance(op, BatchNorm) else 0.0


def _sources(epilogue_op: EpilogueOp | None, n: int) -> tuple[Address, ...]:
    """Return the addresses of the parameters of an epilogue op, `NULL` for missing ones."""
    if epilogue_op is None:
        return (NULL,) * n
    tensors = cast("Sequence[CudaTensor]", epilogue_op.parameters())
    return (*(t.source() for t in tensors), *(NULL,) * (n - len(tensors)))
