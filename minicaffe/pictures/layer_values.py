"""Pictures of what a layer has learned and computes: its filters, and activations of a blob."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from PIL.Image import Image

from minicaffe.log import logger
from minicaffe.ops.backend import HostArray
from minicaffe.pictures.grid import bar_chart, enlargement, image_grid, to_pixels
from minicaffe.schema import LayerBlobs

_MOST_ROWS = 32  # and columns, of filters that have neither one nor three channels
_MOST_MAPS = 1024


def filters_of(layers: Iterable[LayerBlobs]) -> dict[str, HostArray]:
    """Return the filters of more than one pixel by the layer's name.

    Each has the shape (filters, channels, rows, columns).
    """
    found = {
        layer.name: layer.blobs[0]
        for layer in layers
        if layer.blobs and layer.blobs[0].ndim == 4 and layer.blobs[0].shape[2:] != (1, 1)
    }
    # Files that predate N-D blobs store the weights of every layer with four axes.
    return {name: w for name, w in found.items() if w.shape[:2] != (1, 1)}


def filter_image(name: str, kernels: HostArray, zoom: int | None = None) -> Image:
    """Draw the filters of a layer, shape (filters, channels, rows, columns)."""
    n, channels, height, width = kernels.shape
    # A symmetric range, so that zero is grey, positive weights light and negative ones dark.
    limit = float(np.abs(kernels).max())
    pixels = to_pixels(kernels, -limit, limit)
    caption = f"{name}: {n} filters, {channels} x {height} x {width}, -{limit:.3g} to {limit:.3g}"
    if channels in (1, 3):
        tiles = [tile if channels == 3 else tile[0] for tile in pixels]
        across = math.ceil(math.sqrt(n))
    else:
        rows, across = min(n, _MOST_ROWS), min(channels, _MOST_ROWS)
        caption += "; a row is a filter, a column a channel"
        if (rows, across) != (n, channels):
            caption += f" (the first {rows} and {across})"
        tiles = [tile for one in pixels[:rows] for tile in one[:across]]
    scale = zoom or enlargement(height, width, across)
    return image_grid(tiles, across, caption, scale, is_numbered=channels in (1, 3))


def activation_image(name: str, values: HostArray, zoom: int | None = None) -> Image:
    """Draw the first sample of a blob: feature maps as a grid of tiles, a vector as bars."""
    sample = values[0] if values.ndim > 1 else values
    finite = sample[np.isfinite(sample)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    shape = " x ".join(map(str, sample.shape))
    caption = f"{name}: {shape}, {low:.3g} to {high:.3g}"
    if finite.size < sample.size:
        caption += f", {sample.size - finite.size} values not finite"
    if sample.ndim < 3 or sample.shape[1:] == (1, 1):
        if zoom:
            logger.warning(f'--zoom has no effect on "{name}", which has no maps. Remove it.')
        flat = sample.ravel()
        best = ", ".join(f"{k} ({flat[k]:.3g})" for k in np.argsort(-flat, kind="stable")[:5])
        return bar_chart(flat, f"{caption}; largest: {best}")
    height, width = sample.shape[-2:]
    maps = sample.reshape(-1, height, width)
    if len(maps) > _MOST_MAPS:
        maps, caption = maps[:_MOST_MAPS], f"{caption} (the first {_MOST_MAPS} maps)"
    across = math.ceil(math.sqrt(len(maps)))
    scale = zoom or enlargement(height, width, across)
    return image_grid(list(to_pixels(maps, low, high)), across, caption, scale, is_numbered=True)
