"""Test case of a layer, and generators of values for its bottoms.

Choose sizes that are all different and no multiples of 8 (a swapped axis or a vector's tail must
not go unnoticed), values without ties for what takes a maximum, and none near a kink.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Shape = tuple[int, ...]
Draw = Callable[[np.random.Generator, Shape], np.ndarray]


@dataclass(frozen=True)
class Values:
    """The values of a bottom or a parameter: a shape (None: as the layer made it) and a rule."""

    shape: Shape
    draw: Draw


def normal(*shape: int) -> Values:
    """Normal, mean 0, standard deviation 1."""
    return Values(shape, lambda rng, s: rng.standard_normal(s))


def positive(*shape: int) -> Values:
    """Uniform in [0.5, 2)."""
    return Values(shape, lambda rng, s: rng.uniform(0.5, 2, s))


def distinct(*shape: int) -> Values:
    """No two closer than 0.1, mean about 0: for everything that takes a maximum."""

    def draw(rng: np.random.Generator, s: Shape) -> np.ndarray:
        return (rng.permutation(math.prod(s)).reshape(s) - math.prod(s) / 2 + 0.25) / 10

    return Values(shape, draw)


def off_zero(*shape: int, kinks: tuple[float, ...] = (0.0,)) -> Values:
    """Normal, but at least 0.05 away from each kink."""

    def draw(rng: np.random.Generator, s: Shape) -> np.ndarray:
        x = rng.standard_normal(s)
        for kink in kinks:
            x += np.where(np.abs(x - kink) < 0.05, np.where(x > kink, 0.1, -0.1), 0)
        return x

    return Values(shape, draw)


def labels(*shape: int, below: int) -> Values:
    """Whole numbers from 0 to below - 1."""
    return Values(shape, lambda rng, s: rng.integers(0, below, s).astype(float))


def exactly(array) -> Values:
    """These values; a case with them lists its own `reshapes`."""
    values = np.asarray(array, float)
    return Values(values.shape, lambda rng, s: values.copy())


@dataclass(frozen=True)
class Case:
    """One layer under test.

    Parameters
    ----------
    name : str
        The property that it tests; random values depend on it.
    settings : str
        The prototxt inside the layer, without name, type, bottoms and tops.
    bottoms : dict of str to Values
        In order.
    tops : tuple of str
        In order.
    phase : str
        "TRAIN" or "TEST".
    gradients : tuple of str, optional
        The bottoms with a gradient; by default all but the type's `without_gradient`.
    tops_without_gradient : tuple of str
        Tops whose diff the layer does not read (masks, probabilities beside a loss).
    params : tuple of Values
        Values of the parameters, their shapes aside; by default all normal.
    params_without_gradient : tuple of int
        Parameters that the layer updates by itself.
    reshapes : tuple of dict, optional
        Shapes of bottoms to try after the first, by name; by default the first axis of all bottoms
        grows by 3, then shrinks by 1. Empty if the shapes cannot change.
    in_place : bool, optional
        Whether it may work in place; by default what the type claims.
    shares_diff : bool
        The bottom's diff is the top's from the start, so that propagate_down: false cannot keep it.
    is_stochastic : bool
        Draws random numbers: there is no oracle, see test_stochastic.py.
    tolerance_factor : float
        What float32 tolerances are multiplied with; say why beside it.
    derivative_factor : float
        What the tolerance of derivatives is multiplied with; say why beside it.
    """

    name: str
    settings: str
    bottoms: dict[str, Values]
    tops: tuple[str, ...] = ("y",)
    phase: str = "TRAIN"
    gradients: tuple[str, ...] | None = None
    tops_without_gradient: tuple[str, ...] = ()
    params: tuple[Values, ...] = ()
    params_without_gradient: tuple[int, ...] = ()
    reshapes: tuple[dict[str, Shape], ...] | None = None
    in_place: bool | None = None
    shares_diff: bool = False
    is_stochastic: bool = False
    tolerance_factor: float = 1.0
    derivative_factor: float = 1.0
    shapes: dict[str, Shape] = field(init=False)

    def __post_init__(self) -> None:
        shapes = {name: values.shape for name, values in self.bottoms.items()}
        object.__setattr__(self, "shapes", shapes)

    def other_shapes(self) -> list[dict[str, Shape]]:
        """Return the shapes of all bottoms after each reshape, the first shapes last."""
        changes = self.reshapes
        if changes is None:
            changes = tuple(
                {name: (s[0] + by, *s[1:]) for name, s in self.shapes.items() if s}
                for by in (3, -1)
            )
        return [*({**self.shapes, **change} for change in changes), self.shapes] if changes else []
