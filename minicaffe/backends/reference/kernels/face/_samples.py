"""Views of tensors with one row a sample."""

from __future__ import annotations

import math

from minicaffe.ops.backend import Array


def samples(values: Array, axis: int) -> Array:
    """Return (N..., K...) as (N, K), where K are the axes from `axis` on."""
    return values.reshape(math.prod(values.shape[:axis]), math.prod(values.shape[axis:]))
