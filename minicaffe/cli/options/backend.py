"""Where a command computes: the flags, and the backend that they mean."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, cast

from minicaffe.backends import BACKENDS, PRECISIONS, count_gpus, get_backend
from minicaffe.errors import BackendUnavailable, UsageError
from minicaffe.log import logger

if TYPE_CHECKING:
    from minicaffe.ops.backend import Backend  # needs numpy, and --help must not


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --gpu, --backend, --precision, --threads, --no_graph and --strict_backend."""
    parser.add_argument(
        "--gpu", default="", metavar="ID", help="number of the GPU to use; without it the CPU"
    )
    parser.add_argument(
        "--backend",
        choices=("auto", *BACKENDS),
        default="auto",
        help="how to compute: onednn is fast on a CPU, reference clear, cuda what --gpu means; "
        "auto takes what runs here",
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        help="what convolutions and inner products multiply: fp32 (the CPU's default), tf32 (a "
        "GPU's), bf16, or on a GPU fp16; parameters stay float32",
    )
    parser.add_argument(
        "--threads", type=int, default=None, metavar="N", help="threads (the physical cores)"
    )
    parser.add_argument(
        "--no_graph",
        action="store_true",
        help="on a GPU, launch kernel by kernel instead of recording iterations as CUDA graphs",
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
        If --threads is not positive, or --gpu is not a number or contradicts --backend.
    BackendUnavailable
        If --gpu asks for a GPU that cannot be used, or for several, or --precision for what the
        backend cannot. A solver's ``solver_mode: GPU`` is a wish instead: without a GPU it trains
        on the CPU and says why.
    """
    if args.threads is not None and args.threads < 1:
        raise UsageError(f"--threads={args.threads}: must be at least 1")
    number = _asked_for(args)
    if number is not None:
        try:
            return _open_gpu(args, number, trains=solver_param is not None)
        except BackendUnavailable as error:
            raise BackendUnavailable(f"--gpu={number}: {error}") from error
    if args.backend == "auto" and solver_param is not None and _wants_gpu(solver_param):
        try:
            return _open_gpu(args, solver_param.device_id, trains=True)
        except BackendUnavailable as error:
            logger.warning(f"solver_mode: GPU, but {error} Training on the CPU.")
    logger.info("Use CPU.")
    backend = get_backend(
        args.backend,
        strict=args.strict_backend,
        threads=args.threads,
        precision=args.precision,
    )
    logger.info(f"Computing with {backend.description}.")
    return backend


def gpu_numbers(text: str) -> list[int]:
    """Return the GPUs that --gpu names: "0", "0,1", or "all" for every one that is there.

    Raises
    ------
    UsageError
        If it is none of these.
    BackendUnavailable
        If "all" are none.
    """
    if text == "all":
        return list(range(count_gpus()))
    words = text.split(",")
    if not all(word.strip().isdecimal() for word in words):
        raise UsageError(
            f"--gpu={text}: must be the number of a GPU, counted from 0, several separated by "
            "commas, or all"
        )
    return [int(word) for word in words]


def _asked_for(args: argparse.Namespace) -> int | None:
    """Return the GPU that the flags ask for; None if they do not."""
    if not args.gpu:
        return 0 if args.backend == "cuda" else None
    if args.backend not in ("auto", "cuda"):
        raise UsageError(f"--gpu={args.gpu} and --backend={args.backend}: give one of them")
    numbers = gpu_numbers(args.gpu)
    n = len(numbers)
    if n > 1:
        raise BackendUnavailable(
            f"--gpu={args.gpu}: names {n} GPUs, and this version computes on one. Give one, as in "
            f"--gpu={numbers[0]}; iter_size: {n} times as large makes the updates that Caffe makes "
            f"on {n}."
        )
    return numbers[0]


def _wants_gpu(solver_param: Any) -> bool:
    """Return whether a solver says so itself; Caffe's default, GPU, is nobody's wish."""
    return bool(
        solver_param.HasField("solver_mode") and solver_param.solver_mode == solver_param.GPU
    )


def _open_gpu(args: argparse.Namespace, number: int, trains: bool) -> Backend:
    # Any: a card's name is nothing that every backend has.
    backend: Any = get_backend(
        "cuda",
        strict=args.strict_backend,
        threads=args.threads,
        precision=args.precision,
        gpu=number,
        graph=not args.no_graph,
    )
    # In the words of Caffe's train, and of its other commands.
    if trains:
        logger.info(f"Using GPUs {number}")
        logger.info(f"GPU {number}: {backend.device.name}")
    else:
        logger.info(f"Use GPU with device ID {number}")
        logger.info(f"GPU device name: {backend.device.name}")
    logger.info(f"Computing with {backend.description}.")
    return cast("Backend", backend)
