"""Reading and writing the weights of nets: .caffemodel and .caffemodel.h5 files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from minicaffe.schema import LayerBlobs, ParameterIndex, read_net_weights, write_net_weights

Floats = npt.NDArray[np.float32]


def copy_trained_layers(net: Net, *paths: str | Path) -> None:
    """Copy weights from files into the layers of the same names.

    Layers that a file lacks keep their weights; layers that only the file has are logged. A file
    may lack parameters that an earlier layer owns. Later files override earlier ones. Nothing is
    copied unless everything fits.

    Raises
    ------
    SnapshotError
        If a file cannot be read, or weights do not fit; lists all that do not.
    """
    problems = Problems(SnapshotError)
    copies: list[tuple[Blob, Floats]] = []
    layers = {layer.name: (index, layer) for index, layer in enumerate(net.layers)}
    shared = _shared(net)
    for path in paths:
        for source in read_net_weights(path):
            if source.name not in layers:
                logger.info(f"Ignoring source layer {source.name}")
                continue
            index, layer = layers[source.name]
            message = _mismatch(layer, source, {k for i, k in shared if i == index})
            if message:
                problems.add(f"{path}: {message}")
            else:
                copies.extend(
                    (layer.blobs[k], values)
                    for k, values in zip(source.indices, source.blobs, strict=True)
                )
    if problems.messages:
        problems.add(
            "To start a layer anew, rename it in the prototxt; its weights are then left out."
        )
    problems.raise_if_any()
    for blob, values in copies:
        blob.data.set(values.reshape(blob.shape))
    if net.non_finite is not None:
        net.non_finite.clear()


def _mismatch(layer: Layer, source: LayerBlobs, shared: set[int]) -> str:
    """Return why the weights of a layer do not fit; an empty string if they do.

    The file may lack the `shared` parameters, which an earlier layer owns.
    """
    where = f'layer "{layer.name}" ({layer.type})'
    n = len(layer.blobs)
    if source.blobs and {*source.indices, *shared} != set(range(n)):
        return f"{where} has {n} parameters in the net and {len(source.blobs)} in the file"
    differing = [
        f"parameter {i} is {layer.blobs[i].shape} in the net and {values.shape} in the file"
        for i, values in zip(source.indices, source.blobs, strict=True)
        if not same_shape(layer.blobs[i].shape, values.shape)
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


def save_net(
    net: Net,
    path: str | Path,
    diffs: bool = False,
    hdf5: bool | None = None,
    before_replace: Callable[[], object] | None = None,
) -> None:
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
    before_replace : callable, optional
        See `write_atomically`.

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
    param = type(net.param)(name=net.name)
    for step in net.steps:
        saved = param.layer.add()
        saved.CopyFrom(step.layer.param)
        if any(step.loss_weights) and not saved.loss_weight:
            saved.loss_weight.extend(step.loss_weights)
    as_hdf5 = Path(path).suffix == ".h5" if hdf5 is None else hdf5
    with write_atomically(path, before_replace) as file:
        write_net_weights(file, param, arrays, as_hdf5, _shared(net))


def _shared(net: Net) -> set[ParameterIndex]:
    """Return the parameters that an earlier layer owns."""
    owned = {(parameter.layer, parameter.index) for parameter in net.parameters}
    return {
        (i, k)
        for i, layer in enumerate(net.layers)
        for k in range(len(layer.blobs))
        if (layer, k) not in owned
    }
