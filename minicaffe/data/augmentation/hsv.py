"""Conversion of colours to hue, saturation and value and back, in OpenCV's units of bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.image import Pixels

Values = NDArray[np.float32]

_SIXTH = 30  # of the circle of hues, which has 180 units


def hsv_from_bgr(image: Pixels) -> Values:
    """Return hue (0 to below 180), saturation and value (0 to 255) of an image.

    Parameters
    ----------
    image : ndarray, uint8, shape (3, rows, columns)
        Blue, green, red.

    Returns
    -------
    ndarray, float32, shape (3, rows, columns)
    """
    blue, green, red = image.astype(np.float32)
    value = np.maximum(np.maximum(blue, green), red)
    spread = value - np.minimum(np.minimum(blue, green), red)
    scale = _SIXTH / np.maximum(spread, 1)
    hue = (red - green) * scale + 120
    np.copyto(hue, (blue - red) * scale + 60, where=value == green)
    np.copyto(hue, (green - blue) * scale, where=value == red)
    hue += 180 * (hue < 0)
    return np.stack([hue, 255 * spread / np.maximum(value, 1), value])


def bgr_from_hsv(hsv: Values) -> Values:
    """Return blue, green and red, 0 to 255: the inverse of `hsv_from_bgr`."""
    hue, saturation, value = hsv
    spread = value * saturation / 255
    sixth = hue / _SIXTH
    # How far each channel is between the smallest (0) and the largest (1).
    heights = 2 - np.abs(sixth - 4), 2 - np.abs(sixth - 2), np.abs(sixth - 3) - 1
    return np.stack([value + spread * (height.clip(0, 1) - 1) for height in heights])
