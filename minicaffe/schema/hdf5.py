"""HDF5 files with weights (.caffemodel.h5) and solver state (.solverstate.h5).

Weights are the datasets ``data/LAYER/INDEX`` (gradients: ``diff/LAYER/INDEX``), with a group for
each layer. Solver state is ``iter``, ``current_step``, ``learned_net`` and ``history/INDEX``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
import numpy.typing as npt

from minicaffe.errors import SnapshotError
from minicaffe.schema.blobs import Floats
from minicaffe.schema.contents import (
    IsWanted,
    LayerArrays,
    LayerBlobs,
    ParameterIndex,
    SolverStateFile,
    all_layers,
)
from minicaffe.schema.hdf5_file import check_datasets, open_hdf5, read_floats
from minicaffe.schema.minicaffe_pb2 import NetParameter

_LONGEST_PATH = 1 << 16  # bytes


def read_net_weights_hdf5(path: str | Path, is_wanted: IsWanted = all_layers) -> list[LayerBlobs]:
    """Read the weights of all layers that have weights, sorted by name.

    See `read_net_weights`.

    Raises
    ------
    SnapshotError
        The file cannot be read as HDF5, or contains no weights.
    """
    found: dict[str, dict[int, h5py.Dataset]] = {}

    def collect(name: str, item: object) -> None:
        layer, _, index = name.rpartition("/")  # layer names may contain slashes
        if isinstance(item, h5py.Dataset) and index.isdecimal():
            found.setdefault(layer, {})[int(index)] = item

    with _open(path) as file:
        _weights_group(path, file).visititems(collect)
        layers = {layer: dict(sorted(blobs.items())) for layer, blobs in sorted(found.items())}
        wanted = {
            layer
            for layer, blobs in layers.items()
            if is_wanted(layer, {index: x.shape for index, x in blobs.items()})
        }
        check_datasets(path, (x for layer in wanted for x in layers[layer].values()), SnapshotError)
        return [
            LayerBlobs(layer, "", [_values(x, layer in wanted) for x in blobs.values()], (*blobs,))
            for layer, blobs in layers.items()
        ]


def _weights_group(path: str | Path, file: h5py.File) -> h5py.Group:
    if "data" not in file:
        raise SnapshotError(
            f'{path}: contains {", ".join(file) or "nothing"}; weights are in a group "data". '
            "For a .solverstate.h5 use --snapshot"
        )
    if not isinstance(file["data"], h5py.Group):
        raise SnapshotError(
            f'{path}: "data" is an array, as in a file for HDF5Data; weights are in a group of '
            "this name. Give a .caffemodel.h5"
        )
    return file["data"]


def _values(data: h5py.Dataset, is_wanted: bool) -> Floats:
    """Return the values of a dataset; if they are not wanted, an array of its shape only."""
    if not is_wanted:
        return np.broadcast_to(np.float32(0), data.shape)
    values = read_floats(data)
    values.flags.writeable = False
    return values


def write_net_weights_hdf5(
    target: str | Path | BinaryIO,
    net: NetParameter,
    layers: Iterable[LayerArrays],
    shared: Collection[ParameterIndex] = (),
) -> None:
    """Write weights to a path or an open file; see `schema.write_net_weights`."""
    with h5py.File(target, "w", libver="earliest") as file:
        data_group = file.create_group("data")
        for name in filter(None, (layer.name for layer in net.layer)):
            data_group.require_group(name)
        for index, data, diff in layers:
            name = net.layer[index].name
            if not name:
                raise SnapshotError(
                    f"layer {index} of the net ({net.layer[index].type}) has parameters and no "
                    "name, which HDF5 files need. Name it, or use snapshot_format: BINARYPROTO"
                )
            for k, values in enumerate(data):
                if (index, k) not in shared:
                    data_group[name][str(k)] = np.asarray(values, "<f4")
            if diff is not None:
                _write_arrays(file.require_group(f"diff/{name}"), diff)


def read_solver_state_hdf5(path: str | Path) -> SolverStateFile:
    """Read solver state.

    Raises
    ------
    SnapshotError
        The file cannot be read as HDF5, or contains no solver state.
    """
    with _open(path) as file:
        missing = {"iter", "learned_net", "current_step", "history"} - set(file)
        if missing:
            raise SnapshotError(
                f"{path}: has no {', '.join(sorted(missing))}, so it is not a solver state. "
                "For a .caffemodel.h5 use --weights"
            )
        group, name = file["history"], file["learned_net"]
        history = [group[str(index)] for index in range(len(group))]
        check_datasets(path, history, SnapshotError)
        if name.dtype.itemsize > _LONGEST_PATH or math.prod(name.shape) != 1:
            raise SnapshotError(f"{path}: learned_net is no path; the file is damaged")
        return SolverStateFile(
            iter=int(_first(file, "iter")),
            learned_net=bytes(np.asarray(name, "S")).rstrip(b"\0").decode(),
            current_step=int(_first(file, "current_step")),
            history=[read_floats(data) for data in history],
            minimum_loss=float(_first(file, "minimum_loss")) if "minimum_loss" in file else None,
            iter_last_event=int(_first(file, "iter_last_event", 0)),
        )


def _first(file: h5py.File, name: str, default: float = math.nan) -> float:
    return np.ravel(file[name])[0] if name in file else default


def write_solver_state_hdf5(target: str | Path | BinaryIO, state: SolverStateFile) -> None:
    """Write solver state to a path or an open file."""
    with h5py.File(target, "w", libver="earliest") as file:
        file["iter"] = np.array([state.iter], np.int32)
        name = state.learned_net.encode()
        file["learned_net"] = np.array(name, f"S{len(name) + 1}")  # null-terminated, as in Caffe
        file["current_step"] = np.array([state.current_step], np.int32)
        if state.minimum_loss is not None:
            file["minimum_loss"] = np.array([state.minimum_loss], np.float32)
            file["iter_last_event"] = np.array([state.iter_last_event], np.int32)
        _write_arrays(file.create_group("history"), state.history)


def _write_arrays(group: h5py.Group, arrays: Iterable[npt.ArrayLike]) -> None:
    for index, values in enumerate(arrays):
        group[str(index)] = np.asarray(values, "<f4")


def _open(path: str | Path) -> AbstractContextManager[h5py.File]:
    return open_hdf5(
        path,
        lambda reason: SnapshotError(
            f"{path}: cannot be read as HDF5 ({reason}); probably the file is truncated"
        ),
    )
