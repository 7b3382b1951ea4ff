"""What a layer knows of the net that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field

from minicaffe import fillers
from minicaffe.distributed.parts import UNDIVIDED, WorkShare
from minicaffe.ops.backend import Backend, K, NetChanges, Op, Tensor
from minicaffe.random import RandomStream
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
    changes : NetChanges
        One for all layers of the net, which count what they do.
    """

    where: str
    is_training: bool
    backend: Backend
    seed: int
    share: WorkShare = UNDIVIDED
    changes: NetChanges = field(default_factory=NetChanges)

    def plan(self, op: Op[K], *tensors: Tensor) -> K:
        """Return the backend's kernel for an op."""
        self.changes.count += 1
        return self.backend.plan(op, *tensors)

    def stream(self, name: str, n_draws: int) -> RandomStream:
        """Return a new random stream; `n_draws` is how often a forward pass draws from it."""
        parts = self.share.parts
        return RandomStream(self.seed, name, 0, parts.first, parts.n, n_draws)

    def is_zero(self, filler: FillerParameter) -> bool:
        """Return whether nothing has to be written for a filler: new tensors are zero."""
        return self.backend.free_bytes() is None and fillers.is_zero(filler)
