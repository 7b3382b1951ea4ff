"""Every error that minicaffe raises on purpose.

    MinicaffeError (a RuntimeError, because that is what pycaffe programs catch)
    ├── UsageError            the command line asks for something it cannot have (exit code 2)
    ├── SchemaError           a prototxt or protobuf file does not say anything valid
    ├── NetError              a net cannot be built
    │   └── ShapeError        ... because the shape of a blob does not fit a layer
    ├── SolverError           a solver's settings do not make sense
    ├── DataError             a data source is missing, unreadable or holds impossible values
    │   └── LabelError        ... a label is outside 0 .. classes - 1
    ├── SnapshotError         weights or solver state cannot be written, read or do not fit
    ├── MissingPackage        an optional package that the work needs is not installed
    ├── BackendUnavailable    a backend cannot run on this machine
    │   └── Unsupported       a backend has no kernel for one op (raised while planning only)
    └── DeviceMemoryError     a GPU has not enough memory

A message has up to four parts in one or two lines: where (file, line, layer), what was found, the
rule, and the likely fix. `Problems` collects several independent ones into a single error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MinicaffeError(RuntimeError):
    """Base class of all errors with a message for the user."""

    exit_code = 1


class UsageError(MinicaffeError):
    """The command line asks for something it cannot have."""

    exit_code = 2


class SchemaError(MinicaffeError):
    """A prototxt or protobuf file does not say anything valid."""


class NetError(MinicaffeError):
    """A net cannot be built."""


class ShapeError(NetError):
    """The shape of a blob does not fit a layer."""


class SolverError(MinicaffeError):
    """A solver's settings do not make sense."""


class DataError(MinicaffeError):
    """A data source is missing, unreadable or holds impossible values."""


class LabelError(DataError):
    """A label is outside the range of the classes, or the number of a row outside a table.

    Parameters
    ----------
    item : int
        Index of the sample in the batch (first axis of the label blob).
    value : float
        The label found.
    n_classes : int
        Labels must be integers in 0 .. n_classes - 1.
    noun, target : str
        What the value is, and what it should have named.
    labels : Tensor, optional
        What holds the label. The net finds the layer by it where a backend finds out too late to
        raise the error in that layer's forward pass.
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
        self.labels = labels
        super().__init__(
            f"{noun} {value:g} of sample {item} in the batch is not a {target}; "
            f"{noun}s must be whole numbers from 0 to {n_classes - 1}"
        )


class SnapshotError(MinicaffeError):
    """Weights or solver state cannot be written, read or do not fit."""


class MissingPackage(MinicaffeError):
    """An optional package that the work needs is not installed."""


class BackendUnavailable(MinicaffeError):
    """A backend cannot run on this machine."""


class Unsupported(BackendUnavailable):
    """A backend has no kernel for an op with these shapes. Raised while planning only."""


class DeviceMemoryError(MinicaffeError):
    """A GPU has not enough memory."""


def nearest(name: str, known: Iterable[str], advice: str = "") -> str:
    """Return a sentence that names what `name` may have meant, then advice, then all that is known.

    Parameters
    ----------
    name : str
        The word that was not understood.
    known : iterable of str
        The words that would have been.
    advice : str
        What to do if none of the near words was meant.
    """
    words = sorted(set(known))
    return " ".join(filter(None, (near(name, words), advice, f"Known: {', '.join(words)}.")))


def near(name: str, known: Iterable[str]) -> str:
    """Return a sentence that names up to three words that `name` may have meant, "" if none."""
    folded = {word.lower(): word for word in known}
    words = difflib.get_close_matches(name.lower(), list(folded), n=3, cutoff=0.6)
    return f"Did you mean {' or '.join(folded[word] for word in words)}?" if words else ""


class Problems:
    """Independent problems, found one by one and raised together."""

    def __init__(self, kind: type[MinicaffeError]) -> None:
        self.kind = kind
        self.messages: list[str] = []

    def add(self, message: str) -> None:
        """Note a problem; nothing is raised yet."""
        if message not in self.messages:
            self.messages.append(message)

    def raise_if_any(self) -> None:
        """Raise one error that holds every message, a line each."""
        if self.messages:
            raise self.kind("\n".join(self.messages))
