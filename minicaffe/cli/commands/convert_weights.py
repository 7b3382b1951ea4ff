"""Convert weights between .caffemodel, .h5, .npz and .safetensors.

The extension of OUTPUT chooses the format. In .npz and .safetensors files an array is named
LAYER/INDEX: conv1/0 has the weights of layer conv1, conv1/1 its bias. Values are written as
float32. The types of layers are kept in .caffemodel and .safetensors files.

Example:
  minicaffe convert_weights lenet_iter_10000.caffemodel lenet.safetensors
"""

from __future__ import annotations

from minicaffe.cli.flags import Flags, positional
from minicaffe.cli.options.files import weights_files
from minicaffe.errors import SnapshotError
from minicaffe.weights.files import read_weights_file, write_weights_file, writer_for


class ConvertWeightsFlags(Flags):
    """Flags of the command."""

    input: str = positional(
        metavar="INPUT", type=weights_files, help="weights to read, or RUN/best"
    )
    output: str = positional(metavar="OUTPUT", help="file to write")


def run(flags: ConvertWeightsFlags) -> int:
    """Read, write, and print what was written."""
    writer_for(flags.output)  # fails before a large file is read
    layers = read_weights_file(flags.input)
    n_arrays = sum(len(layer.blobs) for layer in layers)
    if not n_arrays:
        raise SnapshotError(f"{flags.input}: contains no weights")
    write_weights_file(flags.output, layers)
    n_layers = sum(bool(layer.blobs) for layer in layers)
    n_values = sum(blob.size for layer in layers for blob in layer.blobs)
    print(f"{flags.output}: {n_layers} layers, {n_arrays} arrays, {n_values:,} values")
    return 0
