"""Declaration of command-line flags as typed attributes of a class.

    class TimeFlags(BackendFlags):
        model: str = flag(required=True, metavar="FILE", help="net prototxt")
        iterations: int = flag(default=50, at_least=1, help="passes to average")
        optimize_memory: bool = flag(help="share memory between blobs")

The annotation determines how a value is read: bool is a switch that is off by default, any other
type is applied to the text. A flag of type str is empty if it is not given; other defaults are
appended to the help text. Flags that several commands share are base classes, or declarations that
are assigned in several classes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from types import NoneType
from typing import Any, NamedTuple, get_args, get_type_hints


class _Declaration(NamedTuple):
    """Arguments of `ArgumentParser.add_argument` for one attribute of a `Flags` class."""

    names: tuple[str, ...]
    is_positional: bool
    settings: dict[str, Any]  # Any: as add_argument takes them

    def add_to(
        self, parser: argparse._ActionsContainer, attribute: str, annotation: object
    ) -> None:
        kind = next(t for t in (*get_args(annotation), annotation) if t is not NoneType)
        settings = dict(self.settings)
        if kind is bool:
            settings["action"] = "store_true"
        elif kind is not str:
            settings.setdefault("type", _READERS.get(kind, kind))
        if self.is_positional:
            parser.add_argument(attribute, **settings)
            return
        if annotation is str:
            settings.setdefault("default", "")
        parser.add_argument(*(self.names or (f"--{attribute}",)), dest=attribute, **settings)

    def words(self, attribute: str, value: object) -> list[str]:
        """Return the words of a command line that set the attribute; [] for its default."""
        if value is None or value is False or value == self.settings.get("default", ""):
            return []
        values = value if isinstance(value, list) else [value]
        if self.is_positional:
            return list(map(str, values))
        name = self.names[0] if self.names else f"--{attribute}"
        return [name] if value is True else [f"{name}={each}" for each in values]


# The result is Any and the settings are those of add_argument. As with dataclasses.field, the type
# of an attribute is its annotation.
def flag(*names: str, help: str, at_least: int | None = None, **settings: Any) -> Any:
    """Declare a flag, or with ``required=True`` a required flag.

    Parameters
    ----------
    *names : str
        Spellings, with their dashes; by default the attribute's name after two dashes.
    help : str
        What the flag sets.
    at_least : int, optional
        The smallest value allowed.
    **settings
        As in `argparse.ArgumentParser.add_argument`.
    """
    return _declaration(names, False, help, at_least, settings)


def positional(*, help: str, at_least: int | None = None, **settings: Any) -> Any:
    """Declare a positional argument; parameters as for `flag`."""
    return _declaration((), True, help, at_least, settings)


def _declaration(
    names: tuple[str, ...],
    is_positional: bool,
    text: str,
    at_least: int | None,
    settings: dict[str, Any],
) -> _Declaration:
    if settings.get("default"):
        text += " (default: %(default)s)"
    if at_least is not None:
        settings["type"] = WholeNumber(at_least)
    return _Declaration(names, is_positional, {"help": text, **settings})


@dataclass(frozen=True)
class WholeNumber:
    """Reads an integer for `add_argument`, and says what it must be."""

    at_least: int | None = None

    def __call__(self, text: str) -> int:
        """Return the value; raise an ArgumentTypeError if it is no integer or too small."""
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        if self.at_least is not None and value < self.at_least:
            raise argparse.ArgumentTypeError(
                f"{value} is too small; it must be at least {self.at_least}"
            )
        return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no number") from None


# What reads a value and says what it must be.
_READERS: dict[object, Callable[[str], object]] = {int: WholeNumber(), float: _number}


class Flags:
    """Base class of the flags of a command, or of flags that several commands share.

    Parameters
    ----------
    values : Namespace
        Parsed values of the flags; others are ignored.
    """

    def __init__(self, values: argparse.Namespace) -> None:
        for attribute in self._declarations():
            setattr(self, attribute, getattr(values, attribute))

    def given_words(self, kind: type[Flags] | None = None) -> list[str]:
        """Return the words of a command line that give the flags their present values.

        Parameters
        ----------
        kind : type of Flags, optional
            A base class, to return the words of its flags only.
        """
        return [
            word
            for attribute, declaration in (kind or type(self))._declarations().items()
            for word in declaration.words(attribute, getattr(self, attribute))
        ]

    @classmethod
    def add_to(cls, parser: argparse._ActionsContainer) -> None:
        """Add the flags to a parser or to a group of it: those of base classes come last."""
        annotations = get_type_hints(cls)
        for attribute, declaration in cls._declarations().items():
            declaration.add_to(parser, attribute, annotations[attribute])

    @classmethod
    def _declarations(cls) -> dict[str, _Declaration]:
        found: dict[str, _Declaration] = {}
        for owner in cls.__mro__:
            for attribute, value in vars(owner).items():
                if isinstance(value, _Declaration):
                    found.setdefault(attribute, value)
        return found
