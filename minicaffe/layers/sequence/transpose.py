"""Transpose."""

from __future__ import annotations

from minicaffe.layers.base import Blobs
from minicaffe.layers.permute import PermutingLayer
from minicaffe.layers.registry import register
from minicaffe.ops.permute import Permute as PermuteOp
from minicaffe.schema.forks_pb2 import TransposeParameter


@register("Transpose")
class Transpose(PermutingLayer[TransposeParameter]):
    """Permute the axes of a blob: a Permute layer that names all of them.

    Shapes: x (...) -> y (...)

    Notes
    -----
    Axis i of y is axis dim[i] of x. The layer is that of caffe_ocr.
    """

    def permutation(self, bottom: Blobs, top: Blobs) -> PermuteOp:
        """Give the top the permuted shape; return the op."""
        shape, order = bottom[0].shape, tuple(int(axis) for axis in self.settings.dim)
        self.require_shape(
            sorted(order) == list(range(len(shape))),
            f"dim {list(order)} must name each of the {len(shape)} axes of bottom "
            f'"{bottom[0].name}" {shape} once, counted from 0',
        )
        top[0].reshape(tuple(shape[axis] for axis in order))
        return PermuteOp(shape, order)
