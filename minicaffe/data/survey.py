"""Survey of labels, boxes and sizes of images: what would make a training fail later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypedDict

_MOST_EXAMPLES = 5


class SurveyCounts(TypedDict):
    """Contents of a survey for a file: numbers of images, and counters as pairs of key and count.

    JSON has neither tuples nor whole numbers as keys, so the keys are lists after reading.
    """

    labels: list[tuple[int, int]]
    shapes: list[tuple[tuple[int, ...], int]]
    boxes: list[tuple[int, int]]
    skipped: list[tuple[int, int]]
    n_with_boxes: int
    n_skipped: int


class DatasetSurvey:
    """Counts labels and shapes of the images of a database, and describes what is unusual.

    Parameters
    ----------
    name : str
        The database, as messages begin.

    Attributes
    ----------
    labels : Counter of int
        Images by label.
    shapes : Counter of tuple of int
        Images by shape (channels, rows, columns).
    boxes : Counter of int
        Boxes by label.
    skipped : Counter of int
        Images that could not be read, by label.
    n_with_boxes, n_skipped : int
        Number of images that have boxes instead of a label, and of images that could not be read.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.labels: Counter[int] = Counter()
        self.shapes: Counter[tuple[int, ...]] = Counter()
        self.boxes: Counter[int] = Counter()
        self.skipped: Counter[int] = Counter()
        self.n_with_boxes = self.n_skipped = 0

    def add(self, label: int, shape: tuple[int, ...]) -> None:
        """Count one image with a label."""
        self.labels[label] += 1
        self.shapes[shape] += 1

    def add_boxes(self, labels: Iterable[int], shape: tuple[int, ...]) -> None:
        """Count one image with the labels of its boxes."""
        self.boxes.update(labels)
        self.n_with_boxes += 1
        self.shapes[shape] += 1

    def skip(self, label: int | None) -> None:
        """Count one image that cannot be read; its label is None if it has boxes instead."""
        self.n_skipped += 1
        if label is not None:
            self.skipped[label] += 1

    def counts(self) -> SurveyCounts:
        """Return what has been counted."""
        return {
            "labels": list(self.labels.items()),
            "shapes": list(self.shapes.items()),
            "boxes": list(self.boxes.items()),
            "skipped": list(self.skipped.items()),
            "n_with_boxes": self.n_with_boxes,
            "n_skipped": self.n_skipped,
        }

    def add_counts(self, counts: SurveyCounts) -> None:
        """Add what another survey has counted."""
        self.labels.update(dict(counts["labels"]))
        self.shapes.update({tuple(shape): n for shape, n in counts["shapes"]})
        self.boxes.update(dict(counts["boxes"]))
        self.skipped.update(dict(counts["skipped"]))
        self.n_with_boxes += counts["n_with_boxes"]
        self.n_skipped += counts["n_skipped"]

    def remarks(self) -> Iterator[str]:
        """Yield a sentence about the labels and one about the sizes, where they are unusual.

        Layers that read boxes resize images, so that their sizes may differ.
        """
        yield from self.label_remarks()
        if len(self.shapes) > 1 and not self.n_with_boxes:
            yield f"{self._name}: {self._shape_remark()}"

    def label_remarks(self) -> Iterator[str]:
        """Yield a sentence about the labels, if they are unusual."""
        if self.labels and (labels := self._label_remark()):
            yield f"{self._name}: {labels}"

    def _label_remark(self) -> str:
        low, high = min(self.labels), max(self.labels)
        if low < 0:
            n = sum(count for label, count in self.labels.items() if label < 0)
            return (
                f"{n} images have a negative label (the least is {low}), which is not a class: "
                "labels begin with 0. Correct them, or set ignore_label in loss_param."
            )
        n_missing = high + 1 - len(self.labels)
        if not n_missing or len(self.labels) == 1:
            return ""  # one label for all images: a list without labels, for testing
        if low and n_missing == low:
            return (
                f"the labels are {low} to {high}, and no image has label 0: labels begin with 0. "
                f"Subtract {low} from each; otherwise num_output must be {high + 1}, and "
                f"{_classes(low)} will never occur."
            )
        missing = (label for label in range(high) if label not in self.labels)
        examples = ", ".join(map(str, islice(missing, _MOST_EXAMPLES)))
        more = ", ..." if n_missing > _MOST_EXAMPLES else ""
        return (
            f"the labels go up to {high}, but {n_missing} of 0 to {high} have no image ({examples}"
            f"{more}). Classes are numbered 0, 1, 2 and so on: renumber them, unless other images "
            f"have these labels; num_output must be at least {high + 1}."
        )

    def _shape_remark(self) -> str:
        common = self.shapes.most_common(_MOST_EXAMPLES)
        sizes = ", ".join(f"{count} of {' x '.join(map(str, shape))}" for shape, count in common)
        more = " and others" if len(self.shapes) > len(common) else ""
        return (
            f"the images have {len(self.shapes)} different shapes (channels x rows x columns): "
            f"{sizes}{more}. A batch has one: convert with --resize_height and --resize_width, or "
            "use crop_size, or batch_size: 1."
        )


def _classes(n: int) -> str:
    return "class 0" if n == 1 else f"classes 0 to {n - 1}"
