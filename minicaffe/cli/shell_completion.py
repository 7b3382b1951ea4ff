"""Answers to a shell that completes a command line: commands, flags, values of flags, file names.

The package argcomplete has the protocol; its shell function (`minicaffe completion`) runs the
program with the variable `_ARGCOMPLETE` whenever the user presses Tab.
"""

from __future__ import annotations

import argparse
import os

from minicaffe.cli.completed_values import add_completers
from minicaffe.cli.overview import COMMANDS, CommonFlags, flags_of, summary

REQUEST = "_ARGCOMPLETE"


def parser_of_line(line: str) -> argparse.ArgumentParser:
    """Return a parser of the program whose flags are those of the command in a line.

    Only that command's module is imported, so that Tab answers fast.
    """
    parser = argparse.ArgumentParser("minicaffe", add_help=False)
    commands = parser.add_subparsers()
    words = line.split()[1:]
    for name in COMMANDS:
        one = commands.add_parser(name, help=summary(name))
        if name in words:
            flags_of(name).add_to(one)
            CommonFlags.add_to(one)
            add_completers(one)
    return parser


def complete() -> None:
    """Write the completions of the line that the shell has given, and end the process."""
    import argcomplete

    parser = parser_of_line(os.environ.get("COMP_LINE", ""))
    argcomplete.autocomplete(parser, always_complete_options="long")
