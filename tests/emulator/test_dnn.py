"""The convolution plans of the emulated device."""

import numpy as np
import pytest

from emulator.device import EmulatedDevice
from emulator.dnn import EmulatedDnn
from emulator.values import Values
from minicaffe.backends.cuda.driver.plans import ConvolutionProblem, Role

SIGNALLING_NAN = np.uint32(0x7F800001)


@pytest.mark.parametrize("direction", ["forward", "data", "weights"])
def test_garbage_is_computed_with_in_silence(direction):
    """Plans are timed on uninitialised memory."""
    device = EmulatedDevice()
    what = ConvolutionProblem(
        direction=direction,
        x=(1, 2, 4, 4),
        w=(3, 2, 3, 3),
        y=(1, 3, 2, 2),
        stride=(1, 1),
        pad=(0, 0),
        dilation=(1, 1),
        group=1,
        channels_last=True,
        dtype="float32",
        bias=False,
        relu=False,
        math="fp32",
    )
    values = {
        role: Values(device, np.full(operand.shape, SIGNALLING_NAN).view(np.float32))
        for role, operand in what.operands.items()
    }
    workspace = device.allocate(64)
    [plan] = EmulatedDnn(device).plans(what)
    plan({role: one.address for role, one in values.items()}, workspace.address)
    written = {"forward": Role.Y, "data": Role.DX, "weights": Role.DW}[direction]
    assert np.isnan(values[written].get()).all()
