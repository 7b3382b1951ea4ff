"""Backend flags (--gpu, --backend, ...) and the backend they select."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from minicaffe.backends import BACKENDS, PRECISIONS, get_backend
from minicaffe.cli.flags import Flags, flag
from minicaffe.cli.options.gpus import preferred_gpu, selected_gpu
from minicaffe.cli.options.half_precision import asks_for_half
from minicaffe.cli.options.shared_cores import threads_of_rank
from minicaffe.errors import BackendUnavailable
from minicaffe.log import logger

if TYPE_CHECKING:  # these import NumPy or protobuf, which --help must not
    from minicaffe.backends.cuda.backend import CudaBackend
    from minicaffe.distributed.communicator import Communicator
    from minicaffe.ops.backend import Backend
    from minicaffe.schema import SolverParameter


class BackendFlags(Flags):
    """Flags of commands that compute."""

    gpu: str = flag(
        metavar="ID",
        help="number of the GPU to use (default: compute on the CPU); all, or several as in 0,1: "
        "train in one process for each",
    )
    backend: str = flag(
        choices=("auto", *BACKENDS),
        default="auto",
        help="onednn: fast on a CPU; reference: NumPy; cuda: a GPU; auto: the fastest on this CPU",
    )
    precision: str | None = flag(
        choices=PRECISIONS,
        help="type of the factors of convolutions and inner products: fp32 (default on a CPU), "
        "tf32 (default on a GPU), bf16, or on a GPU fp16; parameters stay float32",
    )
    threads: int | None = flag(
        at_least=1,
        metavar="N",
        help="number of threads of every call (default: the physical cores, divided by the "
        "processes on them; one for calls of little work)",
    )
    no_graph: bool = flag(
        help="on a GPU, launch each kernel instead of capturing iterations as CUDA graphs"
    )
    strict_backend: bool = flag(
        help="refuse a net with an op that only the reference backend can compute"
    )


def choose_backend(
    flags: BackendFlags,
    solver: SolverParameter | None = None,
    model: str = "",
    communicator: Communicator | None = None,
) -> Backend:
    """Return the backend that the flags and, for train, the solver select.

    ``solver_mode: GPU`` in a solver is a preference: if there is no GPU, a warning gives the
    reason and the CPU is used. So is ``default_forward_type: FLOAT16`` in a net.

    Parameters
    ----------
    flags : BackendFlags
    solver : SolverParameter, optional
        For train.
    model : str
        The net's prototxt, for other commands.
    communicator : Communicator, optional
        The processes of a training; each of them takes a GPU of its own.

    Raises
    ------
    UsageError
        If --gpu is not a number or contradicts --backend.
    BackendUnavailable
        If --gpu selects a GPU that cannot be used, or not as many GPUs as there are processes on
        this machine, or if the backend does not support --precision.
    """
    number = selected_gpu(flags.gpu, flags.backend, communicator)
    wants_half = flags.precision is None and asks_for_half(model, solver)
    gpu_precision = "fp16" if wants_half else flags.precision
    prefers_gpu = solver is not None and _prefers_gpu(solver)
    if number is None and flags.no_graph and not prefers_gpu:
        logger.warning("--no_graph has no effect on the CPU. Remove it, or select a GPU: --gpu=0")
    if number is not None:
        try:
            return _open_gpu(flags, number, gpu_precision, trains=solver is not None)
        except BackendUnavailable as error:
            raise BackendUnavailable(f"--gpu={flags.gpu or number}: {error}") from error
    if flags.backend == "auto" and solver is not None and prefers_gpu:
        try:
            number = preferred_gpu(solver.device_id, communicator)
            return _open_gpu(flags, number, gpu_precision, trains=True)
        except BackendUnavailable as error:
            logger.warning(f"solver_mode: GPU, but {error} Training on the CPU.")
    logger.info("Use CPU.")
    return _open_cpu(flags, wants_half, threads_of_rank(flags.threads, communicator))


def _open_cpu(flags: BackendFlags, wants_half: bool, threads: int | None) -> Backend:
    backend = get_backend(
        flags.backend,
        strict=flags.strict_backend,
        threads=threads,
        precision=flags.precision,
    )
    logger.info(f"Computing with {backend.description}.")
    if wants_half:
        logger.warning(
            "default_forward_type: FLOAT16 has no effect on the CPU, which has no half precision. "
            "--precision=bf16 is alike on CPUs that support it."
        )
    return backend


def _prefers_gpu(solver: SolverParameter) -> bool:
    """Return whether a solver sets GPU explicitly, because GPU is also the schema's default."""
    return solver.HasField("solver_mode") and solver.solver_mode == solver.GPU


def _open_gpu(flags: BackendFlags, number: int, precision: str | None, trains: bool) -> Backend:
    backend = cast(
        "CudaBackend",
        get_backend(
            "cuda",
            strict=flags.strict_backend,
            threads=flags.threads,
            precision=precision,
            gpu=number,
            graph=not flags.no_graph,
        ),
    )
    # Caffe's train and its other commands log this in different words.
    if trains:
        logger.info(f"Using GPUs {number}")
        logger.info(f"GPU {number}: {backend.device.name}")
    else:
        logger.info(f"Use GPU with device ID {number}")
        logger.info(f"GPU device name: {backend.device.name}")
    logger.info(f"Computing with {backend.description}.")
    return backend
