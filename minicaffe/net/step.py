"""One step of a net: a layer with its bottoms and tops."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import nullcontext

from minicaffe.blob import Blob, KeptBlob
from minicaffe.errors import MinicaffeError, OutOfMemory, SizeError
from minicaffe.layers import Layer
from minicaffe.ops.backend import Shape

# What a layer, its blobs and kernels raise if sizes are too large; the step names the layer.
_TOO_LARGE = (MemoryError, OutOfMemory, SizeError)


class Step:
    """A layer with its bottoms and tops, run under the backend's lock.

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
    fused : sequence of Step
        The steps whose ops are the epilogue of this one's kernel.
    is_fused : bool
        Whether an earlier step computes this one's forward pass; see `minicaffe.net.fusion`.
    is_fused_backward : bool
        Whether that step computes its backward pass as well.
    """

    def __init__(
        self, layer: Layer, bottom: list[Blob], top: list[Blob], loss_weights: list[float]
    ) -> None:
        self.layer, self.bottom, self.top = layer, bottom, top
        # What the layer is given: the blobs themselves, unless values must be kept for backward.
        self._given_bottom, self._backward_top = bottom, top
        self._kept_bottoms: Sequence[KeptBlob] = ()
        self._kept_tops: Sequence[KeptBlob] = ()
        self.loss_weights = loss_weights
        self.needs_backward = False
        self.propagate_down = [False] * len(bottom)
        self.is_fused = self.is_fused_backward = False
        self._lock = nullcontext() if layer.releases_lock else layer.context.backend.lock
        self._changes, self._is_unlocked = layer.context.changes, layer.releases_lock
        self._shapes: list[Shape] = []
        self.fused: Sequence[Step] = ()
        self._next: Sequence[Step] = ()

    def fuse(self, steps: Sequence[Step]) -> None:
        """Fuse as many of these steps as the backend can; unfuse the earlier ones.

        `reshape`, which plans a new kernel, fuses the same steps again.
        """
        for step in self._next:
            step.is_fused = step.is_fused_backward = False
        self._next = steps
        self._changes.count += 1
        with self._lock:
            n = self.layer.fuse([f for step in steps if (f := step.layer.epilogue_op())])
        for i, step in enumerate(steps):
            step.is_fused = i < n
            step.is_fused_backward = i < n and self.fuses_backward
        self.fused = steps[:n]

    @property
    def fuses_backward(self) -> bool:
        """Whether the layer computes the backward passes of fused steps, and runs backward."""
        return self.layer.fuses_backward and self.needs_backward and all(self.propagate_down)

    @property
    def keeps_values(self) -> bool:
        """Whether values are copied for the backward pass, or taken from another blob."""
        return self._given_bottom is not self.bottom or self._backward_top is not self.top

    @property
    def keeps_tops(self) -> bool:
        """Whether values of tops are copied after each forward pass."""
        return bool(self._kept_tops)

    def keep_values(
        self, bottoms: Collection[Blob], tops: Collection[Blob], signs: Blob | None = None
    ) -> None:
        """Keep values for the backward pass that later steps overwrite; replaces earlier ones.

        Parameters
        ----------
        bottoms : collection of Blob
            Bottoms whose values are copied; the layer runs on the copies.
        tops : collection of Blob
            Tops whose values backward reads.
        signs : Blob, optional
            A blob that the layer may read instead of its tops; by default these are copied.
        """
        copies = {blob: KeptBlob(blob) for blob in bottoms}
        kept = {blob: KeptBlob(blob, signs) for blob in tops}
        self._given_bottom = [copies.get(blob, blob) for blob in self.bottom]
        self._backward_top = [kept.get(blob, blob) for blob in self.top]
        self._kept_bottoms = tuple(copies.values())
        self._kept_tops = () if signs else tuple(kept.values())
        if copies:
            self.reshape()
        else:
            self._plan_copies(self._kept_tops)

    def setup(self) -> None:
        """Set the layer up: make its parameters, then shape its tops."""
        try:
            with self._lock:
                self.layer.setup(self.bottom, self.top)
            self._reshape()
        except _TOO_LARGE as error:
            raise _name_layer(error, self.layer) from error

    def fill(self) -> None:
        """Write initial values: the parameters', and those of tops that are not computed."""
        try:
            with self._lock:
                self.layer.fill(self.top)
        except _TOO_LARGE as error:
            raise _name_layer(error, self.layer) from error

    def reshape(self) -> None:
        """Shape the tops, plan the kernels, and write the loss weights to the tops' diffs."""
        try:
            self._reshape()
        except _TOO_LARGE as error:
            raise _name_layer(error, self.layer) from error

    def _reshape(self) -> None:
        self._changes.count += 1
        self._plan_copies(self._kept_bottoms)
        with self._lock:
            self.layer.reshape(self._given_bottom, self.top)
        self._plan_copies(self._kept_tops)
        if self._next:
            self.fuse(self._next)
        self._shapes = [blob.shape for blob in self.bottom]
        for blob, weight in zip(self.top, self.loss_weights, strict=True):
            if weight:
                blob.diff.write()[...] = weight

    def forward(self) -> None:
        """Run the layer forward, after reshaping it if a bottom changed its shape."""
        try:
            if [blob.shape for blob in self.bottom] != self._shapes:
                self._reshape()
            if self._kept_bottoms:
                self._copy(self._kept_bottoms)
            if not self.is_fused:
                self._count_run()
                with self._lock:
                    self.layer.forward(self._given_bottom, self.top)
            if self._kept_tops:
                self._copy(self._kept_tops)
        except _TOO_LARGE as error:
            raise _name_layer(error, self.layer) from error

    def repeat_forward(self) -> None:
        """Compute the tops again, as the last forward pass did, with no other effect."""
        if self.is_fused:
            return
        self._count_run()
        try:
            with self._lock:
                self.layer.recompute_forward(self._given_bottom, self.top)
        except _TOO_LARGE as error:
            raise _name_layer(error, self.layer) from error

    def recompute_forward(self, fused: Sequence[Step]) -> None:
        """Unfuse, and run the forward passes of steps that were fused, one by one.

        The top holds its present values afterwards, which later steps in place have computed.
        """
        self.fuse([])
        self._count_run()
        values = self.top[0].data.get()
        with self._lock:
            self.layer.recompute_forward(self._given_bottom, self.top)
        for step in fused:
            step.forward()
        self.top[0].data.set(values)

    def _count_run(self) -> None:
        self._changes.count += 1
        self._changes.effects += self._is_unlocked

    def _plan_copies(self, blobs: Sequence[KeptBlob]) -> None:
        with self._lock:
            for blob in blobs:
                blob.follow_shape()

    def _copy(self, blobs: Sequence[KeptBlob]) -> None:
        with self._lock:
            for blob in blobs:
                blob.keep()

    def backward(self) -> None:
        """Run the layer backward, if it takes part in the backward pass."""
        if not self.needs_backward or self.is_fused_backward:
            return
        self._count_run()
        try:
            with self._lock:
                self.layer.backward(self._backward_top, self.propagate_down, self._given_bottom)
        except _TOO_LARGE as error:
            raise _name_layer(error, self.layer) from error


def _name_layer(error: MemoryError | MinicaffeError, layer: Layer) -> MinicaffeError:
    """Return the error with the location of the layer that raised it."""
    if isinstance(error, MinicaffeError):
        named = type(error)(f"{layer.where}: {error}")
    else:
        named = OutOfMemory(
            f"{layer.where}: out of memory: {error}. Use a smaller batch_size and a larger "
            "iter_size, or smaller settings of this layer."
        )
    for note in getattr(error, "__notes__", ()):
        named.add_note(note)
    return named
