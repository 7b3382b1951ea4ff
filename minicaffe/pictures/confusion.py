"""Drawings of a confusion matrix: the matrix as a figure, misclassified images as a sheet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from minicaffe.analysis.confusion import Counts, Mistake
from minicaffe.pictures.figure import new_figure
from minicaffe.pictures.grid import Pixels, contact_sheet, to_pixels
from minicaffe.text_width import display_width

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL import Image

Shares = npt.NDArray[np.float64]

_MOST_LABELLED = 40  # with more classes, their names do not fit beside the matrix
_MOST_COUNTED = 25  # with more classes, counts do not fit into the cells
_MOST_CELLS = 300  # along a side; more cannot be distinguished on a screen
_LONGEST_NAME = 24
_BINS = 20
_COLUMN_WIDTH = 0.6  # of a character of the figure's font, relative to the size of the font
_POINTS_PER_INCH = 72


def draw_confusion(counts: Counts, names: Sequence[str]) -> Figure:
    """Draw a confusion matrix and the accuracy of the classes.

    The colour of a cell shows the share of the row's class that was predicted as the column's.
    With few classes, each cell shows its count and each class has a bar of its accuracy; with many
    classes, a histogram shows the accuracies.

    Parameters
    ----------
    counts : ndarray, shape (classes, classes)
        Samples of the class of the row that were predicted as the class of the column.
    names : sequence of str
        Of the classes.
    """
    n = len(names)
    samples = counts.sum(axis=1)
    shares = counts / np.maximum(samples, 1)[:, None]
    accuracy = np.where(samples > 0, shares.diagonal(), np.nan)
    side = min(max(0.45 * n, 4.0), 9.0)
    beside = _room_for_names(names) if n <= _MOST_LABELLED else 0.0
    figure = new_figure(side + 4.5 + beside, side + 1.0 + beside)
    matrix, classes = figure.subplots(1, 2, width_ratios=(side, 2.5))
    _draw_matrix(figure, matrix, shares, names)
    if n <= _MOST_COUNTED:
        _write_counts(matrix, counts, shares)
    if n <= _MOST_LABELLED:
        _draw_bars(classes, accuracy, n)
    else:
        _draw_histogram(classes, accuracy)
    correct = np.trace(counts) / max(counts.sum(), 1)
    figure.suptitle(f"{correct:.2%} of {counts.sum():,} samples right")
    return figure


def _draw_matrix(figure: Figure, axis: Axes, shares: Shares, names: Sequence[str]) -> None:
    from matplotlib.colors import PowerNorm
    from matplotlib.ticker import PercentFormatter

    # A power scale, because shares of a few per cent would be invisible on a linear one.
    n = len(names)
    many = n > _MOST_LABELLED
    norm = PowerNorm(0.35 if many else 0.6, 0, 1)
    cells, block = pool_matrix(shares)
    edges = (-0.5, len(cells) * block - 0.5, len(cells) * block - 0.5, -0.5)
    image = axis.imshow(cells, cmap="Blues", norm=norm, interpolation="nearest", extent=edges)
    axis.set_xlim(-0.5, n - 0.5)
    axis.set_ylim(n - 0.5, -0.5)
    axis.set_xlabel("taken for")
    axis.set_ylabel("class")
    if block > 1:
        axis.set_title(f"a dot is the largest of {block} x {block} classes", fontsize=9)
    if many:
        # A formatter, because matplotlib 3.8 misreads format strings that contain "%".
        percent = PercentFormatter(1, decimals=0)
        figure.colorbar(image, ax=axis, shrink=0.6, label="share of the class", format=percent)
        return
    short = [_cut(name) for name in names]
    size = _name_pt(len(names))
    axis.set_xticks(range(len(names)), short, rotation=90, fontsize=size)
    axis.set_yticks(range(len(names)), short, fontsize=size)


def _cut(name: str) -> str:
    """Cut a long name in the middle, because long names often differ at their ends only."""
    kept = len(name)
    short = name
    while display_width(short) > _LONGEST_NAME:
        kept -= 1
        short = f"{name[: kept - kept // 2]}...{name[len(name) - kept // 2 :]}"
    return short


def _name_pt(n: int) -> int:
    """Return the size of the font of names, points."""
    return 9 if n <= _MOST_COUNTED else 7


def _room_for_names(names: Sequence[str]) -> float:
    """Return what the names of classes take beside the matrix and below it, inches."""
    longest = max(display_width(_cut(name)) for name in names)
    return max(0.0, longest * _COLUMN_WIDTH * _name_pt(len(names)) / _POINTS_PER_INCH - 0.5)


def pool_matrix(shares: Shares) -> tuple[Shares, int]:
    """Max-pool a matrix to at most 300 x 300 cells; return it and the side of a block.

    Without pooling, single cells vanish if there are more of them than pixels.
    """
    n = len(shares)
    block = -(-n // _MOST_CELLS)
    room = -n % block
    padded = np.pad(shares, ((0, room), (0, room)))
    side = len(padded) // block
    return padded.reshape(side, block, side, block).max(axis=(1, 3)), block


def _write_counts(axis: Axes, counts: Counts, shares: Shares) -> None:
    size = 9 if len(counts) <= 12 else 6
    for (i, j), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[i, j] > 0.45 else "black"
            axis.text(j, i, str(count), ha="center", va="center", color=colour, fontsize=size)


def _draw_bars(axis: Axes, accuracy: Shares, n: int) -> None:
    """Draw the accuracy of each class as a bar beside its row of the matrix."""
    axis.barh(range(n), np.nan_to_num(accuracy), color="#6baed6", height=0.75)
    for k, value in enumerate(accuracy):
        text = "no samples" if np.isnan(value) else f"{value:.1%}"
        axis.text(0.02, k, text, va="center", fontsize=8 if n <= _MOST_COUNTED else 6)
    axis.set_ylim(n - 0.5, -0.5)
    axis.set_xlim(0, 1)
    axis.set_yticks([])
    axis.set_xticks([0, 0.5, 1], ["0", "50%", "100%"])
    axis.set_xlabel("accuracy of the class")
    axis.spines[["top", "right"]].set_visible(False)


def _draw_histogram(axis: Axes, accuracy: Shares) -> None:
    axis.hist(accuracy[np.isfinite(accuracy)], bins=_BINS, range=(0, 1), color="#6baed6")
    axis.set_xlim(0, 1)
    axis.set_xticks([0, 0.5, 1], ["0", "50%", "100%"])
    axis.set_xlabel("accuracy of a class")
    axis.set_ylabel("number of classes")
    axis.spines[["top", "right"]].set_visible(False)


def draw_mistakes(mistakes: Sequence[Mistake], names: Sequence[str]) -> Image.Image | None:
    """Draw the images of mistakes with their keys, in order; None if none has an image."""
    shown = [(m, m.image) for m in mistakes if m.image is not None]
    captions = [_caption(m, names) for m, _ in shown]
    if not shown:
        return None
    pixels = [_to_pixels(image) for _, image in shown]
    return contact_sheet(pixels, captions, f"The {len(shown)} most confident mistakes")


def _caption(mistake: Mistake, names: Sequence[str]) -> list[str]:
    classes = [f"is {names[mistake.label]}", f"taken for {names[mistake.predicted]}"]
    lines = [*classes, f"{100 * mistake.confidence:.1f} %"]
    return [*lines, mistake.key] if mistake.key else lines


def _to_pixels(image: npt.NDArray[np.float32]) -> Pixels:
    """Return a net's input in grey or colours, stretched to the whole range from black to white.

    Mean and scale of the input are not known here; stretching compensates for both.
    """
    pixels = to_pixels(image, float(image.min()), float(image.max()))
    return pixels if len(pixels) == 3 else pixels[0]
