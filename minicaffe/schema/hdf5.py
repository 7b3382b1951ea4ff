"""HDF5 files with weights (.caffemodel.h5) and solver state (.solverstate.h5).

Weights are the datasets ``data/LAYER/INDEX`` (gradients: ``diff/LAYER/INDEX``), with a group for
each layer. Solver state is ``iter``, ``current_step``, ``learned_net`` and ``history/INDEX``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import h5py
import numpy as np
import numpy.typing as npt

from minicaffe.errors import SnapshotError
from minicaffe.schema.blobs import Floats
from minicaffe.schema.contents import LayerArrays, LayerBlobs, ParameterIndex, SolverStateFile
from minicaffe.schema.minicaffe_pb2 import NetParameter


def read_net_weights_hdf5(path: str | Path) -> list[LayerBlobs]:
    """Read the weights of all layers that have weights, sorted by name.

    Raises
    ------
    SnapshotError
        The file cannot be read as HDF5, or contains no weights.
    """
    found: dict[str, dict[int, Floats]] = {}

    def collect(name: str, item: object) -> None:
        layer, _, index = name.rpartition("/")  # layer names may contain slashes
        if isinstance(item, h5py.Dataset) and index.isdigit():
            found.setdefault(layer, {})[int(index)] = np.asarray(item, np.float32)

    with _open(path) as file:
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
        file["data"].visititems(collect)
    return [
        LayerBlobs(layer, "", [blobs[index] for index in sorted(blobs)], tuple(sorted(blobs)))
        for layer, blobs in sorted(found.items())
    ]


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
        group = file["history"]
        return SolverStateFile(
            iter=int(np.ravel(file["iter"])[0]),
            learned_net=bytes(np.asarray(file["learned_net"], "S")).rstrip(b"\0").decode(),
            current_step=int(np.ravel(file["current_step"])[0]),
            history=[np.asarray(group[str(index)], np.float32) for index in range(len(group))],
        )


def write_solver_state_hdf5(target: str | Path | BinaryIO, state: SolverStateFile) -> None:
    """Write solver state to a path or an open file."""
    with h5py.File(target, "w", libver="earliest") as file:
        file["iter"] = np.array([state.iter], np.int32)
        name = state.learned_net.encode()
        file["learned_net"] = np.array(name, f"S{len(name) + 1}")  # null-terminated, as in Caffe
        file["current_step"] = np.array([state.current_step], np.int32)
        _write_arrays(file.create_group("history"), state.history)


def _write_arrays(group: h5py.Group, arrays: Iterable[npt.ArrayLike]) -> None:
    for index, values in enumerate(arrays):
        group[str(index)] = np.asarray(values, "<f4")


@contextmanager
def _open(path: str | Path) -> Iterator[h5py.File]:
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise SnapshotError(
            f"{path}: cannot be read as HDF5 ({error}); probably the file is truncated"
        ) from None
    with file:
        yield file
