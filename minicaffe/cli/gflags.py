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
        args, unknown = self.parse_known_args(expand(argv, self))
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
        if option.startswith("--")
    }


def expand(argv: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """Rewrite gflags spellings in `argv` to the long options of `parser`.

    Raises
    ------
    UsageError
        If a boolean flag has a value that is neither true nor false, or a flag file is missing.
    """
    actions = flag_actions(parser)
    words: list[str] = []
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*words, "--", *rest]
        if not word.startswith("-") or word == "-" or _is_number(word):
            words.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        name = name.replace("-", "_")
        if name == "flagfile":
            rest = _flag_file(value if equals else (rest.pop(0) if rest else "")) + rest
        elif name in ("helpshort", "helpfull"):
            words.append("--help")
        elif name in actions:
            words.extend(_one(actions[name], name, value if equals else None))
        elif name.startswith("no") and name[2:] in actions and _is_boolean(actions[name[2:]]):
            continue
        else:
            words.append(word)
    return words


def _one(action: argparse.Action, name: str, value: str | None) -> list[str]:
    option = next(o for o in action.option_strings if o.startswith("--"))
    if not _is_boolean(action):
        return [option] if value is None else [f"{option}={value}"]
    if value is None or value.lower() in _TRUE:
        return [option]
    if value.lower() in _FALSE:
        return []
    raise UsageError(f"--{name}={value}: a boolean flag is true or false")


def _is_boolean(action: argparse.Action) -> bool:
    return isinstance(action, argparse._StoreTrueAction)


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
