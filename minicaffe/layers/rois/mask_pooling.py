"""MaskPooling."""

from __future__ import annotations

from minicaffe.layers.registry import register
from minicaffe.layers.segmentation.spatial_product import SpatialProduct


@register("MaskPooling")
class MaskPooling(SpatialProduct):
    """Multiply the features of each region with its mask.

    Shapes: x (R, C, H, W), mask (R, 1, H, W) -> y (R, C, H, W)

    Notes
    -----
    y[r, c] = x[r, c] mask[r]; both bottoms get a gradient.

    Differs from MNC: the CPU computes it.

    Source: Dai, He, Sun, "Instance-aware Semantic Segmentation via Multi-task Network Cascades",
    CVPR 2016, equation 9.
    """
