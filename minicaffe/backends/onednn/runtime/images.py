"""Layouts for primitives that require image axes, for tensors of any number of axes."""

from __future__ import annotations

import math

from minicaffe.backends.onednn.runtime.memory import Layout
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.backend import Shape

MAX_AXES = 5


def images_layout(x: OneDnnTensor) -> Layout:
    """Return the layout of x, or a plain (N, C, S, 1) one if the primitives do not take its shape.

    S is the product of the spatial axes.
    """
    if 2 <= len(x.shape) <= MAX_AXES:
        return x.layout
    return Layout.plain(_images(x.shape))


def _images(shape: Shape) -> Shape:
    return (*shape[:2], math.prod(shape[2:]), 1) if len(shape) > 1 else (*shape, 1)
