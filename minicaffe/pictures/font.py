"""The font of all pictures: Pillow's own, so that they look the same everywhere."""

from __future__ import annotations

from functools import cache

from PIL import ImageFont


@cache
def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font in a size; Pillow unpacks it anew each time it is asked."""
    return ImageFont.load_default(size_px)
