"""Command-line parser that accepts gflags spellings: ``-gpu 0``, ``--gpu=0``, ``--noshuffle``.

Caffe's tools read their flags with gflags; scripts and courses use all of its spellings. `expand`
rewrites a list of arguments to the one spelling that argparse accepts, and `FlagParser` parses it.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import NoReturn

from minicaffe.errors import UsageError, nearest
from minicaffe.text_file import ForeignBytes, decode_text

_TRUE, _FALSE = {"true", "t", "yes", "y", "1"}, {"false", "f", "no", "n", "0"}


# Flags whose values are files with these extensions; a command has at most one of each row.
_FLAGS_OF_FILES = {
    ".caffemodel": ("weights",),
    ".h5": ("weights",),
    ".solverstate": ("snapshot",),
    ".prototxt": ("model", "net", "solver"),
}


# Flags that begin as an unknown one, in a message.
_MOST_LONGER = 3


class _MissingArguments(UsageError):
    pass


class FlagParser(argparse.ArgumentParser):
    """Argument parser that accepts gflags spellings and raises UsageError instead of exiting."""

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Return the values of the flags in `argv`.

        Raises
        ------
        UsageError
            If a flag is unknown, a value is invalid, or a required flag is missing or empty.
        """
        words = expand(argv, self)
        try:
            args, rest = self.parse_known_args(words)
        except _MissingArguments:
            self._check_rest(self._unused(words))  # a misspelt flag explains a missing one
            raise
        self._check_rest(rest)
        required = [a for a in self._actions if a.required and a.option_strings]
        self._check_given([a for a in required if getattr(args, a.dest) == ""])
        return args

    def error(self, message: str) -> NoReturn:
        """Raise the error that argparse reports; the base class would print it and exit."""
        prefix = "the following arguments are required: "
        if message.startswith(prefix):
            missing = message.removeprefix(prefix).split(", ")
            self._check_given([a for a in self._actions if _name_of(a) in missing])
        raise UsageError(message.removeprefix("argument "))

    def _check_value(self, action: argparse.Action, value: object) -> None:
        """Raise an error with the nearest choices if a value is none of them."""
        if action.choices is not None and value not in action.choices:
            known = nearest(str(value), map(str, action.choices))
            raise UsageError(f"{_name_of(action)}: invalid choice: {value!r}. {known}")

    def _unused(self, words: Sequence[str]) -> list[str]:
        """Return the unknown flags, and the other words if the parser accepts none."""
        flags = list(takewhile(lambda word: word != "--", words))
        known = self._option_string_actions
        # A short flag may be followed by its value: -w20.
        unknown = [f for f in flags if f.partition("=")[0] not in known and f[:2] not in known]
        only_flags = all(action.option_strings for action in self._actions)
        return unknown + (list(words[len(flags) :]) if only_flags else [])

    def _check_rest(self, rest: Sequence[str]) -> None:
        """Raise an error about the first word that is not used."""
        unknown = [word for word in rest if word != "--"]
        if unknown and unknown[0].startswith("-"):
            name = "--" + unknown[0].lstrip("-").partition("=")[0]
            shown = [a for a in self._actions if a.help != argparse.SUPPRESS]
            known = [o for a in shown for o in a.option_strings if o.startswith("--")]
            longer = sorted(option for option in known if option.startswith(name))
            if 0 < len(longer) <= _MOST_LONGER:
                raise UsageError(f"no flag {name}. Did you mean {' or '.join(longer)}?")
            raise UsageError(f"no flag {name}. {nearest(name, known)}")
        if unknown:
            raise UsageError(
                f'"{unknown[0]}" is one argument too many; flags begin with --'
                f"{self._flag_hint(unknown[0])}"
            )

    def _flag_hint(self, word: str) -> str:
        """Return a question whether a file was meant as the value of a flag, "" if not."""
        options = self._option_string_actions
        wanted = _FLAGS_OF_FILES.get(Path(word).suffix, ())
        option = next((f"--{name}" for name in wanted if f"--{name}" in options), "")
        return f". Did you mean {option}={word}?" if option else ""

    def _check_given(self, missing: Sequence[argparse.Action]) -> None:
        """Raise an error that lists missing arguments in the form in which to give them."""
        if missing:
            forms = [
                f"{a.option_strings[-1]}={a.metavar}" if a.option_strings else _name_of(a)
                for a in missing
            ]
            shown = [f"{form} ({a.help})" for form, a in zip(forms, missing, strict=True)]
            raise _MissingArguments(f"missing: {', '.join(shown)}")


def _name_of(action: argparse.Action) -> str:
    """Return the name of an argument in argparse's messages."""
    return "/".join(action.option_strings) or str(action.metavar or action.dest)


def flag_actions(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Return the parser's options by name, without leading dashes and with _ instead of -."""
    return {
        option.lstrip("-").replace("-", "_"): action
        for action in parser._actions
        for option in action.option_strings
    }


def expand(argv: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """Rewrite gflags spellings in `argv` to the long options of `parser`.

    Positional arguments come last, because argparse does not always accept flags between them.

    Raises
    ------
    UsageError
        If a boolean flag has a value that is neither true nor false, or a flag file cannot be read.
    """
    actions = flag_actions(parser)
    flags: list[str] = []
    words: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            words += rest
            break
        if not _is_flag(word):
            words.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        name = name.replace("-", "_")
        if name == "flagfile":
            rest = _flag_file(value if equals else (rest.pop(0) if rest else "")) + rest
        elif name in ("helpshort", "helpfull"):
            flags.append("--help")
        elif name in actions:
            if not equals and actions[name].nargs is None and rest and not _is_flag(rest[0]):
                equals, value = "=", rest.pop(0)
            _set(flags, actions[name], name, value if equals else None)
        elif name.startswith("no") and _is_boolean(actions.get(name[2:])):
            _set(flags, actions[name[2:]], name[2:], "false")
        else:
            flags.append(word)
    return [*flags, "--", *words] if words else flags


def _set(flags: list[str], action: argparse.Action, name: str, value: str | None) -> None:
    """Add a flag to `flags`; a false boolean flag removes earlier ones of the same name."""
    # The long spelling if there is one, because argparse accepts a value after = only there.
    option = max(action.option_strings, key=len)
    if not _is_boolean(action):
        flags.append(option if value is None else f"{option}={value}")
    elif value is None or value.lower() in _TRUE:
        flags.append(option)
    elif value.lower() in _FALSE:
        flags[:] = [flag for flag in flags if flag != option]
    else:
        raise UsageError(f"--{name}={value}: a boolean flag is true or false")


def _is_boolean(action: argparse.Action | None) -> bool:
    return isinstance(action, argparse._StoreTrueAction)


def _is_flag(word: str) -> bool:
    return word.startswith("-") and word != "-" and not _is_number(word)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _flag_file(path: str) -> list[str]:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"--flagfile={path}: {error.strerror}") from error
    text = decode_text(content, path, ForeignBytes.ESCAPE, UsageError)
    flags = [line.strip() for line in text.split("\n")]
    try:
        return [w for line in flags if line.startswith("-") for w in shlex.split(line)]
    except ValueError as error:
        raise UsageError(f"{path}: a quotation mark of a flag is not closed: {error}") from error
