"""Nets of NVCaffe that ask for half precision: ``default_forward_type: FLOAT16``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # importing protobuf takes long, and few nets need it here
    from minicaffe.schema import SolverParameter

_FIELD = b"default_forward_type"


def asks_for_half(model: str, solver: SolverParameter | None) -> bool:
    """Return whether a net, or the one that a solver trains, asks for half precision.

    Parameters
    ----------
    model : str
        The net's prototxt; "" if there is a solver. A file that cannot be read asks for nothing,
        because who reads it next reports it.
    solver : SolverParameter or None
    """
    from minicaffe.schema import NetParameter, read_prototxt
    from minicaffe.schema.minicaffe_pb2 import FLOAT16

    if solver is not None:
        for inline in (solver.net_param, solver.train_net_param):
            if inline.default_forward_type == FLOAT16:
                return True
        model = solver.net or solver.train_net
    try:
        content = Path(model).read_bytes() if model else b""
    except (OSError, ValueError):
        return False
    if _FIELD not in content:
        return False
    return read_prototxt(model, NetParameter).message.default_forward_type == FLOAT16
