"""Import of torchvision's weights into nets for BGR images with values from 0 to 255."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minicaffe.errors import Problems, SnapshotError
from minicaffe.schema import LayerBlobs, NetParameter
from minicaffe.torchvision_import.architectures import ARCHITECTURES
from minicaffe.torchvision_import.sketch import NetSketch
from minicaffe.torchvision_import.state_dict import read_state_dict

# Of torchvision's images, in the order red, green, blue; values from 0 to 1.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# GoogLeNet's weights come from TensorFlow; its model changes the normalisation to these.
_GOOGLENETS = (0.5, 0.5, 0.5)


def sketch_of(name: str, classes: int = 1000) -> NetSketch:
    """Return an architecture, with the output "prob".

    Parameters
    ----------
    name : str
        A key of `ARCHITECTURES`.
    classes : int
        The number of classes.
    """
    net = NetSketch(name)
    net.softmax(ARCHITECTURES[name](net, classes))
    return net


def import_torchvision(name: str, path: str | Path) -> tuple[NetParameter, list[LayerBlobs]]:
    """Return the net of an architecture and its weights from a file of torchvision.

    The net takes BGR images with values from 0 to 255: its first layer, a Scale, normalises them,
    and the filters of the next layer are in the order blue, green, red.

    Raises
    ------
    SnapshotError
        The file cannot be read, or its names and shapes are not those of the architecture; lists
        all that differ.
    MissingPackage
        The file needs the package safetensors, which is not installed.
    """
    arrays = {_current_name(key): x for key, x in read_state_dict(path).items()}
    last = list(sketch_of(name).shapes)[-1]  # the bias of the classes
    classes = arrays[last].size if last in arrays else 1000
    net = sketch_of(name, classes)
    _check(net, arrays, f"{path}: weights of {name}")
    first, layers = net.first_product(), []
    for layer in net.param.layer:
        blobs = [np.asarray(arrays[key], np.float32) for key in net.parameters.get(layer.name, [])]
        if layer.name == "normalize":
            blobs = _normalisation(name)
        if layer.name == first:
            blobs[0] = blobs[0][:, ::-1]
        if layer.name in net.norms:
            blobs.append(np.ones(1, np.float32))
        layers.append(LayerBlobs(layer.name, layer.type, blobs))
    return net.param, layers


def _current_name(key: str) -> str:
    """Return the present name of a parameter: DenseNet's files have norm.1 for norm1."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.(\d)", r"\1\2", key)


def _check(net: NetSketch, arrays: Mapping[str, npt.NDArray[np.generic]], what: str) -> None:
    problems = Problems(SnapshotError)
    for key, shape in net.shapes.items():
        if key not in arrays:
            problems.add(f'{what}: "{key}" is missing')
        elif arrays[key].shape != shape:
            problems.add(f'{what}: "{key}" must have the shape {shape}, it is {arrays[key].shape}')
    # GoogLeNet's auxiliary classifiers are for training; counters have no part in inference.
    unused = [
        key
        for key in arrays
        if key not in net.shapes and not re.match(r"aux\d\.|.*\.num_batches_tracked$", key)
    ]
    for key in unused:
        problems.add(f'{what}: "{key}" has no place in this architecture')
    problems.raise_if_any()


def _normalisation(name: str) -> list[npt.NDArray[np.float32]]:
    """Return factor and shift for blue, green and red from 0 to 255."""
    is_googlenet = name == "googlenet"
    mean = np.array(_GOOGLENETS if is_googlenet else _MEAN)[::-1]
    deviation = np.array(_GOOGLENETS if is_googlenet else _DEVIATION)[::-1]
    factor, shift = 1 / (255 * deviation), -mean / deviation
    return [factor.astype(np.float32), shift.astype(np.float32)]
