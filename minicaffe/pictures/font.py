"""The font of all drawings: Pillow's default, so that they look the same on every system."""

from __future__ import annotations

from functools import cache

from PIL import ImageFont


@cache
def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font in a size; cached, because Pillow unpacks it on every call."""
    return ImageFont.load_default(size_px)
