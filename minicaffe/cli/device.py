"""Where a command computes: the flags, and the backend that they mean."""

from __future__ import annotations

import argparse
from typing import Any

from minicaffe.errors import BackendUnavailable
from minicaffe.log import logger
from minicaffe.ops.backend import Backend


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --gpu."""
    parser.add_argument(
        "--gpu", default="", metavar="ID", help="number of the GPU to use; without it the CPU"
    )


def choose(args: argparse.Namespace, solver_param: Any = None) -> Backend:
    """Return the backend that the flags and, for train, the solver ask for.

    Raises
    ------
    BackendUnavailable
        If --gpu asks for a GPU that cannot be used. A solver's ``solver_mode: GPU`` is a wish
        instead: without a GPU it trains on the CPU and says so.
    """
    from minicaffe.backends import get_backend

    if args.gpu:
        raise BackendUnavailable(
            f"--gpu={args.gpu}: this version computes on the CPU only. Leave the flag out."
        )
    if solver_param is not None and solver_param.HasField("solver_mode"):
        mode = type(solver_param).SolverMode.Name(solver_param.solver_mode)
        if mode == "GPU":
            logger.warning("solver_mode: GPU, but no GPU can be used here; training on the CPU.")
    logger.info("Use CPU.")
    return get_backend()
