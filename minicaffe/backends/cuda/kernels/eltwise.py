"""Elementwise sum, product and maximum of tensors, and sums of gradients."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, OpT, kernel
from minicaffe.backends.cuda.driver.device import Address
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.errors import Unsupported
from minicaffe.ops.activation import starts_with_relu
from minicaffe.ops.backend import EpilogueOp
from minicaffe.ops.eltwise import Eltwise
from minicaffe.ops.layout import Add

# Number of terms of one launch in kernels/eltwise.cu.
MAX_TERMS = 4
# The index of the maximum is stored in a byte.
MAX_INPUTS = 256


class _Sum(CudaKernel[OpT]):
    file = "eltwise"

    def sum(
        self,
        xs: Sequence[CudaTensor],
        coefficients: Sequence[float],
        y: CudaTensor,
        applies_relu: bool = False,
    ) -> None:
        """Overwrite y, which may be the first of the xs, with the weighted sum.

        With `applies_relu`, negative sums become 0.
        """
        form = xs[0].format
        given = [x.source(form) for x in xs]
        to = y.target(form)
        terms = list(zip(given, coefficients, strict=True))
        passes = [terms[:MAX_TERMS]]
        for i in range(MAX_TERMS, len(terms), MAX_TERMS - 1):
            passes.append([(to, 1.0), *terms[i : i + MAX_TERMS - 1]])
        for part in passes:
            self._sum(part, to, y.size, form, applies_relu and part is passes[-1])

    def _sum(
        self,
        terms: Sequence[tuple[Address, float]],
        to: Address,
        n: int,
        form: Format,
        applies_relu: bool = False,
    ) -> None:
        addresses, coefficients = _padded(terms)
        numbers = (n, *coefficients, int(applies_relu))
        self.launch_packs("weighted_sum", n, *addresses, to, *numbers, value=form.value)


def _padded(
    terms: Sequence[tuple[Address, float]],
) -> tuple[tuple[Address, ...], tuple[float, ...]]:
    """Return addresses and coefficients, padded to `MAX_TERMS`."""
    missing = [(Address(0), 0.0)] * (MAX_TERMS - len(terms))
    addresses, coefficients = zip(*terms, *missing, strict=True)
    return addresses, coefficients


@kernel(Add)
class CudaAdd(_Sum[Add]):
    """The sum of several tensors; those that were cleared, and no more, are left out."""

    def forward(self, xs: Sequence[CudaTensor], y: CudaTensor) -> None:
        """Overwrite y."""
        terms = [x for x in xs if not x.is_zero] or xs[:1]
        # An accumulator keeps its values when its terms are overwritten.
        is_accumulator = any(x is y for x in xs)
        if is_accumulator or len(terms) > 1 or not y.borrow(terms[0]):
            self.sum(terms, [1.0] * len(terms), y)


@kernel(Eltwise)
class CudaEltwise(_Sum[Eltwise]):
    """Sum, product and maximum in the format of the first input."""

    def __init__(self, backend: CudaBackend, op: Eltwise, *tensors: CudaTensor) -> None:
        super().__init__(backend, op)
        if len(tensors) > MAX_INPUTS:
            raise Unsupported(f"Eltwise of {len(tensors) - 1} tensors on the GPU")
        is_max = op.operation == "max"
        self._argmax = self.device.allocate(max(tensors[0].size, 1)) if is_max else None
        # The order of the indices in `_argmax`.
        self._channels_last = False
        self._applies_relu = False

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse a ReLU after a sum."""
        self._applies_relu = self.op.operation == "sum" and starts_with_relu(epilogue)
        return int(self._applies_relu)

    def forward(self, xs: Sequence[CudaTensor], y: CudaTensor) -> None:
        """Overwrite y."""
        if self.op.operation == "sum":
            self.sum(xs, self.op.coefficients, y, self._applies_relu)
            return
        form = xs[0].format
        given = [x.source(form) for x in xs]
        to, n = y.target(form), y.size
        if self._argmax is None:
            self._multiply(given, to, n, form)
            return
        argmax, self._channels_last = self._argmax.address, form.channels_last
        self.launch("max_of_two", n, *given[:2], to, argmax, n, value=form.value)
        for index, x in enumerate(given[2:], 2):
            self.launch("max_with", n, x, to, argmax, n, index, value=form.value)

    def backward(
        self,
        xs: Sequence[CudaTensor],
        y: CudaTensor,
        dy: CudaTensor,
        dxs: Sequence[CudaTensor | None],
    ) -> None:
        """Overwrite the dxs."""
        if self.op.operation == "sum":
            self._backward_sum(dy, dxs)
            return
        is_product = self._argmax is None
        form = xs[0].format if is_product else Format(self._channels_last, dy.format.value)
        given, n = dy.source(form), dy.size
        for index, dx in enumerate(dxs):
            if dx is None:
                continue
            if self._argmax is not None:
                argmax, to = self._argmax.address, dx.target(form)
                self.launch("max_backward", n, given, argmax, to, n, index, value=form.value)
            elif self.op.stable:
                others = [x.source(form) for x in (*xs[:index], *xs[index + 1 :])]
                self._multiply([given, *others], dx.target(form), n, form)
            else:
                after, before = y.source(form), xs[index].source(form)
                to = dx.target(form)
                self.launch("product_backward", n, given, after, before, to, n, value=form.value)

    def _backward_sum(self, dy: CudaTensor, dxs: Sequence[CudaTensor | None]) -> None:
        """Overwrite the dxs of a sum."""
        form, n, coefficients = dy.format, dy.size, self.op.coefficients
        given = dy.source(form)
        wanted = [(dx, c) for dx, c in zip(dxs, coefficients, strict=True) if dx is not None]
        if all(dx.storage is not dy.storage for dx, _ in wanted):
            # In place, dy would be overwritten while the other gradients are in its memory.
            wanted = [(dx, c) for dx, c in wanted if c != 1 or not dx.borrow(dy)]
        for i in range(0, len(wanted), MAX_TERMS):
            part = [(dx.target(form), c) for dx, c in wanted[i : i + MAX_TERMS]]
            addresses, factors = _padded(part)
            self.launch_packs(
                "weighted_sum_backward", n, given, *addresses, n, *factors, value=form.value
            )

    def _multiply(self, given: Sequence[Address], to: Address, n: int, form: Format) -> None:
        self.launch("product", n, *given[:2], to, n, value=form.value)
        for x in given[2:]:
            self.launch("product", n, to, x, to, n, value=form.value)
