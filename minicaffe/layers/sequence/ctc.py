"""Checks that layers on sequences of class scores share."""

from __future__ import annotations

from minicaffe.blob import Blob
from minicaffe.layers.base import Layer


def require_sequences(layer: Layer, x: Blob, blank: int, field: str, axes: str = "TNC") -> None:
    """Raise an error unless `x` has the axes, a step, and the class `blank`.

    Parameters
    ----------
    layer : Layer
        For messages.
    x : Blob
        Class scores.
    blank : int
        The label that stands for no character.
    field : str
        That has the value of `blank`, for messages.
    axes : str
        Order of the axes: time T, samples N, classes C.
    """
    shape = x.shape
    layer.require_shape(
        len(shape) == 3 and shape[axes.index("T")] > 0,
        f'bottom "{x.name}" must be ({", ".join(axes)}) with at least one step T; it is {shape}',
    )
    layer.require(
        0 <= blank < shape[2],
        f'{field}: {blank} is not one of the {shape[2]} classes of bottom "{x.name}" {shape}. '
        "Set it to the number of the blank, or give the layer before one more output.",
    )


def require_label_rows(layer: Layer, labels: Blob, samples: int) -> None:
    """Raise a ShapeError unless `labels` has a row of labels for each sample."""
    layer.require_shape(
        labels.shape[:1] == (samples,),
        f'bottom "{labels.name}" must be (N, L), a row of labels for each of the {samples} '
        f"samples, or (N,); it is {labels.shape}",
    )
