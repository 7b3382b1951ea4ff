"""Layers that permute axes: Permute and ShuffleChannel."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.base import Blobs, Layer, P
from minicaffe.layers.registry import register
from minicaffe.ops.permute import Permute as PermuteOp
from minicaffe.schema.forks_pb2 import PermuteParameter, ShuffleChannelParameter


class PermutingLayer(Layer[P]):
    """Base of the layers with a Permute op: a subclass shapes the top and returns the op."""

    reads_bottoms = False
    can_recompute = True

    def permutation(self, bottom: Blobs, top: Blobs) -> PermuteOp:
        """Give the top its shape; return the op."""
        raise NotImplementedError

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top its shape and plan."""
        op = self.permutation(bottom, top)
        self.kernel = self.plan(op, bottom[0].data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottom's diff."""
        if propagate_down[0]:
            self.kernel.backward(top[0].diff, bottom[0].diff)


@register("Permute")
class Permute(PermutingLayer[PermuteParameter]):
    """Permute the axes of a blob.

    Shapes: x (...) -> y (...)

    Notes
    -----
    Axis i of y is axis order[i] of x; axes that `order` does not name follow in their own order.

    References
    ----------
    Liu et al., "SSD: single shot multibox detector", 2016 (the layer of its Caffe).
    """

    def permutation(self, bottom: Blobs, top: Blobs) -> PermuteOp:
        """Give the top the permuted shape; return the op."""
        shape, given = bottom[0].shape, [int(axis) for axis in self.settings.order]
        self.require_shape(
            all(axis < len(shape) for axis in given),
            f'order {given} names an axis that bottom "{bottom[0].name}" of shape {shape} lacks; '
            f"its axes are 0 to {len(shape) - 1}",
        )
        self.require(
            len(set(given)) == len(given), f"order {given} names an axis twice; name each once"
        )
        order = (*given, *(axis for axis in range(len(shape)) if axis not in given))
        top[0].reshape(tuple(shape[axis] for axis in order))
        return PermuteOp(shape, order)


@register("ShuffleChannel")
class ShuffleChannel(PermutingLayer[ShuffleChannelParameter]):
    """Exchange channels between groups, so that grouped convolutions mix them.

    Shapes: x (N, C, ...) -> y (N, C, ...)

    Notes
    -----
    The channels are an array of `group` rows, which is transposed:
    y[n, c group + g] = x[n, g C / group + c].

    References
    ----------
    Zhang et al., "ShuffleNet", 2018 (the layer of farmingyard's Caffe).
    """

    def permutation(self, bottom: Blobs, top: Blobs) -> PermuteOp:
        """Give the top the bottom's shape; return the op."""
        shape, group = bottom[0].shape, int(self.settings.group)
        self.require_shape(
            len(shape) >= 2, f'bottom "{bottom[0].name}" must be (N, C, ...), it is {shape}'
        )
        self.require(
            group > 0 and shape[1] % group == 0,
            f'group: {group} must divide the {shape[1]} channels of bottom "{bottom[0].name}"',
        )
        top[0].reshape(shape)
        sizes = (shape[0], group, shape[1] // group, *shape[2:])
        return PermuteOp(sizes, (0, 2, 1, *range(3, len(sizes))))
