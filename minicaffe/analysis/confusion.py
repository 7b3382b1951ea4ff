"""What test --confusion collects and writes: who is taken for whom, how often, and how surely."""

from __future__ import annotations

import csv
import heapq
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minicaffe.atomic_file import write_atomically
from minicaffe.blob import Blob
from minicaffe.errors import DataError, NetError
from minicaffe.layers import LAYERS, Layer, Scoring
from minicaffe.log import logger
from minicaffe.net import Net
from minicaffe.net.label_location import producer
from minicaffe.net.step import Step
from minicaffe.ops.backend import HostArray
from minicaffe.pictures import figure
from minicaffe.pictures.confusion import draw_confusion
from minicaffe.pictures.grid import contact_sheet, to_pixels

Counts = npt.NDArray[np.int64]

_MOST_MISTAKES = 30  # on the contact sheet
_MOST_COLUMNS = 20  # classes up to which the matrix is printed
_MOST_ROWS = 10  # of the worst classes, and of the most frequent confusions


class Mistake(NamedTuple):
    """A sample that the net got wrong; the surest mistakes sort last.

    `number` is minus that of the sample in the run: of equally sure ones the first comes first.
    """

    confidence: float
    number: int
    label: int
    answer: int
    picture: HostArray | None


class Confusion:
    """Counts what a net says for every class.

    Parameters
    ----------
    net : Net
        A net that scores itself: with an Accuracy or SoftmaxWithLoss layer.

    Attributes
    ----------
    counts : ndarray of int64, shape (classes, classes)
        How often a sample of the class of the row was taken for the class of the column.
    mistakes : list of Mistake
        The surest ones, a heap.
    """

    def __init__(self, net: Net) -> None:
        step, scoring = _scoring_step(net)
        self.axis, self.ignored = scoring.axis, scoring.ignored
        self.scores, self.labels = step.bottom[0], step.bottom[1]
        self.source = producer(self.labels, net.steps)
        n = self.scores.shape[self.axis]
        self.counts: Counts = np.zeros((n, n), np.int64)
        self.mistakes: list[Mistake] = []
        self.seen = 0

    @property
    def blobs(self) -> list[Blob]:
        """What is read after every pass."""
        return [self.scores, self.labels, *(self.source.top[:1] if self.source else ())]

    def take(self) -> None:
        """Count the batch that the net has just run."""
        scores = np.moveaxis(self.scores.data.get(), self.axis, -1)
        scores = scores.reshape(-1, scores.shape[-1])
        labels = self.labels.data.get().ravel().astype(np.int64)
        answers = scores.argmax(axis=1)
        kept = np.ones(len(labels), bool) if self.ignored is None else labels != self.ignored
        np.add.at(self.counts, (labels[kept], answers[kept]), 1)
        wrong = np.flatnonzero(kept & (labels != answers))
        if len(wrong):
            pictures = self._pictures(len(labels))
            confidences = _probabilities(scores[wrong]).max(axis=1)
            for k, confidence in zip(wrong.tolist(), confidences.tolist(), strict=True):
                picture = None if pictures is None else pictures[k]
                number = -self.seen - k
                self._note(Mistake(confidence, number, int(labels[k]), int(answers[k]), picture))
        self.seen += len(labels)

    def _pictures(self, n: int) -> HostArray | None:
        """Return the batch that the labels belong to, if it is one of pictures."""
        blob = self.source.top[0] if self.source is not None else None
        if blob is None or len(blob.shape) != 4 or blob.shape[:1] != (n,):
            return None
        return blob.data.get() if blob.shape[1] in (1, 3) else None

    def _note(self, mistake: Mistake) -> None:
        if len(self.mistakes) < _MOST_MISTAKES:
            heapq.heappush(self.mistakes, mistake)
        elif mistake > self.mistakes[0]:
            heapq.heapreplace(self.mistakes, mistake)


def _scoring_step(net: Net) -> tuple[Step, Scoring]:
    """Return the step that compares scores with labels: the Accuracy with the smallest top_k."""
    found = [(step, scoring) for step in net.steps if (scoring := step.layer.scoring())]
    if not found:
        types = [name for name, cls in LAYERS.items() if cls.scoring is not Layer.scoring]
        raise NetError(
            f"{net.source.path}: --confusion needs scores and labels; the net has no layer of type "
            f"{' or '.join(types)} in the TEST phase"
        )
    # Of equal ranks the last: nets with auxiliary classifiers have the main one at the end.
    return min(reversed(found), key=lambda pair: pair[1].rank)


def _probabilities(scores: HostArray) -> HostArray:
    """Return scores as probabilities: as they are if they are some already, else their softmax."""
    if (scores >= 0).all() and np.allclose(scores.sum(axis=1), 1, atol=1e-3):
        return scores
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def write(confusion: Confusion, folder: str, names: Sequence[str]) -> None:
    """Write tables and pictures to a folder, and print the tables as far as they can be read."""
    out = Path(folder)
    counts = confusion.counts
    _write_csv(out / "confusion.csv", [["", *names], *_matrix_rows(counts, names)])
    head = ["class", "name", "samples", "correct", "accuracy", "most often taken for", "times"]
    _write_csv(out / "per_class.csv", [head, *_class_rows(counts, names)])
    figure.save(draw_confusion(counts, names), out / "confusion.png")
    if any(mistake.picture is not None for mistake in confusion.mistakes):
        with write_atomically(out / "mistakes.png") as file:
            _mistakes_picture(confusion.mistakes, names).save(file, "PNG", optimize=True)
    for line in report(counts, names):
        print(line)
    logger.info("Wrote confusion.csv, per_class.csv and pictures to %s", folder)


def check_folder(folder: str) -> None:
    """Make the folder before a long test, not after it."""
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made: {error.strerror}.") from error


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


def report(counts: Counts, names: Sequence[str]) -> list[str]:
    """Return the result in lines: the whole matrix for few classes, the worst ones for many."""
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
    width = max(map(len, names))
    cell = max(len(str(counts.max())), len(str(len(names) - 1)), 3) + 1
    head = " " * (width + 5) + "".join(f"{k:>{cell}}" for k in range(len(names)))
    return ["rows: what they are; columns: what they were taken for", head] + [
        f"{k:>3}  {names[k]:<{width}}" + "".join(f"{n:>{cell}}" for n in row)
        for k, row in enumerate(counts.tolist())
    ]


def _mistakes_picture(mistakes: Sequence[Mistake], names: Sequence[str]) -> Any:
    shown = [m for m in sorted(mistakes, reverse=True) if m.picture is not None]
    pictures = [_displayable(np.asarray(m.picture)) for m in shown]
    captions = [
        (f"is {names[m.label]}", f"taken for {names[m.answer]}", f"{100 * m.confidence:.1f} %")
        for m in shown
    ]
    return contact_sheet(pictures, captions, f"The {len(shown)} surest mistakes")


def _displayable(picture: HostArray) -> HostArray:
    """Return a net's input as grey or colours: what was subtracted and scaled is stretched back."""
    pixels = to_pixels(picture, float(picture.min()), float(picture.max()))
    return pixels if len(pixels) == 3 else pixels[0]
