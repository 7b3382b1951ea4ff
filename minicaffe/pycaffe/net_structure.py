"""Structure of a pycaffe Net: its blobs, parameters and layers by name and by number."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from functools import cached_property

from minicaffe.blob import Blob as CoreBlob
from minicaffe.layers.host_blob import BlobVec, HostBlob, host_blobs
from minicaffe.layers.python_layer import Python
from minicaffe.net import Net as CoreNet
from minicaffe.pycaffe.layer import BuiltinLayer, Layer
from minicaffe.pycaffe.misuse import NamedItems


class NetStructure:
    """The attributes of `Net` that describe it without running it."""

    def _attach(self, core: CoreNet) -> None:
        self._net = core
        self._warned_of: set[str] = set()
        # Caffe numbers blobs in the order of the layers that have them as tops.
        by_id = {id(blob): blob for step in core.steps for blob in step.top}
        self._core_blobs: list[CoreBlob] = list(by_id.values())
        self._ids = {key: number for number, key in enumerate(by_id)}
        self._blobs = host_blobs(self._core_blobs)
        self._layers: list[Layer | BuiltinLayer] = [
            step.layer.user if isinstance(step.layer, Python) else BuiltinLayer(step)
            for step in core.steps
        ]

    @cached_property
    def blobs(self) -> OrderedDict[str, HostBlob]:
        """The blobs between the layers by name, in the order of the layers that produce them."""
        items = zip(self._blob_names, self._blobs, strict=True)
        return NamedItems(items, "blob", 'write blobs["{name}"].data[...] = x')

    @cached_property
    def params(self) -> OrderedDict[str, BlobVec]:
        """The parameters by layer name: ``params["conv1"][0].data`` are the weights of conv1."""
        layers = zip(self._net.layers, self._layers, strict=True)
        items = ((core.name, layer.blobs) for core, layer in layers if core.blobs)
        return NamedItems(items, "parameter", 'write params["{name}"][0].data[...] = x')

    @property
    def layers(self) -> list[Layer | BuiltinLayer]:
        """The layers in execution order; for a Python layer, the user's object."""
        return self._layers

    @cached_property
    def layer_dict(self) -> OrderedDict[str, Layer | BuiltinLayer]:
        """The layers by name."""
        items = zip(self._layer_names, self._layers, strict=True)
        return NamedItems(items, "layer", "change the prototxt and make a new net")

    @cached_property
    def inputs(self) -> list[str]:
        """Names of the blobs that the user fills."""
        return [blob.name for blob in self._net.inputs]

    @cached_property
    def outputs(self) -> list[str]:
        """Names of the blobs that no layer reads, sorted."""
        return [blob.name for blob in self._net.outputs]

    @cached_property
    def top_names(self) -> OrderedDict[str, list[str]]:
        """Names of the tops of each layer."""
        return OrderedDict(
            (step.layer.name, [blob.name for blob in step.top]) for step in self._net.steps
        )

    @cached_property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        """Names of the bottoms of each layer."""
        return OrderedDict(
            (step.layer.name, [blob.name for blob in step.bottom]) for step in self._net.steps
        )

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        """Weight of each blob in the loss; 0 for most blobs."""
        weights = dict.fromkeys(self._blob_names, 0.0)
        for step in self._net.steps:
            for blob, weight in zip(step.top, step.loss_weights, strict=True):
                weights[blob.name] = weight or weights[blob.name]
        return OrderedDict(weights)

    @property
    def _blob_loss_weights(self) -> list[float]:
        return list(self.blob_loss_weights.values())

    @property
    def _layer_names(self) -> list[str]:
        return [layer.name for layer in self._net.layers]

    @property
    def _blob_names(self) -> list[str]:
        return [blob.name for blob in self._core_blobs]

    @property
    def _inputs(self) -> list[int]:
        return self._numbers(self._net.inputs)

    @property
    def _outputs(self) -> list[int]:
        return self._numbers(self._net.outputs)

    def _top_ids(self, layer: int) -> list[int]:
        return self._numbers(self._net.steps[layer].top)

    def _bottom_ids(self, layer: int) -> list[int]:
        return self._numbers(self._net.steps[layer].bottom)

    def _numbers(self, blobs: Iterable[CoreBlob]) -> list[int]:
        return [self._ids[id(blob)] for blob in blobs]
