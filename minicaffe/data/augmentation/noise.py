"""noise_param: images in grey, blurred, equalised, compressed, eroded, in few colours, spotted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.augmentation.clahe import clahe
from minicaffe.data.augmentation.hsv import hsv_from_bgr
from minicaffe.data.image import Pixels, decode_image, encode_image
from minicaffe.errors import DataError
from minicaffe.schema.forks_pb2 import NoiseParameter

_Step: TypeAlias = Callable[[Pixels, np.random.Generator], Pixels]

_LEVELS = 64  # grey levels that posterize merges
_BLUR = np.exp(-(np.arange(-3, 4) ** 2) / (2 * 1.5**2))


class Noise:
    """Changes an image in all the ways that noise_param asks for, in SSD's order.

    Parameters
    ----------
    param : NoiseParameter
        prob, if given, is the share of the images that are changed; otherwise all are.

    Raises
    ------
    DataError
        If something is asked for that is not implemented, or saltpepper has no value.
    """

    def __init__(self, param: NoiseParameter) -> None:
        if param.convert_to_lab:
            raise DataError(
                "transform_param: noise_param: convert_to_lab is not implemented. Prepare the "
                "images with another program, or remove it."
            )
        if param.saltpepper and not param.saltpepper_param.value:
            raise DataError(
                "transform_param: noise_param: saltpepper needs saltpepper_param { value: ... }."
            )
        self._probability = param.prob if param.HasField("prob") else 1.0
        self._steps = list(_steps(param))

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        """Return an image, uint8 (channels, rows, columns), changed."""
        happens = generator.random() < self._probability
        for step in self._steps if happens else ():
            image = step(image, generator)
        return image


def _steps(param: NoiseParameter) -> Iterator[_Step]:
    if param.decolorize:
        yield lambda image, _: np.repeat(_luma(image)[None], len(image), axis=0)
    if param.gauss_blur:
        yield lambda image, _: _blurred(image)
    if param.hist_eq:
        yield lambda image, _: _equalized(image)
    if param.clahe:
        yield lambda image, _: _with_luma(image, clahe(_luma(image)))
    if param.jpeg > 0:
        quality = int(param.jpeg)
        yield lambda image, _: decode_image(encode_image(image, "jpg", quality), True, "noise")
    if param.erode:
        yield lambda image, _: _eroded(image)
    if param.posterize:
        yield lambda image, _: image // _LEVELS * _LEVELS + _LEVELS // 2
    if param.inverse:
        yield lambda image, _: ~image
    if param.saltpepper:
        yield _Spots(param.saltpepper_param.fraction, [*param.saltpepper_param.value])
    if param.convert_to_hsv:
        yield lambda image, _: _hsv_bytes(image)


def _hsv_bytes(image: Pixels) -> Pixels:
    hsv = np.rint(hsv_from_bgr(image)).astype(np.uint8)
    hsv[0] %= 180
    return hsv


class _Spots:
    """Gives random pixels, a share of all, these values."""

    def __init__(self, share: float, values: list[float]) -> None:
        self._share, self._values = share, np.array(values).astype(np.uint8)

    def __call__(self, image: Pixels, generator: np.random.Generator) -> Pixels:
        if len(self._values) not in (1, len(image)):
            raise DataError(
                f"transform_param: noise_param: {len(self._values)} values of saltpepper for "
                f"images of {len(image)} channels; give one, or one a channel."
            )
        rows, columns = image.shape[1:]
        n = int(self._share * rows * columns)
        spotted = image.copy()
        at = generator.integers(rows, size=n), generator.integers(columns, size=n)
        spotted[:, at[0], at[1]] = self._values[:, None]
        return spotted


def _luma(image: Pixels) -> Pixels:
    """Return the grey values of an image, (rows, columns)."""
    if len(image) == 1:
        grey: Pixels = image[0]
        return grey
    blue, green, red = image.astype(np.int32)
    mixed: Pixels = ((1868 * blue + 9617 * green + 4899 * red + (1 << 13)) >> 14).astype(np.uint8)
    return mixed


def _blurred(image: Pixels) -> Pixels:
    """Return an image blurred by 7 x 7 pixels of a Gauss function with deviation 1.5."""
    weights = (_BLUR / _BLUR.sum()).astype(np.float32)
    reach = len(weights) // 2
    values: NDArray[np.float32] = image.astype(np.float32)
    for axis in (1, 2):
        width = [(0, 0), (0, 0), (0, 0)]
        width[axis] = (reach, reach)
        padded = np.pad(values, width, "reflect" if values.shape[axis] > reach else "edge")
        views = np.lib.stride_tricks.sliding_window_view(padded, len(weights), axis)
        values = views @ weights
    return np.rint(values).astype(np.uint8)


def _equalized(image: Pixels) -> Pixels:
    """Return an image whose grey values occur equally often."""
    luma = _luma(image)
    counts = np.bincount(luma.ravel(), minlength=256)
    first = int(np.flatnonzero(counts)[0])
    rest = luma.size - counts[first]
    if not rest:
        return image
    levels = np.rint((counts.cumsum() - counts[first]).clip(0) * (255 / rest))
    return _with_luma(image, levels[luma].astype(np.float32))


def _with_luma(image: Pixels, luma: NDArray[np.float32]) -> Pixels:
    """Return an image with other grey values, whose channels keep their differences from these."""
    changed = image + np.rint(luma) - _luma(image)
    pixels: Pixels = changed.clip(0, 255).astype(np.uint8)
    return pixels


def _eroded(image: Pixels) -> Pixels:
    """Return the minimum of each pixel and its four neighbours."""
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)), constant_values=255)
    middle, rows, columns = slice(1, -1), padded[:, :, 1:-1], padded[:, 1:-1]
    least: Pixels = np.minimum.reduce(
        [rows[:, middle], rows[:, :-2], rows[:, 2:], columns[:, :, :-2], columns[:, :, 2:]]
    )
    return least
