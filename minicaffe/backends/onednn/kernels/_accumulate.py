"""Adding to parameter gradients with primitives that can only overwrite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.ops.backend import Shape

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend


class Accumulator:
    """Runs a primitive straight into gradients that are still zero, else into a part to add."""

    def __init__(self, backend: OneDnnBackend) -> None:
        self._reorders = backend.reorders
        self._parts: dict[Shape, OneDnnTensor] = {}

    def __call__(
        self,
        compute: Callable[..., None],
        totals: Sequence[OneDnnTensor | None],
        shapes: Sequence[Shape],
    ) -> None:
        """Add what `compute` writes to each total; None is computed and forgotten.

        Parameters
        ----------
        compute : callable
            Takes as many tensors as there are totals, and overwrites them.
        totals : sequence of OneDnnTensor or None
            The gradients; different ones.
        shapes : sequence of tuple
            Of the tensors that take the place of totals.
        """
        parts = [
            total if total is not None and total.is_zero else self._part(shape)
            for total, shape in zip(totals, shapes, strict=False)
        ]
        compute(*parts)
        for total, part in zip(totals, parts, strict=True):
            if total is not None and part is not total:
                total.add(part)

    def _part(self, shape: Shape) -> OneDnnTensor:
        if shape not in self._parts:
            self._parts[shape] = OneDnnTensor(self._reorders, shape)
        return self._parts[shape]
