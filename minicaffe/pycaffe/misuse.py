"""Sentences about frequent slips in programs that use pycaffe: what to write instead."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from minicaffe.errors import nearest
from minicaffe.ops.backend import HostArray

T = TypeVar("T")

_IMAGE_AXES = 3


class NamedItems(OrderedDict[str, T]):
    """The blobs, parameters or layers of a net by name; they cannot be replaced.

    Parameters
    ----------
    items : iterable of (str, object)
        In the order of the net.
    noun : str
        One of them in messages, such as "blob".
    advice : str
        What to write instead of ``items[name] = x``; it is formatted with the name.
    """

    def __init__(self, items: Iterable[tuple[str, T]], noun: str, advice: str) -> None:
        super().__init__()
        for name, item in items:
            OrderedDict.__setitem__(self, name, item)
        self._noun, self._advice = noun, advice

    def __setitem__(self, name: str, item: T) -> None:
        raise TypeError(f"a {self._noun} cannot be replaced; {self._advice.format(name=name)}")

    def __missing__(self, name: str) -> NoReturn:
        raise KeyError(f'no {self._noun} "{name}". {nearest(str(name), self)}')

    def __reduce__(self) -> tuple[type[OrderedDict[str, T]], tuple[list[tuple[str, T]]]]:
        return OrderedDict, (list(self.items()),)

    def copy(self) -> OrderedDict[str, T]:  # type: ignore[override]
        """Return an OrderedDict of the same items."""
        return OrderedDict(self)


def require_image(image: object, call: str) -> None:
    """Raise an error unless an argument is an array of numbers, not a file name or None.

    Parameters
    ----------
    image : object
        The argument.
    call : str
        The function as a program writes it, such as ``predict([image])``.
    """
    if isinstance(image, str | bytes | os.PathLike):
        raise TypeError(
            f"{call} takes images, not file names; write "
            f"{call.replace('image', f'caffe.io.load_image({image!r})', 1)}"
        )
    if image is None:
        raise TypeError(
            f"{call}: the image is None; cv2.imread returns None if there is no such file"
        )


def require_images(images: Iterable[npt.ArrayLike], call: str) -> list[npt.ArrayLike]:
    """Return images as a list; raise an error unless each is rows x columns x channels."""
    if isinstance(images, str | bytes | os.PathLike) or images is None:
        require_image(images, call)
    if isinstance(images, np.ndarray) and images.ndim in (2, _IMAGE_AXES):
        raise ValueError(
            f"a list of images is needed, found one array of shape {images.shape}; write {call}"
        )
    found = list(images)
    for image in found:
        require_image(image, call)
        require_channels(np.shape(image))
    return found


def require_channels(shape: tuple[int, ...]) -> None:
    """Raise an error if an image has no axis of channels."""
    if len(shape) == 2:
        raise ValueError(
            f"an image has the axes rows, columns, channels; found shape {shape}. For a grey image "
            "write image[:, :, np.newaxis]"
        )
    if len(shape) != _IMAGE_AXES:
        raise ValueError(
            f"an image has the axes rows, columns, channels; found shape {shape}. Give images one "
            "by one, or in a list"
        )


def require_mean(mean: object) -> HostArray:
    """Return a mean that is an array; raise an error that says how to make one otherwise."""
    if isinstance(mean, np.ndarray):
        return mean
    advice = "np.array(mean)"
    if isinstance(mean, str | os.PathLike):
        advice = f"np.load({os.fspath(mean)!r})"
        if not os.fspath(mean).endswith(".npy"):
            advice = "caffe.io.blobproto_to_array(blob)[0] of a BlobProto that is parsed from it"
    elif hasattr(mean, "SerializeToString"):
        advice = "caffe.io.blobproto_to_array(mean)[0]"
    raise TypeError(f"the mean must be an array, found {type(mean).__name__}; write {advice}")


def require_message(message: object, kind: str) -> None:
    """Raise an error if an argument is bytes or a path, not a protobuf message."""
    if isinstance(message, bytes | bytearray | memoryview | str | os.PathLike):
        content = "value" if isinstance(message, bytes | bytearray | memoryview) else None
        content = content or f"open({os.fspath(message)!r}, 'rb').read()"  # type: ignore[arg-type]
        raise TypeError(
            f"a {kind} is needed here, found {type(message).__name__}; write message = "
            f"caffe.proto.caffe_pb2.{kind}.FromString({content})"
        )


def require_pair(sizes: object, call: str) -> None:
    """Raise an error unless an argument is (rows, columns)."""
    if not isinstance(sizes, tuple | list | np.ndarray) or len(sizes) < 2:
        raise TypeError(f"{call}: sizes are (rows, columns); found {sizes!r}")


def require_names(blobs: object, inputs: Sequence[str]) -> None:
    """Raise an error if the names of blobs that `forward` returns are arrays for the inputs."""
    if isinstance(blobs, np.ndarray | dict):
        name = inputs[0] if inputs else "data"
        form = "**inputs" if isinstance(blobs, dict) else f"{name}=x"
        raise TypeError(f"forward takes inputs by name; write forward({form})")


def set_values(array: HostArray, values: npt.ArrayLike, name: str) -> None:
    """Set all values of a blob's array; raise an error that names both shapes if they differ."""
    try:
        array[...] = values
    except ValueError as error:
        found = np.shape(values)
        raise ValueError(
            f'"{name}" has shape {array.shape}; the given array has {found}. To change the '
            f'input\'s shape, write net.blobs["{name}"].reshape({", ".join(map(str, found))})'
        ) from error
