"""The ways to compute, by name: reference (NumPy), onednn (CPU), cuda (GPU).

A backend other than the reference one inherits from it and overrides what it does faster. Each is
imported when it is asked for, because loading its library takes time and may fail.
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
# What tensor cores multiply bfloat16 since.
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
        a line in the log says why.
    strict : bool
        Refuse ops for which there is no fast kernel, instead of computing them more slowly.
    threads : int, optional
        Default: the physical cores. On a GPU they decode pictures only.
    precision : str, optional
        One of `PRECISIONS`: what convolutions and inner products multiply, where it is not
        float32. Default: the backend's own, fp32 on the CPU, tf32 on a GPU.
    gpu : int
        For cuda: the number of the GPU.
    graph : bool
        For cuda: record iterations as CUDA graphs, instead of launching kernel by kernel.

    Raises
    ------
    BackendUnavailable
        If there is none of this name, or it cannot run here or in this precision.
    """
    if name not in (AUTO, *BACKENDS):
        raise BackendUnavailable(f'no backend "{name}". {nearest(name, (AUTO, *BACKENDS))}')
    if name == "cuda":
        return _on_gpu(gpu, precision, strict, graph, threads)
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
    """Return how many GPUs the cuda backend can choose from, at least one.

    Raises
    ------
    BackendUnavailable
        If there is none, or what is needed to use it is not installed.
    """
    from minicaffe.backends.cuda.driver.cupy_device import count_devices

    return count_devices()


def _on_gpu(
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
