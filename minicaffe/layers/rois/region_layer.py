"""Base of layers that pool inside regions, and checks of regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from minicaffe.blob import Blob
from minicaffe.layers.base import Arity, Blobs, Layer, P, Role
from minicaffe.ops.backend import Op, Shape
from minicaffe.ops.rois.roi_pooling import RoiPoolKernel

ROI_VALUES = 5


class RegionLayer(Layer[P]):
    """A layer that pools a map inside regions; its subclasses name the op."""

    bottoms: ClassVar[Arity] = 2
    role: ClassVar[Role] = "pooling"
    without_gradient = (1,)
    kernel: RoiPoolKernel

    @property
    def reads_bottoms(self) -> bool:
        """Yes: the regions."""
        return True

    def region_op(self) -> Op[RoiPoolKernel]:
        """Return the op from the settings."""
        raise NotImplementedError

    def pooled_shape(self, x: Blob) -> Shape:
        """Return the shape of what a region gives: channels, rows, columns."""
        raise NotImplementedError

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings."""
        self.op = self.region_op()

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top a row for each region and plan."""
        x, rois = bottom
        require_map(self, x)
        require_regions(self, rois)
        top[0].reshape((rois.shape[0], *self.pooled_shape(x)))
        self.kernel = self.plan(self.op, x.data, rois.data, top[0].data)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(bottom[0].data, bottom[1].data, top[0].data)

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the map's diff; the regions get a gradient of 0."""
        if propagate_down[0]:
            self.kernel.backward(bottom[1].data, top[0].diff, bottom[0].diff)
        clear_diffs(bottom[1:], propagate_down[1:])


class BoxLayer(Layer[P]):
    """A layer that computes boxes: no gradient passes through it, as in the forks.

    The boxes of a Faster R-CNN depend on layers that learn, so the net asks for their gradient; it
    is 0.
    """

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs with 0."""
        clear_diffs(bottom, propagate_down)


def clear_diffs(bottom: Blobs, propagate_down: Sequence[bool]) -> None:
    """Overwrite the diffs that are asked for with 0."""
    for blob, needed in zip(bottom, propagate_down, strict=True):
        if needed:
            blob.diff.clear()


def require_map(layer: Layer, x: Blob) -> None:
    """Raise a ShapeError unless the blob is (N, C, H, W)."""
    layer.require_shape(
        len(x.shape) == 4, f'bottom "{x.name}" must be (N, C, H, W), it is {x.shape}'
    )


def require_regions(layer: Layer, rois: Blob) -> None:
    """Raise a ShapeError unless the blob has rows of five values."""
    layer.require_shape(
        rois.shape and rois.count == ROI_VALUES * rois.shape[0] and ROI_VALUES in rois.shape[1:],
        f'bottom "{rois.name}", the regions, must be (R, 5): image, x1, y1, x2, y2; it is '
        f"{rois.shape}",
    )
