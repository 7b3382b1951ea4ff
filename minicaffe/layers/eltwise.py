"""Eltwise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from minicaffe.layers.base import Blobs, Layer, TopReads
from minicaffe.layers.registry import register
from minicaffe.ops.backend import EpilogueOp
from minicaffe.ops.eltwise import Eltwise as EltwiseOp
from minicaffe.ops.eltwise import EltwiseOperation
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import EltwiseParameter


@register("Eltwise")
class Eltwise(Layer[EltwiseParameter]):
    """Combine blobs of one shape elementwise: sum, product or maximum.

    Shapes: x (...), z (...)[, further (...) and so on] -> y (...)

    Notes
    -----
    SUM multiplies each bottom by its `coeff`, 1 by default. The gradient of PROD is the product of
    the other bottoms, or, with stable_prod_grad: false, the top divided by the bottom: faster for
    many bottoms, and not a number where one is zero. The gradient of MAX goes to the bottom that
    was largest; if the first two are equal, to the second.

    Differs from Caffe: MAX with NaN is NaN; there it was the other bottom if the first was NaN.
    """

    bottoms = (2, None)
    can_recompute = True

    @property
    def reads_bottoms(self) -> bool:
        """Whether the operation is a product."""
        return self.settings.operation == self.settings.PROD

    @property
    def reads_tops(self) -> TopReads:
        """The product, unless each gradient is the product of the other bottoms."""
        return "values" if self.reads_bottoms and not self.settings.stable_prod_grad else "nothing"

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return the operation."""
        return type(param.eltwise_param).EltwiseOp.Name(param.eltwise_param.operation)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Check that the shapes agree and plan."""
        first = bottom[0]
        for blob in bottom[1:]:
            self.require_shape(
                blob.shape == first.shape,
                f'bottoms "{first.name}" {first.shape} and "{blob.name}" {blob.shape} must have '
                "the same shape",
            )
        top[0].reshape(first.shape)
        tensors = (blob.data for blob in (*bottom, *top))
        op = self._op(len(bottom))
        self.copies_top_diff = set(op.coefficients) == {1.0}
        self.kernel = self.plan(op, *tensors)

    def _op(self, n: int) -> EltwiseOp:
        proto = self.settings
        operation = cast(EltwiseOperation, type(proto).EltwiseOp.Name(proto.operation).lower())
        coefficients = tuple(proto.coeff)
        self.require(
            len(coefficients) in (0, n),
            f"{len(coefficients)} coeffs for {n} bottoms; give one for each, or none",
        )
        self.require(operation != "prod" or not coefficients, "operation: PROD takes no coeff")
        if operation == "sum":
            return EltwiseOp(operation, coefficients or (1.0,) * n)
        return EltwiseOp(operation, stable=proto.stable_prod_grad)

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse ops that follow on the top into the kernel, as far as the backend supports it."""
        return self.context.backend.fuse(self.kernel, epilogue)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward([blob.data for blob in bottom], top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs."""
        wanted = zip(bottom, propagate_down, strict=True)
        self.kernel.backward(
            [blob.data for blob in bottom],
            top[0].data,
            top[0].diff,
            [blob.diff if needed else None for blob, needed in wanted],
        )
