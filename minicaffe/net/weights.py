"""Reading and writing the weights of nets: .caffemodel and .caffemodel.h5 files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minicaffe.atomic_file import write_atomically
from minicaffe.blob import Blob
from minicaffe.errors import Problems, SnapshotError
from minicaffe.layers import Layer
from minicaffe.log import logger
from minicaffe.net.net import Net
from minicaffe.ops.backend import Shape
from minicaffe.schema import read_net_weights, write_net_weights

Floats = npt.NDArray[np.float32]


def copy_trained_layers(net: Net, *paths: str | Path) -> None:
    """Copy weights from files into the layers of the same names.

    Layers that a file lacks keep their weights; layers that only the file has are logged. Later
    files override earlier ones. Nothing is copied unless everything fits.

    Raises
    ------
    SnapshotError
        If a file cannot be read, or weights do not fit; lists all that do not.
    """
    problems = Problems(SnapshotError)
    copies: list[tuple[Blob, Floats]] = []
    layers = {layer.name: layer for layer in net.layers}

    def fits(name: str, shapes: Sequence[Shape]) -> bool:
        layer = layers.get(name)
        return layer is not None and not _mismatch(layer, shapes)

    for path in paths:
        for source in read_net_weights(path, fits):
            layer = layers.get(source.name)
            if layer is None:
                logger.info(f"Ignoring source layer {source.name}")
                continue
            message = _mismatch(layer, [blob.shape for blob in source.blobs])
            if message:
                problems.add(f"{path}: {message}")
            else:
                copies.extend(zip(layer.blobs, source.blobs, strict=False))
    if problems.messages:
        problems.add(
            "To start a layer anew, rename it in the prototxt; its weights are then left out."
        )
    problems.raise_if_any()
    for blob, values in copies:
        blob.data.set(values.reshape(blob.shape))
    if net.non_finite is not None:
        net.non_finite.clear()


def _mismatch(layer: Layer, shapes: Sequence[Shape]) -> str:
    """Return why weights of these shapes do not fit a layer; an empty string if they do."""
    where = f'layer "{layer.name}" ({layer.type})'
    if shapes and len(shapes) != len(layer.blobs):
        return f"{where} has {len(layer.blobs)} parameters in the net and {len(shapes)} in the file"
    differing = [
        f"parameter {i} is {blob.shape} in the net and {shape} in the file"
        for i, (blob, shape) in enumerate(zip(layer.blobs, shapes, strict=False))
        if not same_shape(blob.shape, shape)
    ]
    return f"{where}: {'; '.join(differing)}" if differing else ""


def same_shape(shape: Shape, stored: Sequence[int]) -> bool:
    """Return whether shapes are equal except for leading ones.

    Files from before N-D blobs hold every array with four axes: (1, 1, 500, 800) for (500, 800).
    """
    return _without_leading_ones(shape) == _without_leading_ones(tuple(stored))


def _without_leading_ones(shape: Shape) -> Shape:
    first = next((i for i, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:]


def save_net(net: Net, path: str | Path, diffs: bool = False, hdf5: bool | None = None) -> None:
    """Write a net with its weights; an existing file is replaced atomically.

    Parameters
    ----------
    net : Net
        The net.
    path : str or Path
        The file.
    diffs : bool
        Whether to write the gradients too.
    hdf5 : bool, optional
        Whether to write HDF5; by default if the name ends in .h5.

    Raises
    ------
    SnapshotError
        If the file cannot be written; an existing file is then unchanged.
    """
    arrays = [
        (
            index,
            [blob.data.get() for blob in layer.blobs],
            [blob.diff.get() for blob in layer.blobs] if diffs else None,
        )
        for index, layer in enumerate(net.layers)
        if layer.blobs
    ]
    param = type(net.param)()
    param.CopyFrom(net.param)
    del param.layer[:]
    param.layer.extend(layer.param for layer in net.layers)
    as_hdf5 = Path(path).suffix == ".h5" if hdf5 is None else hdf5
    with write_atomically(path) as file:
        write_net_weights(file, param, arrays, as_hdf5)
