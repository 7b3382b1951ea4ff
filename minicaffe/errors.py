"""Errors that minicaffe raises intentionally.

    MinicaffeError (a RuntimeError, because pycaffe programs catch that)
    ├── UsageError            the command line arguments are invalid (exit code 2)
    ├── SchemaError           a prototxt or protobuf file is missing or invalid
    ├── NetError              a net cannot be built
    │   └── ShapeError        ... because the shape of a blob does not match a layer
    │       └── SizeError     ... or no blob can have it
    ├── SolverError           the settings of a solver are invalid
    ├── DivergedError         a loss is not finite, or weights that were to be saved are not
    ├── DataError             a data source is missing, unreadable or contains invalid values
    │   ├── ArraySizeError    ... the number of values does not match a shape (also a ValueError)
    │   └── LabelError        ... a label is outside 0 .. classes - 1
    ├── SnapshotError         weights or solver state cannot be read or written, or do not match
    ├── MissingPackage        an optional package that is needed is not installed
    ├── CommunicationError    the processes of a training cannot exchange values
    ├── BackendUnavailable    a backend cannot run on this machine
    │   └── Unsupported       a backend has no kernel for an op (raised by planning only)
    └── OutOfMemory           the memory of the machine does not suffice
        └── DeviceMemoryError ... or that of a GPU

A message has up to four parts in one or two lines: location (file, line, layer), the values found,
the rule, and the likely fix. `Problems` collects several independent messages into one error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MOST_NAMES = 100  # in a message


class MinicaffeError(RuntimeError):
    """Base class of all errors with a message for the user."""

    exit_code = 1


class UsageError(MinicaffeError):
    """The command line arguments are invalid."""

    exit_code = 2


class SchemaError(MinicaffeError):
    """A prototxt or protobuf file is missing or invalid."""


class NetError(MinicaffeError):
    """A net cannot be built."""


class ShapeError(NetError):
    """The shape of a blob does not match a layer."""


class SizeError(ShapeError):
    """No blob can have this shape: a negative size, or too many values or axes."""


class SolverError(MinicaffeError):
    """The settings of a solver are invalid."""


class DivergedError(MinicaffeError):
    """A loss is not finite and the solver stops then, or weights that were to be saved are not."""


class DataError(MinicaffeError):
    """A data source is missing, unreadable or contains invalid values."""


class ArraySizeError(DataError, ValueError):
    """The number of values does not match a shape; in Caffe NumPy raises a ValueError."""


class LabelError(DataError):
    """A label is not a class index, or an index is outside a table.

    Parameters
    ----------
    item : int
        Index of the sample in the batch (first axis of the label blob).
    value : float
        The invalid label.
    n_classes : int
        Labels must be integers in 0 .. n_classes - 1.
    noun, target : str
        Words for the value and for what it selects.
    labels : Tensor, optional
        The tensor that contains the label. A backend that detects the error only after the
        layer's forward pass sets it, so that the net can find the layer.
    """

    def __init__(
        self,
        item: int,
        value: float,
        n_classes: int,
        noun: str = "label",
        target: str = "class",
        labels: object = None,
    ) -> None:
        self.item, self.value, self.n_classes = item, value, n_classes
        self.noun, self.labels = noun, labels
        super().__init__(
            f"{noun} {value:g} of sample {item} in the batch is not a {target}; "
            f"{noun}s must be whole numbers from 0 to {n_classes - 1}"
        )


class SnapshotError(MinicaffeError):
    """Weights or solver state cannot be read or written, or do not match the net."""


class MissingPackage(MinicaffeError):
    """An optional package that is needed is not installed."""


class BackendUnavailable(MinicaffeError):
    """A backend cannot run on this machine."""


class Unsupported(BackendUnavailable):
    """A backend has no kernel for an op with these shapes; raised by planning only."""


class CommunicationError(MinicaffeError):
    """The processes of a training cannot exchange values."""


class OutOfMemory(MinicaffeError):
    """The memory of the machine does not suffice."""


class DeviceMemoryError(OutOfMemory):
    """A GPU has not enough memory."""


def nearest(name: str, known: Iterable[str], advice: str = "") -> str:
    """Return sentences for an unknown name: the nearest known names, advice, and all known names.

    Parameters
    ----------
    name : str
        The unknown name.
    known : iterable of str
        The known names.
    advice : str
        What to do if none of the nearest names is right.
    """
    words = sorted(set(known))
    rest = f" and {len(words) - _MOST_NAMES} more" if len(words) > _MOST_NAMES else ""
    listed = f"Known: {', '.join(words[:_MOST_NAMES])}{rest}."
    return " ".join(filter(None, (near(name, words), advice, listed)))


def near(name: str, known: Iterable[str]) -> str:
    """Return a sentence with up to three known names that are similar to `name`, "" if none."""
    words = similar(name, known)
    return f"Did you mean {' or '.join(words)}?" if words else ""


def similar(name: str, known: Iterable[str]) -> list[str]:
    """Return up to three known names that are similar to `name`, the nearest first."""
    folded = {word.lower(): word for word in known}
    words = difflib.get_close_matches(name.lower(), list(folded), n=3, cutoff=0.6)
    return [folded[word] for word in words]


class Postponed:
    """An error that is raised when the work after it is done.

    Only its type and message are kept: the error itself would keep what its traceback refers to.

    Attributes
    ----------
    kind : type of MinicaffeError or None
        The type of the error; None if there is none.
    """

    def __init__(self) -> None:
        self.kind: type[MinicaffeError] | None = None
        self._message = ""

    def postpone(self, error: MinicaffeError) -> None:
        """Keep an error, in place of an earlier one."""
        self.kind, self._message = type(error), str(error)

    def forget(self) -> None:
        """Drop the error: what had failed has succeeded since."""
        self.kind = None

    def raise_if_any(self) -> None:
        """Raise the error if there is one."""
        if self.kind is not None:
            raise self.kind(self._message)


class Problems:
    """Collects independent error messages and raises them as one error."""

    def __init__(self, kind: type[MinicaffeError]) -> None:
        self.kind = kind
        self._messages: dict[str, None] = {}

    @property
    def messages(self) -> list[str]:
        """The messages, in the order in which they were added."""
        return list(self._messages)

    def add(self, message: str) -> None:
        """Add a message without raising an error; duplicates are ignored."""
        self._messages.setdefault(message)

    def raise_if_any(self) -> None:
        """Raise one error with all messages, one per line, if there are any."""
        if self._messages:
            raise self.kind("\n".join(self._messages))
