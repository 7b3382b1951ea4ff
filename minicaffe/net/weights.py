"""Reading and writing the weights of nets: .caffemodel and .caffemodel.h5 files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from minicaffe.atomic_file import write_atomically
from minicaffe.blob import Blob
from minicaffe.errors import Problems, SnapshotError, near
from minicaffe.fatal_signals import ReadCall, reading
from minicaffe.layers import Layer
from minicaffe.log import logger
from minicaffe.net.net import Net
from minicaffe.ops.backend import Shape
from minicaffe.schema import (
    TRAIN,
    LayerBlobs,
    ParameterIndex,
    read_net_weights,
    write_net_weights,
)

T = TypeVar("T")

Floats = npt.NDArray[np.float32]

_MOST_NAMES = 20  # of layers in a warning


def copy_trained_layers(net: Net, *paths: str | Path, optional: Collection[str] = ()) -> None:
    """Copy weights from files into the layers of the same names.

    Layers that no file has keep their weights, with a warning; layers that only a file has are
    logged. A file may lack parameters that an earlier layer owns. Later files override earlier
    ones. Nothing is copied unless everything fits.

    Parameters
    ----------
    net : Net
    *paths : str or Path
        .caffemodel or .caffemodel.h5 files.
    optional : collection of str
        Names of layers that are not warned of.

    Raises
    ------
    SnapshotError
        If a file cannot be read, or weights do not fit; lists all that do not.
    """
    problems = Problems(SnapshotError)
    copies: list[tuple[ReadCall, Blob, Floats]] = []
    layers = {layer.name: (index, layer) for index, layer in enumerate(net.layers)}
    shared = _shared(net)

    def mismatch(name: str, shapes: Mapping[int, Shape]) -> str:
        index, layer = layers[name]
        return _mismatch(layer, shapes, {k for i, k in shared if i == index})

    def fits(name: str, shapes: Mapping[int, Shape]) -> bool:
        return name in layers and not mismatch(name, _ordered(layers[name][1], shapes, shapes))

    names: dict[str, None] = {}
    for path in paths:
        for source in read_net_weights(path, fits):
            names.update({source.name: None} if source.blobs else {})
            if source.name not in layers:
                logger.info(f"Ignoring source layer {source.name}")
                continue
            layer, read = layers[source.name][1], reading(str(path))
            given = _parameters(layer, source)
            message = mismatch(source.name, {k: values.shape for k, values in given.items()})
            if message:
                problems.add(f"{path}: {message}")
            else:
                copies += [(read, layer.blobs[k], values) for k, values in given.items()]
    if problems.messages:
        problems.add(
            "To start a layer anew, rename it in the prototxt; its weights are then left out."
        )
    problems.raise_if_any()
    for read, blob, values in copies:
        read(blob.data.set, values.reshape(blob.shape))
    if net.non_finite is not None:
        net.non_finite.clear()
    filled = {id(blob.data_owner) for _, blob, _ in copies}
    missing = _layers_with_others(net, filled, optional)
    if missing and paths:
        _warn_of_missing_weights(net, missing, list(names), bool(copies))


def _parameters(layer: Layer, source: LayerBlobs) -> dict[int, Floats]:
    """Return what a file has for a layer, by the index of the parameter."""
    given = dict(zip(source.indices, source.blobs, strict=True))
    return _ordered(layer, given, {k: values.shape for k, values in given.items()})


def _ordered(layer: Layer, given: Mapping[int, T], shapes: Mapping[int, Shape]) -> dict[int, T]:
    """Return values by the index of the parameter, given them by the index in the file."""
    order = layer.order_in_file(list(shapes.values()))
    if len(order) != len(layer.blobs):
        return dict(given)
    return {order[k]: value for k, value in given.items()}


def _layers_with_others(net: Net, filled: set[int], optional: Collection[str]) -> list[Layer]:
    """Return the layers with other parameters than the filled ones, given by id."""
    return [
        layer
        for layer in net.layers
        if layer.name not in optional and any(id(b.data_owner) not in filled for b in layer.blobs)
    ]


def _warn_of_missing_weights(
    net: Net, missing: Sequence[Layer], names: Sequence[str], has_some: bool
) -> None:
    """Warn of the layers that are not in the weights files, whose layers are `names`."""
    where = net.source.where()
    if not has_some:
        logger.warning(
            f"{where}: no layer of the net got weights, because the names differ: the net has "
            f"{_quoted([layer.name for layer in missing])}, the weights have "
            f"{_quoted(names) or 'none'}. {_initial_values(net)} Weights are found by the names of "
            "layers: give the layers these names, or use the weights of this net."
        )
        return
    near_names = {layer.name: near(layer.name, names) for layer in missing}
    hints = [f'"{name}": {hint}' for name, hint in near_names.items() if hint][:_MOST_NAMES]
    logger.warning(
        f"{where}: the weights have nothing for {_quoted(list(near_names))}. {_initial_values(net)}"
        + (f" {' '.join(hints)}" if hints else "")
    )


def _quoted(names: Sequence[str]) -> str:
    text = ", ".join(f'"{name}"' for name in names[:_MOST_NAMES])
    rest = len(names) - _MOST_NAMES
    return f"{text} and {rest} more" if rest > 0 else text


def _initial_values(net: Net) -> str:
    if net.param.state.phase == TRAIN:
        return "They learn from the values of their fillers, as new layers in fine-tuning do."
    return "They keep the values of their fillers (without a filler zeros), so results are wrong."


def _mismatch(layer: Layer, shapes: Mapping[int, Shape], shared: set[int]) -> str:
    """Return why weights of these shapes, by index, do not fit; an empty string if they do.

    The file may lack the `shared` parameters, which an earlier layer owns.
    """
    where = f'layer "{layer.name}" ({layer.type})'
    n = len(layer.blobs)
    if shapes and {*shapes, *shared} != set(range(n)):
        return f"{where} has {n} parameters in the net and {len(shapes)} in the file"
    differing = [
        f"parameter {i} is {layer.blobs[i].shape} in the net and {shape} in the file"
        for i, shape in shapes.items()
        if not (same_shape(layer.blobs[i].shape, shape) or _has_other_ones(layer, i, shape))
    ]
    return f"{where}: {'; '.join(differing)}" if differing else ""


def _has_other_ones(layer: Layer, index: int, stored: Shape) -> bool:
    """Return whether a layer accepts a shape that differs from a parameter's in axes of 1 only."""
    sizes, given = ([n for n in s if n != 1] for s in (layer.blobs[index].shape, stored))
    return layer.ignores_ones and sizes == given


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
