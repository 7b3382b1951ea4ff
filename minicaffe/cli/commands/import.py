"""Import a net and its weights from ONNX or torchvision.

import onnx FILE -o NET WEIGHTS: convolutional nets as PyTorch, timm and Keras export them. Blobs
and layers keep the names of tensors and nodes. --dialect names the Caffe that is to read the files;
what it has no layer for is refused, with the name of the node. --check runs onnxruntime and
minicaffe on the same random input; a difference above 1e-4, relative to the largest value of an
output, is a failure (exit code 1).

import torchvision NAME FILE -o NET WEIGHTS: weights of an architecture of torchvision, such as
resnet18, from a .safetensors or .pth file that you have. The net takes BGR images of 224 x 224
pixels with values from 0 to 255 and normalises them itself: subtract no mean and set no scale.

Example:
  minicaffe import onnx resnet18.onnx -o resnet18.prototxt resnet18.caffemodel --check
  minicaffe import torchvision resnet18 resnet18.pth -o resnet18.prototxt resnet18.caffemodel
"""

from __future__ import annotations

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.flags import Flags, flag, positional
from minicaffe.errors import UsageError, nearest
from minicaffe.onnx_import.check import compare_with_onnxruntime
from minicaffe.onnx_import.convert import import_onnx
from minicaffe.onnx_import.dialects import DIALECTS
from minicaffe.schema import LayerBlobs, NetParameter, format_prototxt
from minicaffe.torchvision_import.architectures import ARCHITECTURES
from minicaffe.torchvision_import.convert import import_torchvision
from minicaffe.weights.files import write_weights_file, writer_for

_WORDS = {"onnx": ["FILE", "WEIGHTS"], "torchvision": ["NAME", "FILE", "WEIGHTS"]}


class ImportFlags(Flags):
    """Flags of the command."""

    source: str = positional(choices=list(_WORDS), help="what to import: onnx or torchvision")
    words: list[str] = positional(
        nargs="+",
        metavar="[NAME] FILE WEIGHTS",
        help="architecture of torchvision, file to import, weights to write",
    )
    output: str = flag(
        "--output",
        "-o",
        *("-o", "--output"),
        required=True,
        metavar="NET",
        help="file to write: the net",
    )
    dialect: str = flag(
        choices=list(DIALECTS),
        help="with onnx: the Caffe that is to read the files (default: bvlc)",
    )
    check: bool = flag(help="with onnx: compare the outputs with those of onnxruntime")


def run(flags: ImportFlags) -> int:
    """Convert, write, and check if asked for."""
    wanted = _WORDS[flags.source]
    if len(flags.words) != len(wanted):
        raise UsageError(
            f"{flags.source} takes {' '.join(wanted)}; these are {len(flags.words)} arguments"
        )
    writer_for(flags.words[-1])  # fails before a large file is read
    return _run_onnx(flags) if flags.source == "onnx" else _run_torchvision(flags)


def _run_onnx(flags: ImportFlags) -> int:
    path, weights = flags.words
    imported = import_onnx(path, flags.dialect or "bvlc")
    _write(flags, imported.param, imported.layers)
    for note in imported.graph.notes:
        print(note)
    if not flags.check:
        return 0
    found = compare_with_onnxruntime(path, imported.graph, flags.output, weights)
    for difference in found:
        verdict = "" if difference.is_small else "  FAILED"
        print(f"{difference.name}: relative difference {difference.relative:.1e}{verdict}")
    return 0 if all(difference.is_small for difference in found) else 1


def _run_torchvision(flags: ImportFlags) -> int:
    if flags.dialect or flags.check:
        raise UsageError("--dialect and --check are for onnx; torchvision's nets are for bvlc")
    name, path, _ = flags.words
    if name not in ARCHITECTURES:
        raise UsageError(f"no architecture {name}. {nearest(name, ARCHITECTURES)}")
    _write(flags, *import_torchvision(name, path))
    print('input "data": BGR, values from 0 to 255; the net subtracts the mean itself')
    return 0


def _write(flags: ImportFlags, net: NetParameter, layers: list[LayerBlobs]) -> None:
    write_weights_file(flags.words[-1], layers, net.name)
    with write_atomically(flags.output) as file:
        file.write(format_prototxt(net).encode())
    print(f"{flags.output}: {len(net.layer)} layers")
