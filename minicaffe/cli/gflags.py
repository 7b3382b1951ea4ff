"""gflags spellings on top of argparse: ``-gpu 0``, ``--gpu=0``, ``--noshuffle``.

Caffe's tools read their flags with gflags; scripts and courses use all of its spellings. `expand`
rewrites an argument list to the one spelling that argparse is given; `FlagParser` does so for
itself, and says what is wrong in one line.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from minicaffe.errors import UsageError, nearest

_TRUE, _FALSE = {"true", "t", "yes", "y", "1"}, {"false", "f", "no", "n", "0"}


class FlagParser(argparse.ArgumentParser):
    """An argument parser that reads gflags spellings and raises UsageError."""

    def parse(self, argv: Sequence[str]) -> argparse.Namespace:
        """Return the values of the flags in `argv`.

        Raises
        ------
        UsageError
            If a flag is unknown or its value is not one.
        """
        args, rest = self.parse_known_args(expand(argv, self))
        unknown = [word for word in rest if word != "--"]
        if unknown and unknown[0].startswith("-"):
            flag = "--" + unknown[0].lstrip("-").partition("=")[0]
            shown = [a for a in self._actions if a.help != argparse.SUPPRESS]
            known = [o for a in shown for o in a.option_strings if o.startswith("--")]
            raise UsageError(f"no flag {flag}. {nearest(flag, known)}")
        if unknown:
            raise UsageError(f'"{unknown[0]}" is one argument too many; flags begin with --')
        return args

    def error(self, message: str) -> NoReturn:
        """Raise what argparse would print together with the usage, and exit."""
        raise UsageError(message.removeprefix("argument "))


def flag_actions(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Return the parser's options by bare name (dashes removed, - and _ the same)."""
    return {
        option.lstrip("-").replace("-", "_"): action
        for action in parser._actions
        for option in action.option_strings
    }


def expand(argv: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """Rewrite gflags spellings in `argv` to the long options of `parser`.

    Other words come last: gflags lets flags stand between them, argparse not always.

    Raises
    ------
    UsageError
        If a boolean flag has a value that is neither true nor false, or a flag file is missing.
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
    """Add a flag to `flags`; a false one takes away what an earlier one has set."""
    # The long spelling, where there is one, as argparse allows a value after = only there.
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
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise UsageError(f"--flagfile={path}: {error.strerror}") from error
    flags = [line.strip() for line in lines]
    return [w for line in flags if line.startswith("-") for w in shlex.split(line)]
