"""Snapshot files (weights and solver state) in the binary (protobuf) or the HDF5 format.

Readers detect the format by the first bytes of the file; writers take it as an argument. The HDF5
module is imported on first use, because importing h5py is slow.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import BinaryIO

from minicaffe.schema import binary
from minicaffe.schema.contents import (
    IsWanted,
    LayerArrays,
    LayerBlobs,
    ParameterIndex,
    SolverStateFile,
    all_layers,
)
from minicaffe.schema.file_type import is_hdf5
from minicaffe.schema.minicaffe_pb2 import NetParameter


def read_net_weights(path: str | Path, is_wanted: IsWanted = all_layers) -> list[LayerBlobs]:
    """Read the weights of all layers from a .caffemodel or .caffemodel.h5 of any version.

    Parameters
    ----------
    path : str or Path
        The file.
    is_wanted : callable
        Selects layers by name and shapes. The values of others may be zeros, because a small HDF5
        file can declare arrays that fill the memory.

    Returns
    -------
    list of LayerBlobs
        One for each layer in the file; an HDF5 file has no layers without weights.

    Raises
    ------
    SnapshotError
        The file is missing, truncated, or of another type.
    """
    if is_hdf5(path):
        from minicaffe.schema import hdf5

        return hdf5.read_net_weights_hdf5(path, is_wanted)
    return binary.read_net_weights_binary(path)


def write_net_weights(
    target: str | Path | BinaryIO,
    net: NetParameter,
    layers: Iterable[LayerArrays],
    as_hdf5: bool = False,
    shared: Collection[ParameterIndex] = (),
) -> None:
    """Write the weights of a net to a path or an open file.

    Parameters
    ----------
    target : str, Path or file
        The file to write.
    net : NetParameter
        The net without blobs.
    layers : iterable of LayerArrays
        Index in ``net.layer``, the layer's arrays, and their gradients if those are saved too.
    as_hdf5 : bool
        Whether to write HDF5 instead of the binary format.
    shared : collection of ParameterIndex
        Parameters that an earlier layer owns. HDF5 files leave them out, as Caffe's do; their
        gradients are written.

    Raises
    ------
    SnapshotError
        The net is too large for the binary format (2 GiB).
    """
    if as_hdf5:
        from minicaffe.schema import hdf5

        hdf5.write_net_weights_hdf5(target, net, layers, shared)
    else:
        binary.write_net_weights_binary(target, net, layers)


def read_solver_state(path: str | Path) -> SolverStateFile:
    """Read a .solverstate or .solverstate.h5.

    Raises
    ------
    SnapshotError
        The file is missing, truncated, or of another type.
    """
    if is_hdf5(path):
        from minicaffe.schema import hdf5

        return hdf5.read_solver_state_hdf5(path)
    return binary.read_solver_state_binary(path)


def write_solver_state(
    target: str | Path | BinaryIO, state: SolverStateFile, as_hdf5: bool = False
) -> None:
    """Write solver state to a path or an open file.

    Raises
    ------
    SnapshotError
        The history is too large for the binary format (2 GiB).
    """
    if as_hdf5:
        from minicaffe.schema import hdf5

        hdf5.write_solver_state_hdf5(target, state)
    else:
        binary.write_solver_state_binary(target, state)
