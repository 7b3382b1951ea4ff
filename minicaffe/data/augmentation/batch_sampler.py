"""batch_sampler: random parts of annotated images that hold enough of an object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from minicaffe.data.augmentation.objects import Floats, Window, coverage, jaccard
from minicaffe.errors import DataError
from minicaffe.schema.forks_pb2 import BatchSampler, SampleConstraint

Draws: TypeAlias = NDArray[np.float64]
Chosen: TypeAlias = NDArray[np.bool_]


class PartSampler:
    """Draws a part of an image for each of several samplers, and returns one of all.

    A sampler draws up to max_trials parts: the scale s and the aspect ratio r are uniform between
    their limits, r at most 1 / s^2 and at least s^2; the part is s sqrt(r) wide and s / sqrt(r)
    high, at a uniform place. It takes the first max_sample in which one object meets all
    constraints: the overlap of both (Jaccard), the share of the part that the object covers, and
    the share of the object that the part covers.

    Parameters
    ----------
    samplers : sequence of BatchSampler

    Raises
    ------
    DataError
        If limits make no sense.
    """

    def __init__(self, samplers: Sequence[BatchSampler]) -> None:
        for k, sampler in enumerate(samplers):
            limits = sampler.sampler
            if not 0 < limits.min_scale <= limits.max_scale <= 1:
                raise DataError(
                    f"annotated_data_param: batch_sampler {k}: min_scale: {limits.min_scale:g} and "
                    f"max_scale: {limits.max_scale:g} must ascend, above 0 and 1 at most."
                )
            if not 0 < limits.min_aspect_ratio <= limits.max_aspect_ratio:
                raise DataError(
                    f"annotated_data_param: batch_sampler {k}: min_aspect_ratio: "
                    f"{limits.min_aspect_ratio:g} and max_aspect_ratio: "
                    f"{limits.max_aspect_ratio:g} must ascend, above 0."
                )
        self._samplers = [sampler for sampler in samplers if sampler.use_original_image]

    def __call__(self, boxes: Floats, generator: np.random.Generator) -> Window | None:
        """Return a part, in units of the image with these boxes (n, 4); None if there is none."""
        found = [self._sample(sampler, boxes, generator) for sampler in self._samplers]
        parts = np.concatenate([*found, np.zeros((0, 4), np.float32)])
        if not len(parts):
            return None
        left, top, right, bottom = parts[int(generator.integers(len(parts)))].tolist()
        return left, top, right, bottom

    def _sample(
        self, sampler: BatchSampler, boxes: Floats, generator: np.random.Generator
    ) -> Floats:
        limits = sampler.sampler
        draws = generator.random((sampler.max_trials, 4))
        scale = _between(limits.min_scale, limits.max_scale, draws[:, 0])
        ratio = _between(limits.min_aspect_ratio, limits.max_aspect_ratio, draws[:, 1])
        ratio = ratio.clip(scale**2, 1 / scale**2)
        size = np.stack([scale * np.sqrt(ratio), scale / np.sqrt(ratio)], 1).clip(None, 1)
        corner = draws[:, 2:] * (1 - size)
        parts = np.concatenate([corner, corner + size], 1).astype(np.float32)
        met = parts[_meets(sampler.sample_constraint, parts, boxes)]
        return met[: sampler.max_sample] if sampler.HasField("max_sample") else met


def jitter(most: float, generator: np.random.Generator) -> Window:
    """Return a random part whose sides are at most the share `most` shorter than the image's."""
    width, height, x, y = generator.random(4)
    width, height = 1 - most * width, 1 - most * height
    left, top = x * (1 - width), y * (1 - height)
    return left, top, left + width, top + height


def _between(lower: float, upper: float, draws: Draws) -> Draws:
    return lower + (upper - lower) * draws


def _meets(constraint: SampleConstraint, parts: Floats, boxes: Floats) -> Chosen:
    """Return which parts one object meets all constraints in."""
    measures = {
        "jaccard_overlap": jaccard(parts, boxes),
        "sample_coverage": coverage(parts, boxes),
        "object_coverage": coverage(boxes, parts).T,
    }
    given = [field.name for field, _ in constraint.ListFields()]
    if not given:
        return np.ones(len(parts), bool)
    ok = np.ones((len(parts), len(boxes)), bool)
    for name in given:
        limit, kind = getattr(constraint, name), name[4:]
        ok &= measures[kind] >= limit if name.startswith("min") else measures[kind] <= limit
    met: Chosen = np.logical_or.reduce(ok, axis=1)
    return met
