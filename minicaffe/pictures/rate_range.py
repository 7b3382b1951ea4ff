"""Chart of a learning-rate range test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minicaffe.pictures.figure import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from minicaffe.analysis.rate_range import RateRange

_LINE, _STEEPEST, _DIVERGED = "#1f77b4", "#2ca02c", "#d62728"


def draw_rate_range(found: RateRange) -> Figure:
    """Draw the losses over the rates, with the suggested rate and the end.

    Parameters
    ----------
    found : RateRange
        Of at least one iteration.
    """
    figure = new_figure(9, 4.5)
    axis = figure.subplots()
    smoothed = found.smoothed
    axis.plot(found.rates, found.losses, color=_LINE, linewidth=0.8, alpha=0.3)
    axis.plot(found.rates, smoothed, color=_LINE, linewidth=2, label="loss")
    axis.set_xscale("log")
    if (steepest := found.steepest) is not None:
        at = float(np.interp(np.log(steepest), np.log(found.rates), smoothed))
        axis.plot([steepest], [at], "o", color=_STEEPEST, label=f"falls fastest: {steepest:.3g}")
    axis.plot(
        [found.smallest],
        [smoothed.min()],
        "s",
        color=_LINE,
        label=f"smallest: {found.smallest:.3g}",
    )
    if found.diverged_at is not None:
        label = f"diverges: {found.diverged_at:.3g}"
        axis.axvline(found.diverged_at, color=_DIVERGED, linestyle=":", label=label)
    # The last losses before the end would otherwise flatten all that matters.
    low, high = float(smoothed.min()), float(smoothed[: np.argmin(smoothed) + 1].max())
    margin = 0.08 * ((high - low) or abs(high) or 1.0)
    axis.set_ylim(low - margin, high + 3 * margin)
    axis.set_xlabel("learning rate")
    axis.set_ylabel("loss")
    axis.grid(True, color="#e4e4e4", linewidth=0.8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(fontsize=9, loc="lower left")
    return figure
