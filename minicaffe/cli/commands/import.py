"""Import a net and its weights from another framework: an ONNX file.

Convolutional nets as PyTorch, timm and Keras export them become a prototxt and a weights file.
Blobs and layers keep the names of tensors and nodes. --dialect names the Caffe that is to read the
files; what it has no layer for is refused, with the name of the node. --check runs onnxruntime and
minicaffe on the same random input; a difference above 1e-4, relative to the largest value of an
output, is a failure (exit code 1).

Example:
  minicaffe import onnx resnet18.onnx -o resnet18.prototxt resnet18.caffemodel --check
"""

from __future__ import annotations

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.flags import Flags, flag, positional
from minicaffe.onnx_import.check import compare_with_onnxruntime
from minicaffe.onnx_import.convert import import_onnx
from minicaffe.onnx_import.dialects import DIALECTS
from minicaffe.schema import format_prototxt
from minicaffe.weights.files import write_weights_file, writer_for


class ImportFlags(Flags):
    """Flags of the command."""

    source: str = positional(choices=["onnx"], help="what FILE is: onnx")
    file: str = positional(metavar="FILE", help="file to import")
    weights: str = positional(metavar="WEIGHTS", help="file to write: the weights")
    output: str = flag(
        *("-o", "--output"), required=True, metavar="NET", help="file to write: the net"
    )
    dialect: str = flag(
        default="bvlc", choices=list(DIALECTS), help="the Caffe that is to read the files"
    )
    check: bool = flag(help="compare the outputs with those of onnxruntime")


def run(flags: ImportFlags) -> int:
    """Convert, write, and check if asked for."""
    writer_for(flags.weights)  # fails before a large file is read
    imported = import_onnx(flags.file, flags.dialect)
    write_weights_file(flags.weights, imported.layers, imported.param.name)
    with write_atomically(flags.output) as file:
        file.write(format_prototxt(imported.param).encode())
    for note in imported.graph.notes:
        print(note)
    print(f"{flags.output}: {len(imported.param.layer)} layers")
    if not flags.check:
        return 0
    found = compare_with_onnxruntime(flags.file, imported.graph, flags.output, flags.weights)
    for difference in found:
        verdict = "" if difference.is_small else "  FAILED"
        print(f"{difference.name}: relative difference {difference.relative:.1e}{verdict}")
    return 0 if all(difference.is_small for difference in found) else 1
