"""What inputs of a net hold, so that random values for them have a meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from minicaffe.ops.backend import HostArray, Shape


class InputRule(Protocol):
    """Draws random values that a net may be given."""

    def sample_values(self, random: np.random.Generator, shape: Shape) -> HostArray:
        """Return values of a shape."""


@dataclass(frozen=True, order=True)
class WholeNumbers:
    """Indices, lengths, labels: 0 .. limit - 1."""

    limit: int

    def sample_values(self, random: np.random.Generator, shape: Shape) -> HostArray:
        """Return values of a shape."""
        return random.integers(0, self.limit, shape).astype(np.float32)


@dataclass(frozen=True)
class RegionRows:
    """Regions [image, x1, y1, x2, y2] of images of a size, in rows and columns."""

    n_images: int
    size: tuple[float, float]

    def sample_values(self, random: np.random.Generator, shape: Shape) -> HostArray:
        """Return values of a shape (R, 5, ...)."""
        n = int(np.prod(shape)) // 5
        corners = np.sort(random.uniform(0, 1, (n, 2, 2)), axis=1) * (np.array(self.size[::-1]) - 1)
        images = random.integers(0, self.n_images, (n, 1))
        rows = np.concatenate([images, corners.reshape(n, 4)], axis=1)
        return rows.astype(np.float32).reshape(shape)


@dataclass(frozen=True)
class ImageSize:
    """Rows and columns of the image, and 1 for its scale or scales."""

    size: tuple[float, float]

    def sample_values(self, random: np.random.Generator, shape: Shape) -> HostArray:
        """Return values of a shape (1, 3 or 4)."""
        values = np.ones(int(np.prod(shape)), np.float32)
        values[:2] = self.size
        return values.reshape(shape)
