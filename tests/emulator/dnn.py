"""Convolution plans, as cuDNN has them, that compute with the reference backend in float64."""

import numpy as np

from emulator.cublas import BFLOAT16, FLOAT16, FLOAT32, from_float32, to_float32
from emulator.kernels import Launch
from minicaffe.backends.cuda.driver.device import Address
from minicaffe.backends.cuda.driver.plans import Role, strides
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.ops.conv import Conv

_KINDS = {"float32": FLOAT32, "float16": FLOAT16, "bfloat16": BFLOAT16}
_STORED = {"float32": np.float32, "float16": np.float16, "bfloat16": np.uint16}
WORKSPACE_BYTES = 64


class EmulatedDnn:
    """A library with one plan for each convolution.

    Parameters
    ----------
    device : EmulatedDevice
    """

    version = "emulated"

    def __init__(self, device):
        self._device = device

    def plans(self, what):
        """Return the plan."""
        return [EmulatedPlan(self._device, what)]


class EmulatedPlan:
    """A convolution or one of its gradients."""

    name = "reference"
    workspace_bytes = WORKSPACE_BYTES

    def __init__(self, device, what):
        self._device, self._what = device, what
        backend = ReferenceBackend(np.float64)
        self._tensor = backend.tensor
        op = Conv(what.w[2:], what.stride, what.pad, what.dilation, what.group, what.bias)
        shapes = what.x, what.w, what.y, *([what.y[1:2]] if what.bias else [])
        self._kernel = backend.plan(op, *map(backend.tensor, shapes))

    def prepare(self):
        """Do nothing."""

    def __call__(self, addresses, workspace):
        """Run, or be captured."""
        operands = self._what.operands
        if addresses.keys() != operands.keys():
            raise ValueError(f"{addresses.keys()} given, {operands.keys()} expected")
        pointers = [Address(addresses[role]) for role in operands]
        launch = Launch(f"dnn {self._what.direction}", (), (), (*pointers, Address(workspace)))
        self._device.submit(launch, lambda: self._compute(dict(addresses)))

    @np.errstate(all="ignore")  # plans are timed on garbage, which a GPU does not report
    def _compute(self, addresses):
        given = {role: self._read(role, address) for role, address in addresses.items()}
        if self._what.direction == "forward":
            self._write(Role.Y, addresses, self._forward(given))
        elif self._what.direction == "data":
            dx = self._tensor(self._what.x)
            self._kernel.backward_data(given[Role.DY], given[Role.W], dx)
            self._write(Role.DX, addresses, dx.read())
        else:
            dw = self._tensor(self._what.w)
            self._kernel.backward_weights(given[Role.X], given[Role.DY], dw, None)
            self._write(Role.DW, addresses, dw.read())

    def _forward(self, given):
        y = self._tensor(self._what.y)
        b = given[Role.B].view(self._what.y[1:2]) if self._what.bias else None
        self._kernel.forward(given[Role.X], given[Role.W], b, y)
        # As in the library by default, NaN is replaced too.
        return np.fmax(y.read(), 0) if self._what.relu else y.read()

    def _read(self, role, address):
        operand = self._what.operands[role]
        tensor = self._tensor(operand.shape)
        tensor.set(to_float32(self._view(role, address), _KINDS[operand.dtype]))
        return tensor

    def _write(self, role, addresses, values):
        kind = _KINDS[self._what.operands[role].dtype]
        self._view(role, addresses[role])[...] = from_float32(values.astype(np.float32), kind)

    def _view(self, role, address):
        operand = self._what.operands[role]
        kind = np.dtype(_STORED[operand.dtype])
        count = int(np.prod(operand.shape))
        flat = self._device.heap.view(address, count, kind, f"dnn {role.name}")
        steps = [step * kind.itemsize for step in strides(operand.shape, self._what.channels_last)]
        return np.lib.stride_tricks.as_strided(flat, operand.shape, steps)
