r"""Predict the classes of images, prepared as the images of the net's training were.

WEIGHTS is a file, or a run: its best weights, else its last ones. Size, mean, scale and order of
channels come from the data layer of the training net: --net, that of the run, or the prototxt
beside WEIGHTS whose layers fit. The names of the classes come from labels.txt beside one of them,
or from --labels. IMAGE is an image, a folder, or a list (.txt): one path a line, maybe
with a label, relative to the list or to --root. Only the predictions go to standard output.

Exit code: 0, or 1 if an image could not be read; the others are predicted.

Example:
  minicaffe predict runs/pets-1 photos/ --top 1
  minicaffe predict lenet_iter_10000.caffemodel digits/ --net lenet_train_test.prototxt \
      --format csv --sheet digits.png
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TextIO

from minicaffe.cli.flags import flag, positional
from minicaffe.cli.item_progress import with_progress
from minicaffe.cli.options.backend import BackendFlags, choose_backend
from minicaffe.cli.options.files import WEIGHTS_ARGUMENT
from minicaffe.cli.options.net_state import NetStateFlags
from minicaffe.errors import DataError, UsageError
from minicaffe.log import logger
from minicaffe.path_hints import missing_file_hint

if TYPE_CHECKING:
    from minicaffe.prediction import ClassModel, ClassScores

MINLOGLEVEL = 1
_TOP = 3
_MOST_TILES = 300


class PredictFlags(NetStateFlags, BackendFlags):
    """Flags of the command."""

    weights: str = WEIGHTS_ARGUMENT
    images: list[str] = positional(
        metavar="IMAGE", nargs="+", help="images, folders of images, lists"
    )
    net: str = flag(metavar="TRAIN_VAL", help="training net (default: the one beside WEIGHTS)")
    labels: str = flag(metavar="FILE", help="class names, one per line")
    top: int | None = flag(
        at_least=1, metavar="K", help="number of classes for each image (default: 3)"
    )
    format: str = flag(choices=("text", "csv", "json"), default="text", help="form of the output")
    sheet: str = flag(metavar="FILE.png", help="also draw the images with their classes")
    root: str = flag(metavar="FOLDER", help="folder that paths in lists are relative to")
    size: str = flag(
        metavar="ROWS,COLUMNS", help="size to resize images to, instead of that in the data"
    )
    output: str = flag(metavar="BLOB", help="output with the scores (default: prob)")


class PredictedClass(NamedTuple):
    """A class with its score."""

    label: int
    name: str
    score: float


class Answer(NamedTuple):
    """An image with its best classes, the best one first."""

    path: str
    best: list[PredictedClass]


def run(flags: PredictFlags) -> int:
    """Predict."""
    from minicaffe.data.image import image_format
    from minicaffe.data.preparation import find_images
    from minicaffe.prediction import ModelFiles, answers_for_files, open_image_model, source_of
    from minicaffe.project.image_lists import expand_lists, is_list
    from minicaffe.schema import NetState

    if flags.sheet:
        image_format(Path(flags.sheet).suffix[1:])
    if flags.root and not any(map(is_list, flags.images)):
        logger.warning(f"--root={flags.root} has no effect: no list (.txt) is given")
    paths = find_images(expand_lists(flags.images, flags.root))
    size = _size(flags.size) if flags.size else None
    state = NetState()
    flags.apply_to(state)
    files = ModelFiles(flags.weights, flags.net, flags.labels, size, flags.output)
    source = source_of(files)
    backend = choose_backend(flags, model=source.path)
    found: list[Answer] = []
    with closing(open_image_model(replace(files, net=source), backend, "classify", state)) as model:
        if (flags.top or 0) > len(model.labels):
            logger.warning(
                f"--top={flags.top}: the net has {len(model.labels)} classes; all are given"
            )
        predictions = with_progress(answers_for_files(model, paths), "images", len(paths))
        hints = {path: missing_file_hint(path) for path in flags.images}
        answers = _answers(model, predictions, flags.top or _TOP, hints)
        _WRITERS[flags.format](_collected(answers, found), sys.stdout)
    if len(found) < len(paths):
        logger.error(f"{len(paths) - len(found)} of {len(paths)} images could not be read")
    if flags.sheet and found:
        _draw(found, flags.sheet)
    return 1 if len(found) < len(paths) else 0


def _answers(
    model: ClassModel,
    predictions: Iterable[tuple[str, ClassScores | DataError]],
    top: int,
    hints: Mapping[str, str],
) -> Iterator[Answer]:
    """Yield the best classes of each image; log an error for those that could not be read."""
    for path, answer in predictions:
        if isinstance(answer, DataError):
            logger.error(str(answer) + hints.get(path, ""))
            continue
        best = answer.best_classes(top)
        yield Answer(path, [PredictedClass(k, model.labels[k], score) for k, score in best])


def _collected(answers: Iterable[Answer], found: list[Answer]) -> Iterator[Answer]:
    """Yield answers, after appending each to a list."""
    for answer in answers:
        found.append(answer)
        yield answer


def _size(text: str) -> tuple[int, int]:
    parts = text.replace("x", ",").split(",")
    if len(parts) > 2 or not all(part.isdecimal() and int(part) for part in parts):
        raise UsageError(f"--size={text}: must be rows and columns, as 64,64, or one number")
    return int(parts[0]), int(parts[-1])


def _write_text(answers: Iterable[Answer], file: TextIO) -> None:
    for path, best in answers:
        print(f"{path}: {', '.join(_caption(one) for one in best)}", file=file)


def _write_csv(answers: Iterable[Answer], file: TextIO) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("image", "rank", "label", "class", "score"))
    for path, best in answers:
        for rank, one in enumerate(best, start=1):
            writer.writerow((path, rank, one.label, one.name, f"{one.score:.6g}"))


def _write_json(answers: Iterable[Answer], file: TextIO) -> None:
    before = "[\n"
    for path, best in answers:
        classes = [
            {"label": one.label, "class": one.name, "score": float(f"{one.score:.6g}")}
            for one in best
        ]
        line = json.dumps({"image": path, "predictions": classes}, ensure_ascii=False)
        print(before + line, end="", file=file)
        before = ",\n"
    print("[]" if before == "[\n" else "\n]", file=file)


_WRITERS = {"text": _write_text, "csv": _write_csv, "json": _write_json}


def _caption(one: PredictedClass) -> str:
    return f"{one.name} {one.score:.4f}"


def _draw(found: Sequence[Answer], path: str) -> None:
    from minicaffe.atomic_file import write_atomically
    from minicaffe.data.image import image_format, read_image
    from minicaffe.pictures.grid import contact_sheet

    kind = image_format(Path(path).suffix[1:])
    if len(found) > _MOST_TILES:
        logger.warning(f"{path}: has the first {_MOST_TILES} of {len(found)} images")
        found = found[:_MOST_TILES]
    images = [read_image(image) for image, _ in found]
    captions = [[Path(image).name, *map(_caption, best)] for image, best in found]
    with write_atomically(path) as file:
        contact_sheet(images, captions, f"{len(found)} images").save(file, kind)
