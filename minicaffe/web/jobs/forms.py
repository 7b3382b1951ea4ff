"""Command lines from the values of forms: no value becomes a flag, no path leaves the folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException

from minicaffe.errors import UsageError, nearest
from minicaffe.web.board.folder import BoardFolder

_NAME = re.compile(r"[\w-]+")  # of a net in models/


@dataclass(frozen=True)
class FormField:
    """A flag or an argument of a command.

    Parameters
    ----------
    name : str
    flag : str
        As "--size"; "" for an argument without a flag. "--set=base_lr" for a setting.
    kind : str
        "switch", "choice", "integer", "text" or "lines" (a flag that may be repeated).
    help : str
    choices : tuple of str
    default : str
        The value that a form begins with.
    path : str
        "path", "paths" (separated by commas), "net" (a name or a path), "setting" (FIELD=VALUE,
        whose value may be a path), or "" for no path.
    is_required : bool
    group : str
        "main", "more" (shown on demand) or "hidden".
    rank : int
        Place in its group.
    """

    name: str
    flag: str
    kind: str
    help: str
    choices: tuple[str, ...] = ()
    default: str = ""
    path: str = ""
    is_required: bool = False
    group: str = "more"
    rank: int = 0


@dataclass(frozen=True)
class CommandForm:
    """The form of a command.

    Parameters
    ----------
    command : str
    fields : tuple of FormField
        In the order of the arguments on the command line.
    parse : callable
        Returns the values of the flags in a list of words, by name; raises UsageError with the
        command's own message.
    """

    command: str
    fields: tuple[FormField, ...]
    parse: Callable[[Sequence[str]], Mapping[str, object]]

    def visible_fields(self) -> list[FormField]:
        """Return the fields that a form shows, in their order."""
        fields = [field for field in self.fields if field.group != "hidden"]
        return sorted(fields, key=lambda field: (field.group, field.rank))

    def command_line(self, values: Mapping[str, object], place: PlaceOfJob) -> list[str]:
        """Return command and arguments.

        Parameters
        ----------
        values : mapping
            Text, whole numbers, booleans and lists of texts by the name of their field. Those that
            are empty are left out.
        place : PlaceOfJob
            Where the paths are.

        Raises
        ------
        UsageError
            If a value is wrong.
        HTTPException
            With status 404, if a path is outside of the folder.
        """
        known = {field.name for field in self.fields}
        for name in values:
            if name not in known:
                raise UsageError(f"{self.command} has no {name}. {nearest(name, known)}")
        flags, arguments = [], []
        for field in self.fields:
            for text in _texts(field, values.get(field.name)):
                if field.kind == "switch":
                    flags.append(field.flag)
                elif field.flag:
                    flags.append(f"{field.flag}={place.inside(field.path, text)}")
                else:
                    arguments.append(place.inside(field.path, text))
        self.parse([*flags, *arguments])
        return [self.command, *flags, *arguments]


@dataclass(frozen=True)
class PlaceOfJob:
    """The folders to which paths are relative.

    Parameters
    ----------
    folder : BoardFolder
    given : Path
        The folder to which the paths of the values are relative.
    working : Path
        The working directory of the job, to which the paths of its command line are relative.
    """

    folder: BoardFolder
    given: Path
    working: Path

    def inside(self, kind: str, text: str) -> str:
        """Return the text for the command line of a value that has paths of a kind."""
        if kind == "paths":
            return ",".join(self._relative(part.strip()) for part in text.split(","))
        if kind == "setting":
            for part in text.partition("=")[2].strip("\"' ").split(","):
                # A setting of the net or solver: relative to the working directory.
                if "/" in part or part.strip() == "..":
                    self.folder.path_below(os.fspath(self.working / part.strip("\"' ")))
            return text
        if kind == "path" or (kind == "net" and not _NAME.fullmatch(text)):
            return self._relative(text)
        return text

    def _relative(self, text: str) -> str:
        path = Path(os.path.normpath(self.given / text))
        self.folder.path_below(os.fspath(path))
        # As it was given, because a link may be meant to change.
        found = os.path.relpath(path, self.working)
        return f"./{found}" if found.startswith("-") else found


def _texts(field: FormField, value: object) -> Iterator[str]:
    """Yield the texts of a value; none for one that is empty."""
    if value is None or value is False:
        return
    values = value if isinstance(value, list) and field.kind == "lines" else [value]
    for one in values:
        is_switch = field.kind == "switch"
        if isinstance(one, bool) != is_switch or not isinstance(one, str | int | float):
            raise UsageError(f"{field.name}: {one!r} is no {field.kind}")
        text = str(one).strip()
        if any(ord(character) < 32 for character in text):
            raise UsageError(f"{field.name}: {text!r} has control characters")
        if text and text != field.default:
            yield text


def working_folder(folder: BoardFolder, solver: Path) -> Path:
    """Return the folder in which a solver trains: its own or one above, where its net is.

    Caffe's nets and databases are named relative to the working directory.

    Parameters
    ----------
    folder : BoardFolder
    solver : Path
        Its prototxt, below the folder.
    """
    net = net_of_solver(solver)
    for place in solver.parents:
        if not place.is_relative_to(folder.root):
            break
        if net and (place / net).is_file():
            return place
    return solver.parent


def net_of_solver(solver: Path) -> str:
    """Return the net that a solver names, "" if that cannot be told."""
    try:
        text = solver.read_text("utf-8", "replace")[:65536]
    except OSError:
        return ""
    found = re.search(r"^\s*(?:net|train_net)\s*:\s*[\"']([^\"']+)", text, re.MULTILINE)
    return found[1] if found else ""


def folder_below(folder: BoardFolder, text: str) -> Path:
    """Return a folder below that of the board; raise HTTPException if it is none."""
    path = folder.path_below(text)
    if not path.is_dir():
        raise HTTPException(404, f"{text}: no such folder")
    return path
