"""The trained parameters of a net to export, as arrays that several traces share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import cast

from minicaffe import log
from minicaffe.errors import NetError
from minicaffe.net.net import Net
from minicaffe.net.weights import same_shape
from minicaffe.onnx_export.backend import TraceBackend
from minicaffe.onnx_export.graph import OnnxGraph
from minicaffe.onnx_export.tensor import TraceTensor
from minicaffe.schema import LayerBlobs, NetSource, NetState


def build_net(
    source: NetSource, state: NetState, graph: OnnxGraph, fill_weights: Callable[[Net], object]
) -> Net:
    """Return a net that writes into a graph when it runs, with its parameters.

    Fillers write those parameters only that `fill_weights` does not write.

    Raises
    ------
    NetError
        If the net cannot be built.
    """
    with log.suppress_info():
        net = Net(source, state, backend=TraceBackend(graph), seed=0, fills=False)
    try:
        fill_weights(net)
    except BaseException:
        net.close()
        raise
    for layer in net.layers:
        for index, blob in enumerate(layer.blobs):
            if cast(TraceTensor, blob.data).value.is_given:
                layer.drop_filler(index)
    net.fill()
    return net


def trained_parameters(
    source: NetSource, state: NetState, fill_weights: Callable[[Net], object]
) -> list[LayerBlobs]:
    """Return the parameters of each layer that has any, in the order of the layer.

    Read-only arrays that `fill_weights` writes into the net are returned themselves.

    Raises
    ------
    NetError
        If the net cannot be built, or two layers with parameters have one name.
    """
    found: dict[str, LayerBlobs] = {}
    with closing(build_net(source, state, OnnxGraph(0), fill_weights)) as net:
        for layer in net.layers:
            if layer.blobs and layer.name in found:
                raise NetError(
                    f"{layer.where}: another layer with parameters has this name, by which "
                    "weights are found. Rename one of them, in the weights as well."
                )
            if layer.blobs:
                arrays = [cast(TraceTensor, blob.data).freeze() for blob in layer.blobs]
                found[layer.name] = LayerBlobs(layer.name, layer.type, arrays)
    return list(found.values())


def copy_parameters(weights: Sequence[LayerBlobs], net: Net) -> None:
    """Write parameters into the layers of the same names.

    Raises
    ------
    NetError
        If the net has another number of samples than that of the parameters, and they depend on it.
    """
    by_name = {layer.name: layer.blobs for layer in weights}
    for layer in net.layers:
        for blob, values in zip(layer.blobs, by_name.get(layer.name, ()), strict=True):
            layer.require(
                same_shape(blob.shape, values.shape),
                "--batch dynamic is not possible, because the shape of a parameter depends on the "
                "number of samples. Give a number.",
            )
            blob.data.set(values.reshape(blob.shape))
