"""Accumulation into parameter gradients with primitives that can only overwrite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.backend import Shape

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend


class Accumulator:
    """Computes directly into gradients that are still zero, else into a temporary that is added."""

    def __init__(self, backend: OneDnnBackend) -> None:
        self._reorders = backend.reorders
        self._temporaries: dict[Shape, OneDnnTensor] = {}

    def __call__(
        self,
        compute: Callable[..., None],
        totals: Sequence[OneDnnTensor | None],
        shapes: Sequence[Shape],
    ) -> None:
        """Add the results of `compute` to the totals.

        Parameters
        ----------
        compute : callable
            Takes as many tensors as there are totals, and overwrites them.
        totals : sequence of OneDnnTensor or None
            The gradients, all different; a result whose total is None is discarded.
        shapes : sequence of tuple
            The shapes of the temporaries, all different.
        """
        results = [
            total if total is not None and total.is_zero else self._temporary(shape)
            for total, shape in zip(totals, shapes, strict=False)
        ]
        compute(*results)
        for total, result in zip(totals, results, strict=True):
            if total is not None and result is not total:
                total.add(result)

    def _temporary(self, shape: Shape) -> OneDnnTensor:
        if shape not in self._temporaries:
            self._temporaries[shape] = OneDnnTensor(self._reorders, shape)
        return self._temporaries[shape]
