"""Entry points of the installed programs: Ctrl-C while Python still imports ends them quietly.

They import `minicaffe.cli.main` inside the functions, because that import takes most of the time
before `main` can handle Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Sequence


def start_program(arguments: Sequence[str] | None = None) -> int:
    """Run the ``minicaffe`` program with arguments, default `sys.argv`; return the exit code."""
    try:
        from minicaffe.cli.main import main

        return main(arguments)
    except KeyboardInterrupt:
        return 130


def start_command() -> int:
    """Run the program that is named like a command and return the exit code."""
    try:
        from minicaffe.cli.main import run_as_program

        return run_as_program()
    except KeyboardInterrupt:
        return 130
