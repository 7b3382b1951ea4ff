"""Layers as pycaffe programs see them, and the base class of layers written in Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicaffe.host_blob import BlobVec, HostBlob, core_blobs
from minicaffe.net.step import Step


class Layer:
    """Base class of layers written in Python (type: "Python" in the prototxt).

    Override `setup`, `reshape`, `forward` and `backward`. The net sets the attributes before
    `setup` is called.

    Attributes
    ----------
    blobs : BlobVec
        The parameters; `setup` adds them with ``self.blobs.add_blob(*shape)``.
    param_str : str
        What the prototxt says in ``python_param { param_str: "..." }``; `param_str_` is the same.
    phase : int
        ``caffe.TRAIN`` or ``caffe.TEST``.
    type : str
        "Python".
    """

    blobs: BlobVec
    param_str: str
    param_str_: str
    phase: int
    type = "Python"

    def __init__(self, param: Any = None, *args: Any) -> None:
        """Take the LayerParameter that the net makes the layer from."""

    def setup(self, bottom: Sequence[HostBlob], top: Sequence[HostBlob]) -> None:
        """Check bottoms and settings, add parameters; called once."""

    def reshape(self, bottom: Sequence[HostBlob], top: Sequence[HostBlob]) -> None:
        """Give the tops their shapes; called before every forward pass."""

    def forward(self, bottom: Sequence[HostBlob], top: Sequence[HostBlob]) -> None:
        """Overwrite ``top[i].data``."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(self, bottom, top)")

    def backward(
        self,
        top: Sequence[HostBlob],
        propagate_down: Sequence[bool],
        bottom: Sequence[HostBlob],
    ) -> None:
        """Overwrite ``bottom[i].diff`` where `propagate_down[i]`; add to ``self.blobs[i].diff``."""
        raise NotImplementedError(
            f"{type(self).__name__} has no backward(self, top, propagate_down, bottom)"
        )


class BuiltinLayer:
    """A layer of a net that is not written in Python: its type and parameters."""

    def __init__(self, step: Step) -> None:
        self._step, self._layer = step, step.layer
        self.blobs = BlobVec(step.layer)

    @property
    def type(self) -> str:
        """The type in the prototxt, such as "Convolution"."""
        return self._layer.type

    def setup(self, bottom: Sequence[HostBlob], top: Sequence[HostBlob]) -> None:
        """Set the layer up for these blobs once more; parameters that it has stay as they are."""
        layer = self._layer
        blobs, needs = layer.blobs, layer.param_needs_diff
        layer.blobs, layer.param_needs_diff = [], []
        try:
            layer.setup(core_blobs(bottom), core_blobs(top))
        finally:
            layer.blobs, layer.param_needs_diff = blobs, needs
        self._step.reshape()

    def reshape(self, bottom: Sequence[HostBlob], top: Sequence[HostBlob]) -> None:
        """Give these tops the shapes that follow from these bottoms."""
        self._layer.reshape(core_blobs(bottom), core_blobs(top))
        # The net runs the layer on its own blobs, and together with those that it has fused.
        self._step.reshape()

    def __repr__(self) -> str:
        return f"Layer({self._layer.name!r}, {self.type}, {self.blobs!r})"
