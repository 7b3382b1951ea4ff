"""Table of the classes of a set of images, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from minicaffe.data.class_names import ClassNames
from minicaffe.data.survey import DatasetSurvey
from minicaffe.text_width import display_width, padded

_MOST_ROWS = 20


def class_lines(survey: DatasetSurvey, names: ClassNames) -> Iterator[str]:
    """Yield the number of classes and a line for each: of boxes, of labels or of both."""
    if survey.boxes:
        yield f"{'classes':<10} {len(survey.boxes)}"
        yield from _table(survey.boxes, names, "boxes", Counter())
    if survey.labels or survey.skipped:
        yield f"{'classes':<10} {len(survey.labels)}"
        yield from _table(survey.labels, names, "images", survey.skipped)


def _table(
    counts: Counter[int], names: ClassNames, what: str, skipped: Counter[int]
) -> Iterator[str]:
    """Yield a head and a line for each label; of many labels the most and the least frequent."""
    labels = {*counts, *skipped}
    if len(labels) <= _MOST_ROWS:
        groups = [sorted(labels)]
    else:
        by_count = sorted(labels, key=lambda label: (-counts[label], label))
        groups = [by_count[: _MOST_ROWS // 2], by_count[-_MOST_ROWS // 2 :]]
    shown = [label for group in groups for label in group]
    has_names = any(names[label] != str(label) for label in shown)
    width = max([4, *(display_width(names[label]) for label in shown)])
    name_column = padded("name", width) + "  " if has_names else ""
    skipped_column = f"{'skipped':>10}" if skipped else ""
    yield f"  {'label':>10}  {name_column}{what:>10}   share{skipped_column}"
    for number, group in enumerate(groups):
        if number:
            yield f"  {'...':>10}  ({len(labels) - len(shown)} classes between these)"
        for label in group:
            name = padded(names[label], width) + "  " if has_names else ""
            share = 100 * counts[label] / max(counts.total(), 1)
            rest = f"{skipped[label]:>8}" if skipped else ""
            yield f"  {label:>10}  {name}{counts[label]:>10}  {share:5.1f} %{rest}"
