"""Contents of weights files and solver state files, whichever format stores them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy.typing as npt

from minicaffe.schema.blobs import Floats

# One layer's arrays for writing: index in the net, data, and diff where it is to be saved.
LayerArrays = tuple[int, Sequence[npt.ArrayLike], Sequence[npt.ArrayLike] | None]


@dataclass(frozen=True)
class LayerBlobs:
    """The weights of one layer in a file.

    Attributes
    ----------
    name, type : str
        As in the file; HDF5 files hold no type.
    blobs : list of ndarray
        float32, read-only, in the shapes of the file.
    """

    name: str
    type: str
    blobs: list[Floats]


@dataclass(frozen=True)
class SolverStateFile:
    """Where training stood: the content of a .solverstate.

    Attributes
    ----------
    iter : int
        Iterations done.
    learned_net : str
        Path of the weights that belong to it.
    current_step : int
        How often lr_policy "step" or "multistep" has lowered the rate.
    history : list of ndarray
        float32: what the optimiser remembers, in Caffe's order.
    """

    iter: int
    learned_net: str
    current_step: int = 0
    history: list[Floats] = field(default_factory=list)
