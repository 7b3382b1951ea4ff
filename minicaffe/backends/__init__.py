"""Selection of a backend by name: reference (NumPy), onednn (CPU), cuda (GPU).

The other backends derive from the reference backend and override kernels. Each is imported when it
is selected, because loading its library takes time and may fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minicaffe.errors import BackendUnavailable, nearest
from minicaffe.log import logger

if TYPE_CHECKING:
    from minicaffe.ops.backend import Backend

__all__ = ["BACKENDS", "PRECISIONS", "count_gpus", "get_backend"]

BACKENDS = ("onednn", "reference", "cuda")
AUTO = "auto"
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")
# The first compute capability with bfloat16 tensor cores.
_BFLOAT16_CAPABILITY = (8, 0)


def get_backend(
    name: str = AUTO,
    *,
    strict: bool = False,
    threads: int | None = None,
    precision: str | None = None,
    gpu: int = 0,
    graph: bool = True,
) -> Backend:
    """Return a new backend.

    Parameters
    ----------
    name : str
        One of `BACKENDS`, or "auto": the fastest one that runs on this CPU. If that is not onednn,
        a log line gives the reason.
    strict : bool
        Raise `Unsupported` for ops without a fast kernel, instead of using a slower one.
    threads : int, optional
        Default: the number of physical cores. With a GPU they only decode images.
    precision : str, optional
        One of `PRECISIONS`: the type in which convolutions and inner products multiply. Default:
        fp32 on the CPU, tf32 on a GPU.
    gpu : int
        For cuda: the index of the GPU.
    graph : bool
        For cuda: capture iterations as CUDA graphs, instead of launching each kernel.

    Raises
    ------
    BackendUnavailable
        If the name is unknown, or the backend cannot run here or in this precision.
    """
    if name not in (AUTO, *BACKENDS):
        raise BackendUnavailable(f'no backend "{name}". {nearest(name, (AUTO, *BACKENDS))}')
    if name == "cuda":
        return _cuda_backend(gpu, precision, strict, graph, threads)
    if name != "reference":
        try:
            from minicaffe.backends.onednn import OneDnnBackend

            return OneDnnBackend(strict=strict, threads=threads, precision=precision)
        except BackendUnavailable as error:
            if name != AUTO or strict or precision not in (None, "fp32"):
                raise
            logger.info(f"Using the slower reference backend: {error}")
    from minicaffe.backends.reference import ReferenceBackend

    return ReferenceBackend(strict=strict, threads=threads, precision=precision)


def count_gpus() -> int:
    """Return the number of GPUs, at least one.

    Raises
    ------
    BackendUnavailable
        If there is none, or a required package is not installed.
    """
    from minicaffe.backends.cuda.driver.cupy_device import count_devices

    return count_devices()


def _cuda_backend(
    number: int, precision: str | None, strict: bool, graph: bool, threads: int | None
) -> Backend:
    from minicaffe.backends.cuda import CudaBackend
    from minicaffe.backends.cuda.driver.cupy_device import open_device

    device = open_device(number)
    if precision == "bf16" and device.capability < _BFLOAT16_CAPABILITY:
        capability = ".".join(map(str, device.capability))
        raise BackendUnavailable(
            f"GPU {number} ({device.name}, compute capability {capability}) cannot compute in "
            "bf16, which needs 8.0. Choose fp16 or fp32 with --precision."
        )
    return CudaBackend(device, precision, strict=strict, captures=graph, threads=threads)
