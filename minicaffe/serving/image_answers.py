"""Answers for images as JSON: the best classes, objects, or a mask."""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from minicaffe.errors import DataError
from minicaffe.pictures.palette import label_png
from minicaffe.prediction import ClassScores, FoundObjects, ImageAnswer, PixelClasses, class_name
from minicaffe.serving.errors import RequestRefused

TOP = 5
_LEAST_SCORE = 0.5
_DATA_URL = re.compile(r"data:[\w/+.-]*;base64,")


@dataclass(frozen=True)
class AnswerOptions:
    """What a request asks for.

    Parameters
    ----------
    top : int
        Number of classes.
    min_score : float
        Smallest score of objects.
    """

    top: int = TOP
    min_score: float = _LEAST_SCORE


@dataclass(frozen=True)
class NamedImage:
    """An image that a request contains.

    Parameters
    ----------
    name : str
        For messages and answers.
    content : bytes
        The content of a file.
    """

    name: str
    content: bytes


def decode_base64(text: str, name: str) -> NamedImage:
    """Return the image in a text in base64, with or without ``data:image/png;base64,`` before it.

    Raises
    ------
    RequestRefused
        If it is no base64.
    """
    head = _DATA_URL.match(text[:100])
    try:
        content = base64.b64decode(text[head.end() if head else 0 :], validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestRefused(f"{name}: no base64: {error}") from error
    return NamedImage(name, content)


def check_pixels(image: NamedImage, most: int) -> None:
    """Refuse an image with too many pixels, before it is decoded.

    Raises
    ------
    RequestRefused
        If it has more than `most`.
    """
    try:
        with Image.open(io.BytesIO(image.content)) as opened:
            width, height = opened.size
    except Image.DecompressionBombError as error:
        raise RequestRefused(f"{image.name}: too many pixels: {error}") from error
    except Exception:  # of many types; who decodes it reports it
        return
    if width * height > most:
        raise RequestRefused(
            f"{image.name}: the image has {width} x {height} pixels; at most {most:,} are accepted"
        )


def answer_json(
    answer: ImageAnswer, options: AnswerOptions, labels: Sequence[str]
) -> dict[str, object]:
    """Return an answer as JSON.

    Parameters
    ----------
    answer : ImageAnswer
    options : AnswerOptions
    labels : sequence of str
        Names of the classes by number.
    """
    if isinstance(answer, ClassScores):
        return {
            "classes": [
                {"label": k, "class": class_name(labels, k), "score": rounded(score)}
                for k, score in answer.best_classes(options.top)
            ]
        }
    if isinstance(answer, FoundObjects):
        return {
            "objects": [
                {
                    "label": int(label),
                    "class": class_name(labels, int(label)),
                    "score": rounded(score),
                    "box": [rounded(side) for side in box],
                }
                for label, score, *box in answer.above(options.min_score)[::-1].tolist()
            ]
        }
    if isinstance(answer, PixelClasses):
        return _mask_json(answer, labels)
    raise DataError(f"no form for {type(answer).__name__}")


def _mask_json(answer: PixelClasses, labels: Sequence[str]) -> dict[str, object]:
    numbers, counts = np.unique(answer.classes, return_counts=True)
    return {
        "classes": [
            {"label": k, "class": class_name(labels, k), "pixels": n}
            for k, n in zip(numbers.tolist(), counts.tolist(), strict=True)
        ],
        "mask": base64.b64encode(label_png(answer.classes)).decode(),
    }


def rounded(value: float) -> float:
    """Return a number with six digits, as `minicaffe predict` prints scores."""
    return float(f"{value:.6g}")
