"""Fillers: initial values of parameters.

=================  ===========================================================================
type               values
=================  ===========================================================================
constant           `value` everywhere
uniform            uniform in [min, max)
gaussian           normal with `mean` and `std`; with `sparse` >= 0 all but about that many inputs
                   of each output are zero
positive_unitball  uniform in [0, 1), each output's inputs divided by their sum
xavier             uniform in [-a, a), a = sqrt(3 / n) (Glorot and Bengio, 2010)
msra               normal, std = sqrt(2 / n) (He et al., 2015)
bilinear           weights of bilinear interpolation, for a Deconvolution that upsamples
=================  ===========================================================================

n is fan_in, fan_out or their mean, selected by `variance_norm`: fan_in = count / shape[0], fan_out
= count / shape[1] (count if there is only one axis).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from minicaffe.errors import NetError, nearest
from minicaffe.ops.backend import Shape
from minicaffe.schema import FillerParameter

FloatArray = npt.NDArray[np.float32]
Filler = Callable[[FillerParameter, Shape, np.random.Generator], FloatArray]


def fill(param: FillerParameter, shape: Shape, generator: np.random.Generator) -> FloatArray:
    """Return an array of `shape` filled by a FillerParameter.

    Raises
    ------
    NetError
        If the type is unknown or cannot fill this shape.
    """
    check_filler(param, shape)
    return FILLERS[param.type](param, shape, generator).astype(np.float32, copy=False)


def check_filler(param: FillerParameter, shape: Shape) -> None:
    """Raise a NetError if a FillerParameter cannot fill an array of `shape`."""
    if param.type not in FILLERS:
        raise NetError(f'unknown filler type "{param.type}". {nearest(param.type, FILLERS)}')
    if param.type == "uniform" and not param.max >= param.min:
        raise NetError(f"uniform filler: max: {param.max:g} is below min: {param.min:g}")
    if param.type == "gaussian" and param.sparse >= 0 and not shape:
        raise NetError("gaussian filler: sparse needs a parameter with at least one axis")
    if param.type == "bilinear" and (len(shape) != 4 or shape[2] != shape[3]):
        raise NetError(f"bilinear filler: the parameter must be (F, C, k, k), it is {shape}")


def unread_filler_fields(param: FillerParameter) -> list[str]:
    """Return the fields of a filler of a known type that have a value which the type ignores."""
    read = _READ.get(param.type)
    given = [field.name for field, _ in param.ListFields()]
    return [] if read is None else [name for name in given if name not in ("type", *read)]


def is_zero(param: FillerParameter) -> bool:
    """Return whether a filler writes zeros."""
    return param.type == "constant" and param.value == 0


def _constant(param: FillerParameter, shape: Shape, generator: np.random.Generator) -> FloatArray:
    return np.full(shape, param.value, np.float32)


def _uniform(param: FillerParameter, shape: Shape, generator: np.random.Generator) -> FloatArray:
    width = np.float32(param.max - param.min)
    return generator.random(shape, np.float32) * width + np.float32(param.min)


def _gaussian(param: FillerParameter, shape: Shape, generator: np.random.Generator) -> FloatArray:
    values = generator.standard_normal(shape, np.float32) * np.float32(param.std)
    values += np.float32(param.mean)
    if param.sparse >= 0:
        kept = generator.random(shape, np.float32) < param.sparse / max(shape[0], 1)
        values *= kept
    return values


def _positive_unitball(
    param: FillerParameter, shape: Shape, generator: np.random.Generator
) -> FloatArray:
    values = generator.random(shape, np.float32)
    if values.size:
        rows = values.reshape(shape[0] if shape else 1, -1)
        rows /= rows.sum(1, keepdims=True)
    return values


def _xavier(param: FillerParameter, shape: Shape, generator: np.random.Generator) -> FloatArray:
    a = np.float32(math.sqrt(3 / _fan(param, shape)))
    return (generator.random(shape, np.float32) * 2 - 1) * a


def _msra(param: FillerParameter, shape: Shape, generator: np.random.Generator) -> FloatArray:
    std = np.float32(math.sqrt(2 / _fan(param, shape)))
    return generator.standard_normal(shape, np.float32) * std


def _bilinear(param: FillerParameter, shape: Shape, generator: np.random.Generator) -> FloatArray:
    factor = max(math.ceil(shape[3] / 2), 1)
    center = (shape[3] - 1) / (2 * factor)
    line = 1 - np.abs(np.arange(shape[3]) / factor - center)
    values = np.empty(shape, np.float32)
    values[...] = np.outer(line, line)
    return values


def _fan(param: FillerParameter, shape: Shape) -> float:
    count = math.prod(shape)
    fan_in = count / max(shape[0], 1) if shape else 1
    fan_out = count / max(shape[1], 1) if len(shape) > 1 else count
    choices = {"FAN_IN": fan_in, "FAN_OUT": fan_out, "AVERAGE": (fan_in + fan_out) / 2}
    kind = type(param).VarianceNorm.Name(param.variance_norm)
    return max(float(choices[kind]), 1.0)


FILLERS: dict[str, Filler] = {
    "constant": _constant,
    "uniform": _uniform,
    "gaussian": _gaussian,
    "positive_unitball": _positive_unitball,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
}

# The fields that each type reads.
_READ = {
    "constant": ("value",),
    "uniform": ("min", "max"),
    "gaussian": ("mean", "std", "sparse"),
    "positive_unitball": (),
    "xavier": ("variance_norm",),
    "msra": ("variance_norm",),
    "bilinear": (),
}
