"""The quantised net as files: a prototxt with Ristretto's types, and weights on the grid."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.atomic_file import write_atomically
from minicaffe.quantization.formats import Assignment, LayerFormats
from minicaffe.schema import LayerBlobs, NetParameter, format_prototxt
from minicaffe.weights.files import write_weights_file


def quantized_param(formats: LayerFormats, assignment: Assignment) -> NetParameter:
    """Return the net of all phases whose layers compute in the numbers of an assignment."""
    net = formats.net
    param = NetParameter()
    param.CopyFrom(net.whole)
    owners = {name: product for product in net.products.values() for name in product.names}
    for layer in param.layer:
        product = owners.get(layer.name)
        bits = assignment.get(product.name) if product else None
        if product is None or bits is None:
            continue
        layer.ClearField("quantization_param")
        if bits.weights is not None:
            formats.set_weights(layer, product, bits.weights)
        if bits.activations is not None:
            formats.set_activations(layer, bits.activations)
    return param


def write_quantized(
    prefix: str,
    formats: LayerFormats,
    assignment: Assignment,
    others: Sequence[LayerBlobs],
) -> None:
    """Write PREFIX.prototxt and PREFIX.caffemodel.

    Parameters
    ----------
    prefix : str
    formats : LayerFormats
    assignment : dict of str to Bits
    others : sequence of LayerBlobs
        Weights of layers that are not part of the TEST phase.
    """
    net = formats.net
    param = quantized_param(formats, assignment)
    with write_atomically(f"{prefix}.prototxt") as file:
        file.write(format_prototxt(param).encode())
    parameters = {name: list(blobs) for name, blobs in net.parameters.items()}
    for name, bits in assignment.items():
        if bits.weights is not None:
            parameters.update(formats.rounded(net.products[name], bits.weights))
    types = {layer.name: layer.type for layer in param.layer}
    layers = [LayerBlobs(name, types[name], blobs) for name, blobs in parameters.items()]
    write_weights_file(f"{prefix}.caffemodel", [*layers, *others], param.name)
