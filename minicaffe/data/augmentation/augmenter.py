"""The steps of augmentation that transform_param asks for, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from minicaffe.data.augmentation.geometric import (
    N_CORNERS,
    N_PLACES,
    CornerCrop,
    Padding,
    RandomAspect,
    Rotation,
    Scaling,
    ShortSide,
    Stretching,
)
from minicaffe.data.augmentation.noise import Noise
from minicaffe.data.augmentation.photometric import ColourShift, ContrastBrightness, Smoothing
from minicaffe.data.augmentation.random_parts import Cutout, RandomParts, RandomResizedCrop
from minicaffe.data.augmentation.resampling import Interpolation
from minicaffe.data.augmentation.resize_policy import ResizePolicy
from minicaffe.data.datum import ImageArray
from minicaffe.data.image import Pixels
from minicaffe.data.mean import read_mean
from minicaffe.data.transformer import crop_size
from minicaffe.errors import DataError
from minicaffe.schema.minicaffe_pb2 import (
    TRAIN,
    CutoutParameter,
    RandomResizedCropParameter,
    ResizeParameter,
    TransformationParameter,
)

Step: TypeAlias = Callable[[Pixels, np.random.Generator], Pixels]

# Shares of the short side that crops of several scales have, unless the user gives others.
_SCALE_RATIOS = (1.0, 0.875, 0.75, 0.66)


class Augmenter:
    """Changes images as transform_param asks for, before they are cropped and mirrored.

    Fields that set the size work in TRAIN and TEST, as in the forks, because a crop may need them;
    all others in TRAIN only.

    Parameters
    ----------
    param : TransformationParameter
    phase : int
        TRAIN or TEST.

    Raises
    ------
    DataError
        If the fields contradict each other.
    """

    def __init__(self, param: TransformationParameter, phase: int) -> None:
        self._steps: list[Step] = [*_ssds(param), *_intels(param), *_nvcaffes(param)]
        if not param.HasField("enable_classf_aug") or param.enable_classf_aug:
            self._steps += _caffe_augmentations(param, phase == TRAIN)
        if phase == TRAIN and param.pad:
            self._steps.append(Padding(param.pad))
        if phase == TRAIN:
            self._steps += _yjxiongs(param)
        if phase == TRAIN and param.HasField("random_resized_crop"):
            self._steps.append(_random_resized_crop(param))
        if param.bgr2rgb or param.cvt_bgr2rgb:
            self._steps.append(_reverse_channels)
        if phase == TRAIN and param.HasField("cutout"):
            # After the channels have the order of the mean.
            self._steps.append(_cutout(param))

    def __bool__(self) -> bool:
        """Return whether there is something to do."""
        return bool(self._steps)

    def __call__(self, image: ImageArray, generator: np.random.Generator) -> Pixels:
        """Return an image, changed.

        Parameters
        ----------
        image : ndarray, uint8, shape (channels, rows, columns)
            Read only.
        generator : numpy.random.Generator
            Of this image alone.

        Raises
        ------
        DataError
            If the values are no bytes, or a crop is larger than the image.
        """
        if image.dtype != np.uint8:
            raise DataError(
                "transform_param: augmentation works on images of bytes; these are "
                f"{image.dtype}. Remove its fields."
            )
        pixels = image.astype(np.uint8, copy=False)
        for step in self._steps:
            pixels = step(pixels, generator)
        return pixels


def _ssds(param: TransformationParameter) -> Iterator[Step]:
    if len(param.resize_param) > 1:
        raise DataError(
            f"transform_param: resize_param is given {len(param.resize_param)} times; the images "
            "of a batch have one size. Give one; AnnotatedData draws one for each batch."
        )
    yield from (ResizePolicy(policy) for policy in param.resize_param)
    yield from (Noise(noise) for noise in param.noise_param)


def _intels(param: TransformationParameter) -> Iterator[Step]:
    if param.HasField("random_resize_param"):
        size = param.random_resize_param
        _check_order("random_resize_param", size.min_size, size.max_size or size.min_size)
        yield ShortSide(size.min_size, size.max_size, _interpolation(size.resize_param))
    elif param.HasField("random_aspect_ratio_param"):
        aspect = param.random_aspect_ratio_param
        _require_crop(param, "random_aspect_ratio_param")
        areas = aspect.min_area_ratio, aspect.max_area_ratio
        _check_order("random_aspect_ratio_param: area_ratio", *areas)
        change = aspect.aspect_ratio_change
        if not (areas[0] > 0 and change > 0):
            raise DataError(
                f"transform_param: random_aspect_ratio_param: min_area_ratio {areas[0]:g} and "
                f"aspect_ratio_change {change:g} must be positive."
            )
        yield RandomAspect(
            param.crop_size,
            areas,
            min(change, 1 / change),
            aspect.max_attempt,
            _interpolation(aspect.resize_param),
        )


def _interpolation(param: ResizeParameter) -> Interpolation:
    """Return the first interpolation of interp_mode; LINEAR without one."""
    if not param.interp_mode:
        return Interpolation.LINEAR
    return Interpolation[ResizeParameter.Interp_mode.Name(param.interp_mode[0])]


_STRETCHING = ("rand_resize_ratio", "vertical_stretch", "horizontal_stretch")


def _nvcaffes(param: TransformationParameter) -> Iterator[Step]:
    sides = param.img_rand_resize_lower, param.img_rand_resize_upper
    names = [f"{field}_{limit}" for field in _STRETCHING for limit in ("lower", "upper")]
    if sides == (0, 0) and not any(param.HasField(name) for name in names):
        return
    if 0 in sides and sides != (0, 0):
        raise DataError("transform_param: give img_rand_resize_lower and img_rand_resize_upper.")
    limits = [
        (getattr(param, f"{field}_lower"), getattr(param, f"{field}_upper"))
        for field in _STRETCHING
    ]
    _check_order("img_rand_resize", *sides)
    for field, (lower, upper) in zip(_STRETCHING, limits, strict=True):
        _check_order(field, lower, upper)
    ratios, vertical, horizontal = limits
    if ratios != (0, 0) and ratios[0] < 1:
        raise DataError(
            f"transform_param: rand_resize_ratio_lower is {ratios[0]:g}; the long side must be at "
            "least as long as the short one: 1 or more."
        )
    down, up = (
        Interpolation[TransformationParameter.InterpolationAlgo.Name(value).removeprefix("INTER_")]
        for value in (param.interpolation_algo_down, param.interpolation_algo_up)
    )
    yield Stretching(
        sides, ratios, vertical, horizontal, param.crop_size, param.allow_upscale, down, up
    )


def _caffe_augmentations(param: TransformationParameter, is_training: bool) -> Iterator[Step]:
    probability = param.apply_probability
    if is_training and param.max_rotation_angle:
        yield Rotation(param.max_rotation_angle)
    if is_training and (
        param.HasField("min_scaling_factor") or param.HasField("max_scaling_factor")
    ):
        factors = param.min_scaling_factor, param.max_scaling_factor
        _check_order("scaling_factor", *factors)
        yield Scaling(*factors, param.crop_size, probability)
    if param.min_side:
        yield ShortSide(param.min_side, param.min_side)
    if param.min_side_min or param.min_side_max:
        _check_order("min_side", param.min_side_min, param.min_side_max)
        yield ShortSide(param.min_side_min or 1, param.min_side_max)
    if is_training and param.max_color_shift:
        yield ColourShift(param.max_color_shift, probability)
    if is_training and param.contrast_brightness_adjustment:
        contrasts = param.min_contrast, param.max_contrast
        _check_order("contrast", *contrasts)
        yield ContrastBrightness(*contrasts, param.max_brightness_shift, probability)
    if is_training and param.smooth_filtering:
        yield Smoothing(param.max_smooth, probability)


def _yjxiongs(param: TransformationParameter) -> Iterator[Step]:
    if not (param.multi_scale or param.fix_crop):
        return
    _require_crop(param, "multi_scale" if param.multi_scale else "fix_crop")
    ratios = tuple(param.scale_ratios) or _SCALE_RATIOS
    if not all(0 < ratio <= 1 for ratio in ratios):
        raise DataError(
            f"transform_param: scale_ratios {', '.join(map('{:g}'.format, ratios))}: a part cannot "
            "be larger than the image; each must lie above 0 and be at most 1."
        )
    n_places = 0 if not param.fix_crop else N_PLACES if param.more_fix_crop else N_CORNERS
    ratios = ratios if param.multi_scale else ()
    yield CornerCrop(param.crop_size, ratios, param.max_distort, n_places)


def _random_resized_crop(param: TransformationParameter) -> Step:
    others = [name for name in ("multi_scale", "fix_crop") if getattr(param, name)]
    others += ["random_aspect_ratio_param"] * param.HasField("random_aspect_ratio_param")
    if others:
        raise DataError(
            f"transform_param: random_resized_crop and {others[0]} exclude each other: both cut "
            "out the part that the net reads. Remove one."
        )
    size = crop_size(param)
    if size is None:
        raise DataError(
            "transform_param: random_resized_crop needs crop_size, or crop_h and crop_w: the size "
            "that the net reads."
        )
    return RandomResizedCrop(size, _parts("random_resized_crop", param.random_resized_crop))


def _cutout(param: TransformationParameter) -> Step:
    cutout = param.cutout
    if not 0 <= cutout.probability <= 1:
        raise DataError(
            f"transform_param: cutout: probability is {cutout.probability:g}; it must lie between "
            "0 and 1."
        )
    value = np.array(cutout.value or param.mean_value or [0], np.float32)
    if param.mean_file and not cutout.value:
        value = read_mean(param.mean_file).mean(axis=(1, 2))
    return Cutout(cutout.probability, _parts("cutout", cutout), value)


def _parts(field: str, param: RandomResizedCropParameter | CutoutParameter) -> RandomParts:
    areas = param.min_area_ratio, param.max_area_ratio
    aspects = param.min_aspect_ratio, param.max_aspect_ratio
    for name, limits in (("area_ratio", areas), ("aspect_ratio", aspects)):
        _check_order(f"{field}: {name}", *limits)
        if not limits[0] > 0:
            raise DataError(
                f"transform_param: {field}: min_{name} is {limits[0]:g}; it must be positive."
            )
    if areas[1] > 1:
        raise DataError(
            f"transform_param: {field}: max_area_ratio is {areas[1]:g}; a part cannot be larger "
            "than the image: at most 1."
        )
    return RandomParts(areas, aspects)


def _reverse_channels(image: Pixels, generator: np.random.Generator) -> Pixels:
    return image[::-1]


def _check_order(field: str, lower: float, upper: float) -> None:
    if lower > upper:
        raise DataError(
            f"transform_param: {field}: the lower limit {lower:g} is above the upper one, "
            f"{upper:g}. Exchange them."
        )


def _require_crop(param: TransformationParameter, field: str) -> None:
    if not param.crop_size:
        raise DataError(f"transform_param: {field} needs crop_size, the size to cut out.")
