"""distort_param: random changes of brightness, contrast, saturation, hue and order of channels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.augmentation.hsv import bgr_from_hsv, hsv_from_bgr
from minicaffe.data.image import Pixels
from minicaffe.errors import DataError
from minicaffe.schema.forks_pb2 import DistortionParameter

Values = NDArray[np.float32]

_HUES = 180  # OpenCV's unit of a hue is two degrees
_SMALLEST_FACTOR = 1e-3  # the least change of a factor that counts


class Distortion:
    """Changes the colours of an image, each property with its own probability.

    Brightness adds a number of at most brightness_delta to all values; contrast and saturation
    multiply by a factor between lower and upper; hue adds at most hue_delta, in units of two
    degrees. In half of the images contrast comes first, in the others last. Grey images have
    brightness and contrast only.

    Parameters
    ----------
    param : DistortionParameter

    Raises
    ------
    DataError
        If a probability is not one, or a lower limit is above the upper one.
    """

    def __init__(self, param: DistortionParameter) -> None:
        for name in ("brightness", "contrast", "hue", "saturation", "random_order"):
            probability = getattr(param, f"{name}_prob")
            if not 0 <= probability <= 1:
                raise DataError(
                    f"transform_param: distort_param: {name}_prob: {probability:g} is not a "
                    "probability."
                )
        for name in ("contrast", "saturation"):
            lower, upper = getattr(param, f"{name}_lower"), getattr(param, f"{name}_upper")
            if getattr(param, f"{name}_prob") and not 0 <= lower <= upper:
                raise DataError(
                    f"transform_param: distort_param: {name}_lower: {lower:g} must be 0 or more, "
                    f"and {name}_upper: {upper:g} at least as much."
                )
        self._param = param

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Return an image, uint8 (channels, rows, columns), changed."""
        param, happens = self._param, generator.random(6)
        shift = generator.uniform(-param.brightness_delta, param.brightness_delta)
        contrast = _factor(generator, param.contrast_lower, param.contrast_upper)
        saturation = _factor(generator, param.saturation_lower, param.saturation_upper)
        hue = generator.uniform(-param.hue_delta, param.hue_delta)
        order = generator.permutation(len(image))
        if happens[0] < param.brightness_prob and shift:
            image = _saturated(image + np.float32(shift))
        is_contrasting = happens[1] < param.contrast_prob and contrast is not None
        if is_contrasting and happens[5] < 0.5:
            image = _saturated(image * np.float32(contrast))
        if len(image) == 3:
            saturation = saturation if happens[2] < param.saturation_prob else None
            image = _recoloured(image, saturation, hue if happens[3] < param.hue_prob else 0.0)
        if is_contrasting and happens[5] >= 0.5:
            image = _saturated(image * np.float32(contrast))
        return image[order] if happens[4] < param.random_order_prob else image


def _factor(generator: np.random.Generator, lower: float, upper: float) -> float | None:
    """Return a random factor; None if it is nearly 1."""
    factor = float(generator.uniform(lower, max(lower, upper)))
    return None if abs(factor - 1) <= _SMALLEST_FACTOR else factor


def _recoloured(image: Pixels, saturation: float | None, hue: float) -> Pixels:
    if saturation is None and not hue:
        return image
    hsv = hsv_from_bgr(image)
    if saturation is not None:
        hsv[1] = (hsv[1] * np.float32(saturation)).clip(0, 255)
    hsv[0] = (hsv[0] + np.float32(hue)) % _HUES
    return _saturated(bgr_from_hsv(hsv))


def _saturated(values: Values) -> Pixels:
    """Return values rounded, and cut to 0 .. 255."""
    return np.rint(values).clip(0, 255).astype(np.uint8)
