"""Convolution and transposed convolution: plans of cuDNN, or im2col and matrix products.

Below, "wide" is the tensor that has the windows, "narrow" the one with a value for each window: x
and y of a convolution, y and x of a transposed one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel, kernel
from minicaffe.backends.cuda.driver.plans import ConvolutionProblem, Direction, Plan, Role
from minicaffe.backends.cuda.kernels._channel_bias import CudaChannelBias
from minicaffe.backends.cuda.kernels._columns import MAX_AXES, ColumnConvolution
from minicaffe.backends.cuda.kernels._epilogue import CudaEpilogue
from minicaffe.backends.cuda.runtime.format import DTYPES, Format
from minicaffe.backends.cuda.runtime.loss_scale import LossScale, inverse_scale_address
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.backends.method_cache import cache_method
from minicaffe.errors import Unsupported
from minicaffe.ops.backend import EpilogueOp
from minicaffe.ops.conv import Conv

# The operand that a plan reads besides the filters, and the one that it writes.
ENDS: dict[Direction, tuple[Role, Role]] = {
    "forward": (Role.X, Role.Y),
    "data": (Role.DY, Role.DX),
}


@kernel(Conv)
class CudaConv(CudaKernel[Conv]):
    """Convolution or transposed convolution; each direction is planned on first use."""

    def __init__(self, backend: CudaBackend, op: Conv, *tensors: CudaTensor) -> None:
        super().__init__(backend, op)
        if not 1 <= len(op.kernel) <= MAX_AXES:
            raise Unsupported(f"no GPU kernel convolves over {len(op.kernel)} spatial axes")
        x, w, y = (tensor.shape for tensor in tensors[:3])
        wide, narrow = (y, x) if op.transposed else (x, y)
        self._form = backend.format
        self._what = ConvolutionProblem(
            *("forward", wide, w, narrow, op.stride, op.pad, op.dilation, op.group),
            channels_last=self._form.channels_last,
            dtype=DTYPES[self._form.value],
            math=backend.math,
        )
        self._bias = CudaChannelBias(backend, y)
        self._epilogue = CudaEpilogue(backend, w, scales=not op.transposed)
        self._plan = cache_method(self._find_plan)
        self._columns = cache_method(self._plan_columns)

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse batch normalisation, Scale and ReLU."""
        return self._epilogue.take(epilogue)

    def forward(self, x: CudaTensor, w: CudaTensor, b: CudaTensor | None, y: CudaTensor) -> None:
        """Overwrite y."""
        if self.op.transposed:
            form = self._pass("data", x, w, y)
            bias = None if b is None else b.source()
            self._bias.add(bias, y, form, self._epilogue.applies_relu)
        else:
            self._forward(x, w, b, y)

    def backward_data(self, dy: CudaTensor, w: CudaTensor, dx: CudaTensor) -> None:
        """Overwrite dx."""
        if self.op.transposed:
            self._pass("forward", dy, w, dx)
        else:
            self._pass("data", dy, w, dx)

    def backward_weights(
        self, x: CudaTensor, dy: CudaTensor, dw: CudaTensor | None, db: CudaTensor | None
    ) -> None:
        """Add to dw and db."""
        if dw is not None:
            wide, narrow = (dy, x) if self.op.transposed else (x, dy)
            self._accumulate(wide, narrow, dw)
        if db is not None:
            self._bias.accumulate(dy, db, dy.format)

    def _plan_columns(self) -> ColumnConvolution:
        return ColumnConvolution(self.backend, self._what)

    def _forward(self, x: CudaTensor, w: CudaTensor, b: CudaTensor | None, y: CudaTensor) -> None:
        applies_relu = self._epilogue.applies_relu
        adds = b is not None or self._epilogue.scales
        full = self._plan("forward", adds, applies_relu)
        plan = full if full is not None else self._plan("forward", False, False)
        form = self._form if plan is not None else self._columns().form
        bias_value = form.value if full is not None else "float"
        filters, bias = self._epilogue.fold(w, b, form, bias_value)
        given, target = x.source(form), y.target(form)
        if plan is None:
            self._columns().forward(given, filters, target)
        else:
            addresses = {Role.X: given, Role.W: filters, Role.Y: target}
            if plan is full and bias is not None:
                addresses[Role.B] = bias
            self._run(plan, addresses)
        if full is None:
            self._bias.add(bias, y, form, applies_relu)

    def _pass(
        self, direction: Direction, given: CudaTensor, w: CudaTensor, out: CudaTensor
    ) -> Format:
        """Overwrite `out`: narrow from wide ("forward"), or wide from narrow ("data")."""
        plan = self._plan(direction, False, False)
        form = self._form if plan is not None else self._columns().form
        source, weights, target = given.source(form), w.source(form), out.target(form)
        if plan is not None:
            reads, writes = ENDS[direction]
            self._run(plan, {reads: source, Role.W: weights, writes: target})
        elif direction == "forward":
            self._columns().forward(source, weights, target)
        else:
            self._columns().backward_data(source, weights, target)
        return form

    def _accumulate(self, wide: CudaTensor, narrow: CudaTensor, dw: CudaTensor) -> None:
        plan = self._plan("weights", False, False)
        if plan is None:
            columns = self._columns()
            given, dy = wide.source(columns.form), narrow.source(columns.form)
            columns.backward_weights(
                given, dy, *dw.accumulate(), _scale(wide, narrow, columns.form)
            )
            return
        form = self._form
        addresses = {Role.X: wide.source(form), Role.DY: narrow.source(form)}
        to, is_first = dw.accumulate(Format(form.channels_last))
        if is_first and form.value == "float":
            self._run(plan, addresses | {Role.DW: to})
            return
        # Plans overwrite, and their output has the type of their inputs.
        part = self.scratch(form.size_bytes(dw.shape), "gradient")
        self._run(plan, addresses | {Role.DW: part})
        numbers = (dw.size, int(not is_first), inverse_scale_address(_scale(wide, narrow, form)))
        self._bias.launch("accumulate", dw.size, part, to, *numbers, value=form.value)

    def _find_plan(self, direction: Direction, bias: bool, relu: bool) -> Plan | None:
        what = replace(self._what, direction=direction, bias=bias, relu=relu)
        try:
            return self.backend.tuner.plan(what)
        except Unsupported as reason:
            self.backend.log_once(f"{reason}; using im2col and a matrix product")
            return None

    def _run(self, plan: Plan, addresses: Mapping[Role, int]) -> None:
        plan(addresses, self.scratch(plan.workspace_bytes, "workspace"))


def _scale(wide: CudaTensor, narrow: CudaTensor, form: Format) -> LossScale | None:
    """Return the loss scale of their product: only the gradient can have one."""
    return wide.scale(form) or narrow.scale(form)
