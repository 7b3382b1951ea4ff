"""Descriptions of convolutions for cuDNN: what they hold, refuse and amount to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from minicaffe.backends.cuda.driver.plans import ConvolutionProblem, Operand, Role, strides
from minicaffe.errors import ShapeError, Unsupported

CONV = ConvolutionProblem(
    "forward",
    x=(2, 6, 11, 9),
    w=(4, 3, 5, 3),
    y=(2, 4, 5, 4),
    stride=(2, 2),
    pad=(1, 0),
    dilation=(1, 1),
    group=2,
    bias=True,
)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 5), (2, 3, 5, 7), (2, 3, 5, 7, 11)])
def test_strides_are_those_of_numpy(shape):
    values = np.empty(shape, np.uint8)
    assert strides(shape, channels_last=False) == values.strides
    last = np.moveaxis(np.empty((shape[0], *shape[2:], shape[1]), np.uint8), -1, 1)
    assert strides(shape, channels_last=True) == last.strides


def test_operands_of_each_direction():
    def roles(what):
        return {role.name: operand.shape for role, operand in what.operands.items()}

    assert roles(CONV) == {"X": CONV.x, "W": CONV.w, "Y": CONV.y, "B": (1, 4, 1, 1)}
    data = replace(CONV, direction="data", bias=False)
    assert roles(data) == {"DY": CONV.y, "W": CONV.w, "DX": CONV.x}
    weights = replace(CONV, direction="weights", bias=False)
    assert roles(weights) == {"X": CONV.x, "DY": CONV.y, "DW": CONV.w}


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bfloat16", 2), ("float16", 2)])
def test_sizes_in_bytes(dtype, size):
    assert Operand((3, 5), dtype).size_bytes == 15 * size
    assert replace(CONV, dtype=dtype).operands[Role.X].size_bytes == 2 * 6 * 11 * 9 * size


def test_one_spatial_axis_becomes_the_columns_of_one_row():
    line = ConvolutionProblem("data", (2, 3, 20), (4, 3, 5), (2, 4, 9), (2,), (1,), (1,))
    image = line.canonical
    assert (image.x, image.w, image.y) == ((2, 3, 1, 20), (4, 3, 1, 5), (2, 4, 1, 9))
    assert (image.stride, image.pad, image.dilation) == ((1, 2), (0, 1), (1, 1))
    assert image.canonical is image
    # The memory layout of the values is unchanged in both orders.
    for channels_last in (False, True):
        lifted = strides(image.x, channels_last)
        assert (*lifted[:2], lifted[3]) == strides(line.x, channels_last)


def test_names_contain_everything_that_selects_the_plan():
    assert str(CONV) == (
        "convolution forward+bias x 2x6x11x9 w 4x3x5x3 y 2x4x5x4 stride 2x2 pad 1x0 "
        "dilation 1x1 group 2 channels first float32 tf32"
    )
    others = [
        replace(CONV, math="fp32"),
        replace(CONV, dtype="float16"),
        replace(CONV, channels_last=True),
        replace(CONV, relu=True),
        replace(CONV, bias=False),
        replace(CONV, bias=False, direction="data"),
        replace(CONV, bias=False, direction="weights"),
    ]
    assert len({str(what) for what in (CONV, *others)}) == len(others) + 1


def test_y_must_be_what_x_and_w_make():
    with pytest.raises(ShapeError, match=r"x and w make \(2, 4, 5, 4\) of 6 channels"):
        replace(CONV, y=(2, 4, 6, 4))
    with pytest.raises(ShapeError, match=r"of 9 channels, not .* of 6"):
        replace(CONV, group=3)


def test_dilation_widens_the_window():
    what = ConvolutionProblem(
        "forward", (1, 2, 9, 9), (3, 2, 3, 3), (1, 3, 3, 5), (1, 1), (0, 0), (3, 2)
    )
    assert what.y == (1, 3, 3, 5)


def test_what_cudnn_is_not_asked_for():
    with pytest.raises(Unsupported, match="float64 is none of float32, bfloat16, float16"):
        replace(CONV, dtype="float64")
    with pytest.raises(Unsupported, match="1 to 3 spatial axes"):
        ConvolutionProblem("forward", (2, 3), (4, 3), (2, 4), (), (), ())
    with pytest.raises(Unsupported, match="has no epilogue of bias or relu"):
        replace(CONV, direction="weights")
