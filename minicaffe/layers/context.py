"""What a layer knows of the net that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from minicaffe import fillers
from minicaffe.distributed.parts import UNDIVIDED, WorkShare
from minicaffe.ops.backend import Backend
from minicaffe.schema import FillerParameter


@dataclass(frozen=True)
class LayerContext:
    """The properties of a net that its layers use.

    Parameters
    ----------
    where : str
        File and line of the layer in the prototxt, for messages.
    is_training : bool
        Whether the phase is TRAIN.
    backend : Backend
        Plans the kernels.
    seed : int
        Seed of all random numbers of the net; each layer draws from streams named after it.
    share : WorkShare
        The part of the work that this process does, if several train the net.
    """

    where: str
    is_training: bool
    backend: Backend
    seed: int
    share: WorkShare = UNDIVIDED

    def is_zero(self, filler: FillerParameter) -> bool:
        """Return whether nothing has to be written for a filler: new tensors are zero."""
        return self.backend.free_bytes() is None and fillers.is_zero(filler)
