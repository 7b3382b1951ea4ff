"""The ways to compute, by name: reference (NumPy), onednn (CPU), cuda (GPU).

A backend other than the reference one inherits from it and overrides what it does faster.
"""

from __future__ import annotations

from minicaffe.backends.reference import ReferenceBackend
from minicaffe.errors import BackendUnavailable, nearest
from minicaffe.ops.backend import Backend

__all__ = ["BACKENDS", "get_backend"]

BACKENDS = ("reference",)


def get_backend(name: str = "reference") -> Backend:
    """Return a new backend.

    Raises
    ------
    BackendUnavailable
        If there is none of this name, or it cannot run here.
    """
    if name not in BACKENDS:
        raise BackendUnavailable(f'no backend "{name}". {nearest(name, BACKENDS)}')
    return ReferenceBackend()
