"""A layer with its blobs, as a net runs it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

from minicaffe.blob import Blob
from minicaffe.errors import DeviceMemoryError
from minicaffe.layers import Layer
from minicaffe.ops.backend import Shape


class Step:
    """A layer with its blobs: what a net runs.

    Attributes
    ----------
    layer : Layer
    bottom, top : list of Blob
    loss_weights : list of float
        One for each top; not zero for a loss.
    needs_backward : bool
        Whether the backward pass calls this layer.
    propagate_down : list of bool
        Whether each bottom gets a gradient.
    fused : list of Step
        The steps that this one does on the way.
    is_fused : bool
        Whether an earlier step does this one's forward pass; see `minicaffe.net.fusion`.
    is_fused_backward : bool
        Whether that step does its backward pass as well.
    """

    def __init__(
        self, layer: Layer, bottom: list[Blob], top: list[Blob], loss_weights: list[float]
    ) -> None:
        self.layer, self.bottom, self.top = layer, bottom, top
        self.loss_weights = loss_weights
        self.needs_backward = False
        self.propagate_down = [False] * len(bottom)
        self.is_fused = self.is_fused_backward = False
        self._lock = nullcontext() if layer.releases_lock else layer.context.backend.lock
        self._shapes: list[Shape] = []
        self.fused: Sequence[Step] = ()
        self._next: Sequence[Step] = ()

    def fuse(self, steps: Sequence[Step]) -> None:
        """Do what these steps do as well, as far as possible, and nothing else.

        The choice outlives a reshape, which plans a new kernel.
        """
        for step in self._next:
            step.is_fused = step.is_fused_backward = False
        self._next = steps
        with self._lock:
            n = self.layer.fuse([f for step in steps if (f := step.layer.epilogue_op())])
        for i, step in enumerate(steps):
            step.is_fused = i < n
            step.is_fused_backward = i < n and self.layer.fuses_backward
        self.fused = steps[:n]

    def setup(self) -> None:
        """Have the layer make its parameters, then shape its tops."""
        with self._lock:
            self.layer.setup(self.bottom, self.top)
        self.reshape()

    def reshape(self) -> None:
        """Have the layer shape its tops and plan; write the loss weights where it reads them."""
        with self._lock:
            self.layer.reshape(self.bottom, self.top)
        if self._next:
            self.fuse(self._next)
        self._shapes = [blob.shape for blob in self.bottom]
        for blob, weight in zip(self.top, self.loss_weights, strict=True):
            if weight:
                blob.diff.write()[...] = weight

    def forward(self) -> None:
        """Run the layer, after reshaping it if a bottom changed its shape."""
        try:
            if [blob.shape for blob in self.bottom] != self._shapes:
                self.reshape()
            if not self.is_fused:
                with self._lock:
                    self.layer.forward(self.bottom, self.top)
        except DeviceMemoryError as error:
            raise name_layer(error, self.layer) from error

    def recompute_forward(self) -> None:
        """Run this layer and those that it has fused forward again, one by one."""
        fused = self.fused
        self.fuse([])
        with self._lock:
            self.layer.recompute_forward(self.bottom, self.top)
        for step in fused:
            step.forward()

    def backward(self) -> None:
        """Run the layer backward, if anybody wants that."""
        if not self.needs_backward or self.is_fused_backward:
            return
        try:
            with self._lock:
                self.layer.backward(self.top, self.propagate_down, self.bottom)
        except DeviceMemoryError as error:
            raise name_layer(error, self.layer) from error


def name_layer(error: DeviceMemoryError, layer: Layer) -> DeviceMemoryError:
    """Return the error with the layer that wanted the memory."""
    return DeviceMemoryError(f"{layer.where}: {error}")
