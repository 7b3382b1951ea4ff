"""Reorg."""

from __future__ import annotations

from minicaffe.layers.base import Blobs
from minicaffe.layers.permute import PermutingLayer
from minicaffe.layers.registry import register
from minicaffe.ops.permute import Permute
from minicaffe.schema.forks_pb2 import ReorgParameter


@register("Reorg")
class Reorg(PermutingLayer[ReorgParameter]):
    """Rearrange the pixels of images into channels, in the order of darknet.

    Shapes: x (N, C, H, W) -> y (N, C s s, H / s, W / s)

    Notes
    -----
    With s = stride, a sample of x is taken as C / s^2 images of H s x W s pixels; the pixels at
    equal places in the blocks of s x s are collected one after the other. YOLO v2 was trained with
    this order, which is not that of the blocks of x itself. With `reverse` y is
    (N, C / s^2, H s, W s), and y[n, c, h s + i, w s + j] = x[n, (i s + j) C / s^2 + c, h, w].

    Differs from MobileNet-YOLO: the gradient is the inverse permutation; there it is 0.

    References
    ----------
    Redmon and Farhadi, "YOLO9000: better, faster, stronger", 2017.
    """

    def permutation(self, bottom: Blobs, top: Blobs) -> Permute:
        """Give the top its shape; return the op."""
        shape, s = bottom[0].shape, int(self.settings.stride)
        self.require_shape(
            len(shape) == 4, f'bottom "{bottom[0].name}" must be (N, C, H, W), it is {shape}'
        )
        self.require(s > 0, "reorg_param: stride is missing or 0; it must be at least 1")
        n, c, h, w = shape
        self.require_shape(
            c % (s * s) == 0,
            f'bottom "{bottom[0].name}" has {c} channels; stride: {s} needs a multiple of {s * s}',
        )
        if self.settings.reverse:
            top[0].reshape((n, c // (s * s), h * s, w * s))
            return Permute((n, s, s, c // (s * s), h, w), (0, 3, 4, 1, 5, 2))
        self.require_shape(
            h % s == w % s == 0,
            f'bottom "{bottom[0].name}" has images of {(h, w)}; stride: {s} must divide both',
        )
        top[0].reshape((n, c * s * s, h // s, w // s))
        return Permute((n, c // (s * s), h, s, w, s), (0, 3, 5, 1, 2, 4))
