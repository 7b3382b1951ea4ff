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

__all__ = ["BACKENDS", "PRECISIONS", "get_backend"]

BACKENDS = ("onednn", "reference")
AUTO = "auto"
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")


def get_backend(
    name: str = AUTO,
    *,
    strict: bool = False,
    threads: int | None = None,
    precision: str | None = None,
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
        Default: the physical cores.
    precision : str, optional
        One of `PRECISIONS`: what convolutions and inner products multiply, where it is not
        float32. Default: the backend's own, fp32 on the CPU.

    Raises
    ------
    BackendUnavailable
        If there is none of this name, or it cannot run here or in this precision.
    """
    if name not in (AUTO, *BACKENDS):
        raise BackendUnavailable(f'no backend "{name}". {nearest(name, (AUTO, *BACKENDS))}')
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
