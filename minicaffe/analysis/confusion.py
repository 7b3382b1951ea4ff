"""Confusion matrix of a classifier: counts, most confident mistakes, tables and a text report."""

from __future__ import annotations

import csv
import heapq
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minicaffe.analysis.confusion_tables import CONFUSION, MISTAKES, PER_CLASS
from minicaffe.atomic_file import write_atomically
from minicaffe.blob import Blob
from minicaffe.errors import NetError
from minicaffe.layers import LAYERS, Layer, Scoring
from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.net import Net
from minicaffe.net.label_location import producer
from minicaffe.net.step import Step
from minicaffe.ops.backend import HostArray
from minicaffe.text_width import display_width, padded

Counts = npt.NDArray[np.int64]

_MOST_MISTAKES = 30  # with their images
MOST_LISTED = 10_000  # without
_MOST_COLUMNS = 20  # a matrix of more classes is too wide to be printed
_MOST_ROWS = 10  # classes of the lowest accuracy, and pairs most often confused, in the report


class Mistake(NamedTuple):
    """A misclassified sample; tuples sort by confidence.

    Attributes
    ----------
    confidence : float
        Probability of the predicted class, 0 to 1.
    number : int
        Minus the sample's number in the run, so that of equally confident mistakes the first one
        sorts last.
    label, predicted : int
        The true class and the class of the largest score.
    key : str
        Of the record in the database, or the file; empty if the data have neither.
    image : ndarray or None
        The net's input, float32, shape (channels, rows, columns); None if it is not an image.
    """

    confidence: float
    number: int
    label: int
    predicted: int
    key: str
    image: HostArray | None


class MostConfident:
    """The most confident ones of any number of mistakes; at most `limit`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._heap: list[Mistake] = []

    def add_mistake(self, mistake: Mistake) -> None:
        """Add a mistake if it is one of the most confident ones."""
        if len(self._heap) < self.limit:
            heapq.heappush(self._heap, mistake)
        elif mistake > self._heap[0]:
            heapq.heapreplace(self._heap, mistake)

    def ordered(self) -> list[Mistake]:
        """Return the mistakes, the most confident first."""
        return sorted(self._heap, reverse=True)


class Confusion:
    """Confusion matrix of a net, accumulated batch by batch.

    Parameters
    ----------
    net : Net
        It must have an Accuracy or SoftmaxWithLoss layer, whose bottoms are scores and labels.

    Attributes
    ----------
    counts : ndarray of int64, shape (classes, classes)
        Samples of the class of the row that were predicted as the class of the column.
    mistakes : MostConfident
        A few mistakes with their images.
    listed : MostConfident
        Up to `MOST_LISTED` mistakes without images.

    Raises
    ------
    NetError
        If the net has no such layer.
    """

    def __init__(self, net: Net) -> None:
        step, scoring = _scoring_step(net)
        self.axis, self.ignored = scoring.axis, scoring.ignored
        self.scores, self.labels = step.bottom[0], step.bottom[1]
        self.source = producer(self.labels, net.steps)
        n = self.scores.shape[self.axis]
        self.counts: Counts = np.zeros((n, n), np.int64)
        self.mistakes = MostConfident(_MOST_MISTAKES)
        self.listed = MostConfident(MOST_LISTED)
        self.seen = 0
        self._mistaken: set[str] = set()

    @property
    def blobs(self) -> list[Blob]:
        """The blobs that are read after every forward pass."""
        return [self.scores, self.labels, *(self.source.top[:1] if self.source else ())]

    def add_batch(self) -> None:
        """Count the batch of the net's last forward pass."""
        scores = np.moveaxis(self.scores.data.get(), self.axis, -1)
        scores = scores.reshape(-1, scores.shape[-1])
        labels = self.labels.data.get().ravel().astype(np.int64)
        predicted = scores.argmax(axis=1)
        counted = np.ones(len(labels), bool) if self.ignored is None else labels != self.ignored
        np.add.at(self.counts, (labels[counted], predicted[counted]), 1)
        wrong = np.flatnonzero(counted & (labels != predicted))
        if len(wrong):
            images, keys = self._images(len(labels)), self._keys(len(labels))
            confidences = _probabilities(scores[wrong]).max(axis=1)
            for k, confidence in zip(wrong.tolist(), confidences.tolist(), strict=True):
                image = None if images is None else images[k]
                if self._is_repeated(keys[k], is_record=scores.shape[0] == self.labels.shape[0]):
                    continue
                classes = int(labels[k]), int(predicted[k])
                mistake = Mistake(confidence, -self.seen - k, *classes, keys[k], image)
                self.mistakes.add_mistake(mistake)
                self.listed.add_mistake(mistake._replace(image=None))
        self.seen += len(labels)

    def _images(self, n: int) -> HostArray | None:
        """Return the net's batch of `n` images, None if its data are not images."""
        blob = self.source.top[0] if self.source is not None else None
        if blob is None or len(blob.shape) != 4 or blob.shape[:1] != (n,):
            return None
        return blob.data.get() if blob.shape[1] in (1, 3) else None

    def _is_repeated(self, key: str, is_record: bool) -> bool:
        """Return whether a record was mistaken in an earlier epoch of the data; remember it."""
        if not key or not is_record:
            return False
        is_known = key in self._mistaken
        self._mistaken.add(key)
        return is_known

    def _keys(self, n: int) -> list[str]:
        """Return the keys of the batch's `n` samples: several have that of one record."""
        layer = self.source.layer if self.source is not None else None
        keys = layer.sample_keys() if isinstance(layer, BatchLayer) else ()
        if not keys or n % len(keys):
            return [""] * n
        return [key for key in keys for _ in range(n // len(keys))]


def _scoring_step(net: Net) -> tuple[Step, Scoring]:
    """Return the step that compares scores with labels: the Accuracy with the smallest top_k."""
    found = [(step, scoring) for step in net.steps if (scoring := step.layer.scoring())]
    if not found:
        *types, last = [name for name, cls in LAYERS.items() if cls.scoring is not Layer.scoring]
        raise NetError(
            f"{net.source.path}: the net has no layer of type {', '.join(types)} or {last} in the "
            "TEST phase; a confusion matrix needs its scores and labels"
        )
    # The last of several equal ones, because auxiliary classifiers come before the main one.
    return min(reversed(found), key=lambda pair: pair[1].rank)


def _probabilities(scores: HostArray) -> HostArray:
    """Return the softmax of scores, or the scores themselves if each row sums to 1 already."""
    if (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        return scores
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def write_confusion_tables(confusion: Confusion, names: Sequence[str], folder: Path) -> None:
    """Write three tables to a folder.

    confusion.csv is the matrix, per_class.csv has the accuracy of each class, and mistakes.csv the
    misclassified samples, the most confident first.
    """
    counts = confusion.counts
    _write_csv(folder / CONFUSION, [["", *names], *_matrix_rows(counts, names)])
    head = ["class", "name", "samples", "correct", "accuracy", "most often taken for", "times"]
    _write_csv(folder / PER_CLASS, [head, *_class_rows(counts, names)])
    head = ["key", "true class", "predicted class", "score"]
    mistakes = [
        [m.key, names[m.label], names[m.predicted], f"{m.confidence:.6f}"]
        for m in confusion.listed.ordered()
    ]
    _write_csv(folder / MISTAKES, [head, *mistakes])


def _write_csv(path: Path, rows: Sequence[Sequence[object]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    with write_atomically(path) as file:
        file.write(text.getvalue().encode())


def _matrix_rows(counts: Counts, names: Sequence[str]) -> list[list[object]]:
    return [[name, *row] for name, row in zip(names, counts.tolist(), strict=True)]


def _class_rows(counts: Counts, names: Sequence[str]) -> list[list[object]]:
    rows: list[list[object]] = []
    for k, row in enumerate(counts):
        others = row.copy()
        others[k] = 0
        worst = int(others.argmax())
        taken = [names[worst], int(others[worst])] if others[worst] else ["", 0]
        samples = int(row.sum())
        accuracy = f"{row[k] / samples:.4f}" if samples else ""
        rows.append([k, names[k], samples, int(row[k]), accuracy, *taken])
    return rows


def confusion_report(counts: Counts, names: Sequence[str]) -> list[str]:
    """Return lines of text: accuracy, the matrix (of few classes), worst classes and pairs."""
    samples, correct = int(counts.sum()), int(np.trace(counts))
    lines = [f"{correct} of {samples} right ({correct / max(samples, 1):.4f})"]
    rows = _class_rows(counts, names)
    if len(names) <= _MOST_COLUMNS:
        lines += ["", *_printed_matrix(counts, names)]
    worst = sorted((row for row in rows if row[2]), key=lambda row: (row[4], -int(str(row[2]))))
    lines += ["", "lowest accuracy:"]
    lines += [
        f"  {row[4]}  {row[1]} ({row[3]} of {row[2]})"
        + (f", most often taken for {row[5]} ({row[6]})" if row[5] else "")
        for row in worst[:_MOST_ROWS]
    ]
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_ROWS]
    pairs = [divmod(int(k), len(names)) for k in order if wrong.flat[k]]
    if pairs:
        lines += ["", "most frequent confusions:"]
        lines += [f"  {wrong[i, j]:5}  {names[i]}, taken for {names[j]}" for i, j in pairs]
    return lines


def _printed_matrix(counts: Counts, names: Sequence[str]) -> list[str]:
    width = max(map(display_width, names))
    cell = max(len(str(counts.max())), len(str(len(names) - 1)), 3) + 1
    head = " " * (width + 5) + "".join(f"{k:>{cell}}" for k in range(len(names)))
    return ["rows: what they are; columns: what they were taken for", head] + [
        f"{k:>3}  {padded(names[k], width)}" + "".join(f"{n:>{cell}}" for n in row)
        for k, row in enumerate(counts.tolist())
    ]
