"""caffe.Layer, the base class of Python layers, and the facade of built-in layers."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.layers.host_blob import BlobVec, HostBlob, core_blobs
from minicaffe.net.step import Step
from minicaffe.schema import LayerParameter


class Layer:
    """Base class of layers written in Python (type: "Python" in the prototxt).

    Override `setup`, `reshape`, `forward` and `backward`. The net sets the attributes before
    `setup` is called.

    Attributes
    ----------
    blobs : BlobVec
        The parameters; `setup` adds them with ``self.blobs.add_blob(*shape)``.
    param_str : str
        The text of ``python_param { param_str: "..." }``; `param_str_` is an alias.
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

    def __init__(self, param: LayerParameter | None = None, *args: object) -> None:
        """Accept the LayerParameter from which the net creates the layer."""

    def setup(self, bottom: Sequence[HostBlob], top: Sequence[HostBlob]) -> None:
        """Check bottoms and settings and add parameters; called once."""

    def reshape(self, bottom: Sequence[HostBlob], top: Sequence[HostBlob]) -> None:
        """Reshape the tops; called before every forward pass."""

    def forward(self, bottom: Sequence[HostBlob], top: Sequence[HostBlob]) -> None:
        """Overwrite ``top[i].data``."""
        raise NotImplementedError(f"{type(self).__name__} has no forward(self, bottom, top)")

    def backward(
        self,
        top: Sequence[HostBlob],
        propagate_down: Sequence[bool],
        bottom: Sequence[HostBlob],
    ) -> None:
        """Overwrite ``bottom[i].diff`` if `propagate_down[i]`; add to ``self.blobs[i].diff``."""
        raise NotImplementedError(
            f"{type(self).__name__} has no backward(self, top, propagate_down, bottom)"
        )


class BuiltinLayer:
    """Type and parameters of a layer that is not written in Python."""

    def __init__(self, step: Step) -> None:
        self._step, self._layer = step, step.layer
        self.blobs = BlobVec(step.layer)

    @property
    def type(self) -> str:
        """The type in the prototxt, such as "Convolution"."""
        return self._layer.type

    def setup(self, bottom: Sequence[HostBlob], top: Sequence[HostBlob]) -> None:
        """Set the layer up again for these blobs; its parameters are unchanged."""
        layer = self._layer
        blobs, needs = layer.blobs, layer.param_needs_diff
        layer.blobs, layer.param_needs_diff = [], []
        try:
            layer.setup(core_blobs(bottom), core_blobs(top))
        finally:
            layer.blobs, layer.param_needs_diff = blobs, needs
        self._step.reshape()

    def reshape(self, bottom: Sequence[HostBlob], top: Sequence[HostBlob]) -> None:
        """Reshape these tops for the shapes of these bottoms."""
        self._layer.reshape(core_blobs(bottom), core_blobs(top))
        # The net runs the layer on the net's own blobs, possibly fused with other layers.
        self._step.reshape()

    def __repr__(self) -> str:
        return f"Layer({self._layer.name!r}, {self.type}, {self.blobs!r})"
