"""Image transformation by transform_param: crop, mirror, mean and scale of whole batches.

For every value: ``y = (x - mean) * scale``, after cutting out a window (random in TRAIN, the
middle one in TEST) and maybe mirroring it left to right (half of the images, in TRAIN and TEST
alike).

Then images may be mixed (mixup, Zhang et al., 2018). There, x = a xi + (1 - a) xj has the loss
a L(yi) + (1 - a) L(yj), with a from Beta(alpha, alpha). Loss layers of Caffe take one label, so
that here x has the label yi only, with a from Beta(alpha + 1, alpha). Its density is that of
Beta(alpha, alpha) times 2 a: because pairs come in both orders, the mean loss is the same (Huszar,
2017).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.datum import ImageArray
from minicaffe.data.mean import read_mean
from minicaffe.data.pixels.kernels import CropWindow, Pixels, transformed_windows
from minicaffe.errors import DataError
from minicaffe.ops.transform import StagedBatch
from minicaffe.schema.minicaffe_pb2 import TRAIN, TransformationParameter

Floats = NDArray[np.float32]

_LARGEST = 255  # mirrored horizontal flow x becomes 255 - x


def crop_size(param: TransformationParameter) -> tuple[int, int] | None:
    """Return rows and columns of the crop; None without one.

    Raises
    ------
    DataError
        Unless crop_size, or both crop_h and crop_w, or none of them is given.
    """
    names = [name for name in ("crop_size", "crop_h", "crop_w") if getattr(param, name)]
    if names in ([], ["crop_size"]):
        return (param.crop_size, param.crop_size) if names else None
    if names != ["crop_h", "crop_w"]:
        raise DataError(
            f"transform_param: {' and '.join(names)} given; the crop is given by crop_size, or by "
            "crop_h and crop_w."
        )
    return param.crop_h, param.crop_w


def check_crop(crop: tuple[int, int], height: int, width: int) -> None:
    """Raise a DataError if a crop is larger than an image of this size."""
    if crop[0] > height or crop[1] > width:
        size = f"{crop[0]} x {crop[1]}" if crop[0] != crop[1] else f"{crop[0]}"
        raise DataError(
            f"transform_param: crop_size {size} is larger than the image, {height} x {width} (rows "
            f"x columns); a crop must fit. Use at most {min(height, width)}, or convert the images "
            "to a larger size."
        )


@dataclass(frozen=True)
class RowDraws:
    """Draws for some rows of a batch what others draw for its other rows.

    All draw the numbers of the whole batch, and use those of their rows. How many numbers are drawn
    for a row does not depend on images.

    Parameters
    ----------
    generator : numpy.random.Generator
        In the same state for all.
    rows : slice
        The rows that are transformed, as many as all others do at once.
    n : int
        Rows of the whole batch.
    """

    generator: np.random.Generator
    rows: slice
    n: int

    @classmethod
    def of_all(cls, generator: np.random.Generator, n: int) -> RowDraws:
        """Draw for a batch of n rows that nobody else transforms."""
        return cls(generator, slice(0, n), n)

    def coins(self) -> NDArray[np.bool_]:
        """Return True or False for each row."""
        return self.generator.integers(2, size=self.n)[self.rows].astype(bool)

    def below(self, limits: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return whole numbers from 0 to below `limits`, (rows, k), as many for each row."""
        size = self.n, limits.shape[1]
        drawn = self.generator.integers(2**32, size=size, dtype=np.uint32)[self.rows]
        return (drawn.astype(np.uint64) * limits.astype(np.uint64) >> 32).astype(np.int64)

    def partners(self) -> NDArray[np.int64]:
        """Return a random order of the rows, counted from the first of them."""
        size = self.rows.stop - self.rows.start
        orders = [self.generator.permutation(size) for _ in range(self.n // size)]
        mine: NDArray[np.int64] = orders[self.rows.start // size]
        return mine

    def betas(self, a: float, b: float) -> NDArray[np.float64]:
        """Return a number from the beta distribution for each row."""
        return self.generator.beta(a, b, self.n)[self.rows]


class DataTransformer:
    """Crops, mirrors, subtracts the mean and scales, as ``transform_param`` describes.

    Parameters
    ----------
    param : TransformationParameter
        ``mean_file`` is read here, once.
    phase : int
        TRAIN or TEST.
    mixup_alpha : float, optional
        Mixes the images of a batch, if it is not 0.

    Attributes
    ----------
    color : bool or None
        The colour space that encoded images are converted to: True colour (force_color), False grey
        (force_gray), None as the file has it.
    is_random : bool
        Whether calls draw random numbers.
    scale : float32
        What values are multiplied by, after the mean was subtracted.

    Raises
    ------
    DataError
        If the fields contradict each other or the mean file cannot be read.
    """

    def __init__(
        self, param: TransformationParameter, phase: int, mixup_alpha: float = 0.0
    ) -> None:
        if not mixup_alpha >= 0:
            raise DataError(
                f"transform_param: mixup_alpha is {mixup_alpha:g}; it must be at least 0."
            )
        if param.force_color and param.force_gray:
            raise DataError(
                "transform_param: force_color and force_gray are both set; images can be "
                "converted to one of them only. Remove one."
            )
        if param.mean_file and param.mean_value:
            raise DataError(
                "transform_param: mean_file and mean_value are both set; there can be one mean "
                "only. Remove one."
            )
        self.color = True if param.force_color else False if param.force_gray else None
        self._crop_size = crop_size(param)
        self._crop_at_random = phase == TRAIN and self._crop_size is not None
        self._mirror = bool(param.mirror)
        # How far the channels lie apart that hold horizontal flow; 0 if the images are no flow.
        self._flow_step = 2 if param.is_flow else sys.maxsize if param.flow else 0
        self._mixup_alpha = mixup_alpha
        self.is_random = self._mirror or self._crop_at_random or bool(mixup_alpha)
        self.scale = np.float32(param.scale)
        self._mean_file = str(param.mean_file)
        self._mean = read_mean(self._mean_file) if self._mean_file else None
        self._mean_values = np.array(param.mean_value, dtype=np.float32)

    def output_shape(self, image: tuple[int, ...]) -> tuple[int, int, int]:
        """Return the shape of a transformed image, (channels, rows, columns).

        Raises
        ------
        DataError
            If the mean does not fit such images, or the crop is larger than they are.
        """
        channels, height, width = image
        if self._mean is not None and self._mean.shape != image:
            raise DataError(self._mean_mismatch(image))
        if len(self._mean_values) not in (0, 1, channels):
            raise DataError(
                f"transform_param: {len(self._mean_values)} mean_values for images of {channels} "
                f"channels; give one, or one a channel (blue, green, red)."
            )
        if self._crop_size is None:
            return channels, height, width
        check_crop(self._crop_size, height, width)
        return channels, *self._crop_size

    def __call__(self, images: Sequence[ImageArray], draws: RowDraws | None = None) -> Floats:
        """Transform a batch.

        Parameters
        ----------
        images : sequence of ndarray, each (channels, rows, columns), uint8 or float32
            They may differ in size if there is a crop. Read only.
        draws : RowDraws, optional
            Needed if `is_random`. Draws, in this order: mirror, top and left of all images; with
            what they are mixed, and how much.

        Returns
        -------
        ndarray, float32, shape (n, channels, rows, columns)
        """
        return self.mix(self._transformed(images, draws), draws)

    def mix(self, values: Floats, draws: RowDraws | None) -> Floats:
        """Return images, float32 (n, channels, rows, columns), mixed; as they are without mixup."""
        if not self._mixup_alpha or draws is None:
            return values
        alpha = self._mixup_alpha
        others = values[draws.partners()]
        share = draws.betas(alpha + 1, alpha).astype(np.float32)[:, None, None, None]
        return share * values + (1 - share) * others

    def _transformed(self, images: Sequence[ImageArray], draws: RowDraws | None) -> Floats:
        shape = self._common_shape(images)
        windows = self._windows(images, draws)
        if not self._flow_step and all(image.dtype == np.uint8 for image in images):
            values = np.empty((len(images), *shape), np.float32)
            mean, pixels = self.mean(shape[0]), cast(Sequence[Pixels], images)
            if transformed_windows(pixels, windows, values, mean, float(self.scale)):
                return values
        if self._crop_size is None and not self._mirror:
            return self._arithmetic(cast(ImageArray, np.stack(images)), self._mean)
        cut = self._cut_out(images, windows, shape)
        if self._mean is None:
            return self._arithmetic(cut, None)
        if len(set(windows)) == 1:
            return self._arithmetic(cut, cast(Floats, _cut(self._mean, windows[0], shape)))
        means = np.empty(cut.shape, dtype=np.float32)
        for window, target in zip(windows, means, strict=True):
            target[...] = _cut(self._mean, window, shape)
        return self._arithmetic(cut, means)

    def cut_out(self, images: Sequence[ImageArray], draws: RowDraws | None) -> ImageArray:
        """Return what a call cuts out and mirrors, before the mean and the scale.

        Draws the same random numbers as a call.
        """
        shape = self._common_shape(images)
        return self._cut_out(images, self._windows(images, draws), shape)

    def _cut_out(
        self,
        images: Sequence[ImageArray],
        windows: Sequence[CropWindow],
        shape: tuple[int, int, int],
    ) -> ImageArray:
        cut = np.empty((len(images), *shape), dtype=images[0].dtype)
        for image, window, target in zip(images, windows, cut, strict=True):
            target[...] = _cut(image, window, shape)
            if window.mirror and self._flow_step:
                target[:: self._flow_step] = _LARGEST - target[:: self._flow_step]
        return cut

    def fits(self, images: Sequence[ImageArray], staged: StagedBatch) -> bool:
        """Return whether these images can be packed into a staged batch; see `pack`."""
        if self._mixup_alpha or (self._flow_step and self._mirror):
            return False
        return (len(images), *self._common_shape(images)) == staged.shape and all(
            image.dtype == np.uint8 for image in images
        )

    def pack(
        self,
        images: Sequence[ImageArray],
        draws: RowDraws | None,
        staged: StagedBatch,
    ) -> None:
        """Fill a staged batch, from which a device transforms; see `minicaffe.ops.transform`.

        Draws the same random numbers as a call.
        """
        windows = self._windows(images, draws)
        staged.windows[...] = windows
        if self._crop_size is None:
            np.stack(images, out=staged.images)
            return
        shape = staged.shape[1], staged.shape[2], staged.shape[3]
        for image, window, target in zip(images, windows, staged.images, strict=True):
            target[...] = _cut(image, window._replace(mirror=False), shape)

    def mean(self, channels: int) -> Floats:
        """Return the mean that is subtracted from images.

        Returns
        -------
        ndarray, float32, shape (channels, rows, columns) or (channels, 1, 1)
        """
        if self._mean is not None:
            return self._mean
        values = self._mean_values if len(self._mean_values) else np.zeros(1, np.float32)
        return np.array(np.broadcast_to(values[:, None, None], (channels, 1, 1)))

    def _common_shape(self, images: Sequence[ImageArray]) -> tuple[int, int, int]:
        """Return the shape of all images after the crop."""
        shapes = {image.shape for image in images}
        cuts = {self.output_shape(shape) for shape in shapes}
        if len(cuts) != 1:
            raise DataError(
                f"images of different shapes in a batch: {_join(shapes)} (channels x rows x "
                f"columns)."
            )
        return cuts.pop()

    def _windows(self, images: Sequence[ImageArray], draws: RowDraws | None) -> list[CropWindow]:
        n = len(images)
        sizes = np.array([image.shape[1:] for image in images])
        spare = sizes - np.array(self._crop_size or sizes)
        mirror = np.zeros(n, dtype=bool)
        if self.is_random and draws is None:
            raise ValueError("a random transformation needs random numbers")
        if self._mirror and draws is not None:
            mirror = draws.coins()
        if self._crop_at_random and draws is not None:
            corner = draws.below(spare + 1)
        else:
            corner = spare // 2
        tops, lefts = corner.T.tolist()
        return [CropWindow(*window) for window in zip(tops, lefts, mirror.tolist(), strict=True)]

    def _arithmetic(self, x: ImageArray, mean: Floats | None) -> Floats:
        if mean is not None:
            y = np.subtract(x, mean, dtype=np.float32)
        elif len(self._mean_values):
            y = np.subtract(x, self._mean_values[:, None, None], dtype=np.float32)
        elif self.scale == 1:
            return x.astype(np.float32, copy=False)  # x is a new array
        else:
            return np.multiply(x, self.scale, dtype=np.float32)
        if self.scale != 1:
            y *= self.scale
        return y

    def _mean_mismatch(self, image: tuple[int, ...]) -> str:
        mean = self._mean.shape if self._mean is not None else ()
        return (
            f"mean_file {self._mean_file}: the mean is {_times(mean)} and the image "
            f"{_times(image)} (channels x rows x columns); they must agree before the crop. Run "
            "compute_image_mean on this database, or use one mean_value a channel."
        )


def _cut(image: ImageArray, window: CropWindow, shape: tuple[int, int, int]) -> ImageArray:
    rows = slice(window.top, window.top + shape[1])
    cut = image[:, rows, window.left : window.left + shape[2]]
    return cut[:, :, ::-1] if window.mirror else cut


def _times(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _join(shapes: set[tuple[int, ...]]) -> str:
    return ", ".join(_times(shape) for shape in sorted(shapes))
