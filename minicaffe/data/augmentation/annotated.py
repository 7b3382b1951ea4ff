"""Transformation of annotated images: what AnnotatedData does to an image and its boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from minicaffe.data.augmentation.batch_sampler import PartSampler, jitter
from minicaffe.data.augmentation.distortion import Distortion
from minicaffe.data.augmentation.expansion import Expansion
from minicaffe.data.augmentation.noise import Noise
from minicaffe.data.augmentation.objects import (
    WHOLE,
    EmitRule,
    Floats,
    Window,
    cut_objects,
    mirror_objects,
    sides_of,
)
from minicaffe.data.augmentation.resize_policy import ResizePolicy
from minicaffe.data.datum import ImageArray
from minicaffe.data.image import Pixels
from minicaffe.data.transformer import check_crop, crop_size
from minicaffe.errors import DataError
from minicaffe.schema.forks_pb2 import BatchSampler
from minicaffe.schema.minicaffe_pb2 import TRAIN, TransformationParameter


class Annotated(NamedTuple):
    """An image, uint8 (channels, rows, columns), and its objects."""

    image: Pixels
    objects: Floats


class AnnotatedTransformer:
    """Changes images and boxes alike, up to the size of the net; mean and scale come later.

    The order is SSD's: distort_param, expand_param, a part by batch_sampler, resize_param,
    noise_param, the crop, the mirror.

    Parameters
    ----------
    param : TransformationParameter
    samplers : sequence of BatchSampler
    jitter_share : float
        With a share above 0 the part is that of `jitter`, not of the samplers.
    phase : int
        TRAIN or TEST; the crop is random in TRAIN, in the middle in TEST.

    Raises
    ------
    DataError
        If fields contradict each other.
    """

    def __init__(
        self,
        param: TransformationParameter,
        samplers: Sequence[BatchSampler],
        jitter_share: float,
        phase: int,
    ) -> None:
        self._distort = Distortion(param.distort_param) if param.HasField("distort_param") else None
        self._expand = Expansion(param) if param.HasField("expand_param") else None
        self._sample = PartSampler(samplers) if samplers else None
        self._jitter = jitter_share
        self._policies = [ResizePolicy(policy) for policy in param.resize_param]
        weights = np.array([policy.prob for policy in param.resize_param])
        self._weights = weights / weights.sum() if weights.sum() > 0 else None
        self._noises = [Noise(noise) for noise in param.noise_param]
        self._emit = EmitRule(param.emit_constraint if param.HasField("emit_constraint") else None)
        self._crop = crop_size(param)
        self._crops_at_random, self._mirror = phase == TRAIN, bool(param.mirror)

    def policy(self, generator: np.random.Generator) -> ResizePolicy | None:
        """Return one of the resize_params, by their prob; None without one."""
        if len(self._policies) < 2:
            return self._policies[0] if self._policies else None
        return self._policies[int(generator.choice(len(self._policies), p=self._weights))]

    def __call__(
        self,
        image: ImageArray,
        objects: Floats,
        policy: ResizePolicy | None,
        generator: np.random.Generator,
    ) -> Annotated:
        """Return an image and its objects, changed.

        Parameters
        ----------
        image : ndarray, uint8, shape (channels, rows, columns)
            Read only.
        objects : ndarray, float32, shape (n, 7)
            Read only.
        policy : ResizePolicy or None
            The same for all images of a batch.
        generator : numpy.random.Generator
            Of this image alone.

        Raises
        ------
        DataError
            If the values are no bytes, or the crop is larger than the image.
        """
        if image.dtype != np.uint8:
            raise DataError(f"AnnotatedData works on images of bytes; these are {image.dtype}.")
        pixels = image.astype(np.uint8, copy=False)
        if self._distort is not None:
            pixels = self._distort(pixels, generator)
        if self._expand is not None:
            pixels, window = self._expand(pixels, generator)
            objects = cut_objects(objects, window, self._emit)
        pixels, objects = self._part(pixels, objects, generator)
        if policy is not None:
            objects = policy.move_boxes(objects, *pixels.shape[1:])
            pixels = policy(pixels, generator)
        for noise in self._noises:
            pixels = noise(pixels, generator)
        return self._cut(pixels, objects, generator)

    def _part(self, image: Pixels, objects: Floats, generator: np.random.Generator) -> Annotated:
        """Return a random part of an image, if there is to be one."""
        part: Window | None = None
        if self._jitter:
            part = jitter(self._jitter, generator)
        elif self._sample is not None:
            part = self._sample(sides_of(objects), generator)
        if part is None:
            return Annotated(image, objects)
        height, width = image.shape[1:]
        left, top = int(part[0] * width), int(part[1] * height)
        right = max(int(part[2] * width), left + 1)
        bottom = max(int(part[3] * height), top + 1)
        window = left / width, top / height, right / width, bottom / height
        return Annotated(image[:, top:bottom, left:right], cut_objects(objects, window, self._emit))

    def _cut(self, image: Pixels, objects: Floats, generator: np.random.Generator) -> Annotated:
        """Return the crop, maybe mirrored."""
        height, width = image.shape[1:]
        window = WHOLE
        places = generator.random(2) if self._crops_at_random else np.array([0.5, 0.5])
        if self._crop is not None:
            rows, columns = self._crop
            check_crop(self._crop, height, width)
            top, left = (height - rows) // 2, (width - columns) // 2
            if self._crops_at_random:
                top = int(places[0] * (height - rows + 1))
                left = int(places[1] * (width - columns + 1))
            image = image[:, top : top + rows, left : left + columns]
            window = left / width, top / height, (left + columns) / width, (top + rows) / height
        objects = cut_objects(objects, window, self._emit)
        if self._mirror and generator.random() < 0.5:
            return Annotated(image[:, :, ::-1], mirror_objects(objects))
        return Annotated(image, objects)
