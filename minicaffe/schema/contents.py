"""Contents of weights files and solver state files, independent of the file format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy.typing as npt

from minicaffe.schema.blobs import Floats

# One layer's arrays to be written: index in the net, data, and diff if gradients are saved.
LayerArrays = tuple[int, Sequence[npt.ArrayLike], Sequence[npt.ArrayLike] | None]
# A parameter: the index of its layer in the net, and its own in the layer.
ParameterIndex = tuple[int, int]


# Decides by a layer's name and the shapes of its blobs, by index, whether their values are read.
IsWanted = Callable[[str, Mapping[int, tuple[int, ...]]], bool]


def all_layers(name: str, shapes: Mapping[int, tuple[int, ...]]) -> bool:
    """Return True: have the values of all layers read."""
    return True


@dataclass(frozen=True)
class LayerBlobs:
    """The weights of one layer in a file.

    Attributes
    ----------
    name, type : str
        As in the file; the type is "" for HDF5 files, which do not store it.
    blobs : list of ndarray
        float32, read-only, in the shapes of the file.
    indices : tuple of int
        Which parameter of the layer each blob is; by default all in order. An HDF5 file leaves out
        parameters that the layer shares with an earlier one.
    """

    name: str
    type: str
    blobs: list[Floats]
    indices: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.indices:
            object.__setattr__(self, "indices", tuple(range(len(self.blobs))))


@dataclass(frozen=True)
class SolverStateFile:
    """The content of a .solverstate: iteration, weights file and optimiser history.

    Attributes
    ----------
    iter : int
        Iterations done.
    learned_net : str
        Path of the weights file of the same snapshot.
    current_step : int
        How often lr_policy "step", "multistep" or "plateau" has lowered the learning rate.
    history : list of ndarray
        float32: the optimiser's history (momentum and the like), in Caffe's order.
    minimum_loss : float or None
        For lr_policy "plateau": the smallest smoothed loss.
    iter_last_event : int
        For lr_policy "plateau": the iteration of the last minimum or reduction.
    """

    iter: int
    learned_net: str
    current_step: int = 0
    history: list[Floats] = field(default_factory=list)
    minimum_loss: float | None = None
    iter_last_event: int = 0
