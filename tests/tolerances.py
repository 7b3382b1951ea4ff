"""The table of tolerances of all numerical tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Tolerance:
    """|got - want| <= absolute * max|want| + relative * |want|, elementwise."""

    absolute: float
    relative: float


# Against a loop oracle in float64, and between two runs of the same backend, by precision.
BY_DTYPE = {
    "float64": Tolerance(absolute=1e-10, relative=1e-9),
    "float32": Tolerance(absolute=1e-5, relative=1e-4),
}
# Products of bfloat16: three roundings of at most 1/512 each, of terms that may cancel.
BFLOAT16 = Tolerance(absolute=8e-3, relative=8e-3)
# Against what the reference implementation computed in float32.
GOLDEN = Tolerance(absolute=1e-5, relative=1e-4)
# The same after the roundings of a whole net.
GOLDEN_MODEL = Tolerance(absolute=1e-3, relative=1e-3)
# A central difference of step 1e-6 in float64 is good to about 1e-9; smooth curvature adds to it.
DERIVATIVE = Tolerance(absolute=0.0, relative=2e-6)


def assert_close(got, want, tolerance: Tolerance, what: str) -> None:
    """Fail, and name the element furthest off, unless `got` is `want` within `tolerance`."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    if not want.size:
        return
    assert np.isfinite(got).all(), f"{what}: not finite"
    scale = float(np.abs(want).max()) or 1.0
    allowed = tolerance.absolute * scale + tolerance.relative * np.abs(want)
    excess = np.abs(got - want) - allowed
    if (excess > 0).any():
        at = tuple(int(i) for i in np.unravel_index(int(np.argmax(excess)), want.shape))
        raise AssertionError(f"{what}{list(at)}: {got[at]:.9g}, expected {want[at]:.9g}")
