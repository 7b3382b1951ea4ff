"""Where a command computes: the flags, and the backend that they mean."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from minicaffe.backends import BACKENDS, PRECISIONS, get_backend
from minicaffe.errors import BackendUnavailable, UsageError
from minicaffe.log import logger

if TYPE_CHECKING:
    from minicaffe.ops.backend import Backend  # needs numpy, and --help must not


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --gpu, --backend, --precision, --threads and --strict_backend."""
    parser.add_argument(
        "--gpu", default="", metavar="ID", help="number of the GPU to use; without it the CPU"
    )
    parser.add_argument(
        "--backend",
        choices=("auto", *BACKENDS),
        default="auto",
        help="how the CPU computes: onednn is fast, reference clear; auto takes what runs here",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="what convolutions and inner products multiply: fp32 (the CPU's default) or bf16; "
        "all else, parameters included, stays float32",
    )
    parser.add_argument(
        "--threads", type=int, default=None, metavar="N", help="threads (the physical cores)"
    )
    parser.add_argument(
        "--strict_backend",
        action="store_true",
        help="refuse a net with an op that only the reference backend can compute",
    )


def choose(args: argparse.Namespace, solver_param: Any = None) -> Backend:
    """Return the backend that the flags and, for train, the solver ask for.

    Raises
    ------
    UsageError
        If --threads is not positive.
    BackendUnavailable
        If --gpu asks for a GPU that cannot be used, or --precision for what the backend cannot.
        A solver's ``solver_mode: GPU`` is a wish instead: without a GPU it trains on the CPU and
        says so.
    """
    if args.threads is not None and args.threads < 1:
        raise UsageError(f"--threads={args.threads}: must be at least 1")
    if args.gpu:
        raise BackendUnavailable(
            f"--gpu={args.gpu}: this version computes on the CPU only. Leave the flag out."
        )
    if solver_param is not None and solver_param.HasField("solver_mode"):
        mode = type(solver_param).SolverMode.Name(solver_param.solver_mode)
        if mode == "GPU":
            logger.warning("solver_mode: GPU, but no GPU can be used here; training on the CPU.")
    logger.info("Use CPU.")
    backend = get_backend(
        args.backend,
        strict=args.strict_backend,
        threads=args.threads,
        precision=args.precision,
    )
    logger.info(f"Computing with {backend.description}.")
    return backend
