"""Bring a solver prototxt to the current form: `solver_type` becomes `type`.

OUTPUT is written even where nothing had to change. Exit code: 0 done, 1 the settings contradict
each other, 2 INPUT cannot be read.

Example:
  minicaffe upgrade_solver_proto_text old_solver.prototxt solver.prototxt
"""

from __future__ import annotations

import argparse

from minicaffe.cli.commands import _upgrading as upgrading
from minicaffe.log import logger


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    upgrading.add_arguments(parser, "solver prototxt")


def run(args: argparse.Namespace) -> int:
    """Read, upgrade, write."""
    from minicaffe.schema import SolverParameter, format_prototxt, read_prototxt, upgrade_solver

    with upgrading.reading():
        solver = read_prototxt(args.input, SolverParameter).message
    if not solver.HasField("solver_type"):
        logger.info("File already in latest proto format: %s", args.input)
    upgrade_solver(solver, args.input)
    upgrading.write(args.output, format_prototxt(solver).encode())
    logger.info("Wrote upgraded SolverParameter text proto to %s", args.output)
    return 0
