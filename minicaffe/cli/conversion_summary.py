"""Summary at the end of a conversion, on terminals only; warnings about labels and sizes."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from minicaffe.cli.class_table import class_lines
from minicaffe.cli.streams import has_terminal
from minicaffe.data.class_names import ClassNames
from minicaffe.data.survey import DatasetSurvey
from minicaffe.log import logger

_MOST_SHAPES = 5


def end_conversion(survey: DatasetSurvey, path: str) -> None:
    """Print the summary of a new database, and warn of unusual labels and sizes."""
    print_summary(survey, path)
    for remark in survey.remarks():
        logger.warning(remark)


def print_summary(survey: DatasetSurvey, path: str) -> None:
    """Print the classes and sizes of the images of a new database if stderr is a terminal.

    The summary is no part of Caffe's log, which programs read from a pipe.
    """
    if has_terminal():
        for line in _summary_lines(survey, path):
            print(line, file=sys.stderr)


def _summary_lines(survey: DatasetSurvey, path: str) -> Iterator[str]:
    skipped = f", {survey.n_skipped} skipped" if survey.n_skipped else ""
    yield f"{path}: {survey.shapes.total()} images{skipped}"
    yield f"{'shapes':<10} {shapes_text(survey)}"
    yield from class_lines(survey, ClassNames())


def shapes_text(survey: DatasetSurvey) -> str:
    """Return the shapes of images: each with its number of images, or the range of many."""
    shapes = survey.shapes
    if len(shapes) <= _MOST_SHAPES:
        texts = [f"{n} of {' x '.join(map(str, shape))}" for shape, n in shapes.most_common()]
        return f"{', '.join(texts) or 'none'} (channels x rows x columns)"
    channels, rows, columns = (_range(sizes) for sizes in zip(*shapes, strict=True))
    return f"{len(shapes)} different: {channels} channels, {rows} rows, {columns} columns"


def _range(numbers: tuple[int, ...]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"
