"""Weights, solver state and mean images in binary files, read and written fast.

Nothing here makes a Python object per value (see proto/weights.proto): reading costs little more
than the disk does. Files that forks of Caffe wrote are read as far as their fields are Caffe's.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError, Message

from minicaffe.atomic_file import write_atomically
from minicaffe.errors import DataError, MinicaffeError, SchemaError, SnapshotError
from minicaffe.schema.blobs import Floats, Piece, blob_array, blob_record, record
from minicaffe.schema.contents import LayerArrays, LayerBlobs, SolverStateFile
from minicaffe.schema.file_type import HEAD_BYTES, is_binary, is_prototxt, known_kind, read_file
from minicaffe.schema.minicaffe_pb2 import BlobProto, NetParameter, SolverState, V1LayerParameter
from minicaffe.schema.upgrade import current_type
from minicaffe.schema.weights_pb2 import (
    BlobWeights,
    NetWeights,
    SolverStateWeights,
    V1LayerWeights,
)

M = TypeVar("M", bound=Message)

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# Its first field, iter, is a number; that of a net is text.
_SOLVER_STATE_BEGINS = b"\x08"
_LIMIT_BYTES = 2**31 - 1
_LAYER, _HISTORY, _BLOBS = 100, 3, 7


def read_binary(
    path: str | Path, message_class: type[M], error: type[MinicaffeError] = SchemaError
) -> M:
    """Read a message from a binary file.

    Missing required fields are fine and unknown fields are kept, as forks of Caffe wrote both.

    Parameters
    ----------
    path : str or Path
        The file.
    message_class : type of Message
        What it holds.
    error : type of MinicaffeError
        What to raise if the file is missing, cut off, or something else.
    """
    return _decode(read_file(path, error), message_class, path, error)


def _decode(
    data: bytes, message_class: type[M], path: str | Path, error: type[MinicaffeError]
) -> M:
    size = len(data)
    if size > _LIMIT_BYTES:
        raise error(
            f"{path}: has {size:,} bytes; protobuf reads less than 2 GiB. "
            "Save it as HDF5 (snapshot_format: HDF5) where it was made"
        )
    if size == 0:
        raise error(f"{path}: is empty; it was probably cut off while it was written or copied")
    head = data[:HEAD_BYTES]
    kind = known_kind(head) or (
        "a prototxt (text); give the binary file" if is_prototxt(head) else ""
    )
    if kind:
        raise error(f"{path}: a binary file is needed here; this looks like {kind}")
    try:
        return message_class.FromString(data)
    except DecodeError:
        if head.isascii() and not is_binary(head):
            raise error(f"{path}: a binary file is needed here; this is a text") from None
        raise error(
            f"{path}: {size:,} bytes that are not a whole {_file_kind(message_class)}; "
            "probably the download or copy was cut off. Compare its size with the original's"
        ) from None


def _file_kind(message_class: type[Message]) -> str:
    """Return what users call a file of such messages."""
    name = message_class.DESCRIPTOR.name
    kinds = {
        NetWeights.DESCRIPTOR.name: ".caffemodel",
        SolverStateWeights.DESCRIPTOR.name: ".solverstate",
        BlobWeights.DESCRIPTOR.name: ".binaryproto",
    }
    return kinds.get(name, name)


def read_net_weights(path: str | Path) -> list[LayerBlobs]:
    """Read the weights of all layers from a .caffemodel or .caffemodel.h5 of any age.

    Returns
    -------
    list of LayerBlobs
        One for each layer in the file, those without weights included (not so in HDF5).

    Raises
    ------
    SnapshotError
        The file is missing, cut off, or something else.
    """
    if _is_hdf5(path):
        from minicaffe.schema import hdf5  # h5py is slow to import

        return hdf5.read_net_weights(path)
    data = read_file(path, SnapshotError)
    if data.startswith(_SOLVER_STATE_BEGINS):
        raise SnapshotError(
            f"{path}: a solver state, which holds no weights; the .caffemodel beside it does. "
            "To resume training, give the solver state as --snapshot"
        )
    net = _decode(data, NetWeights, path, SnapshotError)
    del data  # halves the memory that the largest nets need
    layers = [LayerBlobs(x.name, x.type, _arrays(x.blobs, x.name, path)) for x in net.layer]
    return [*(_old_layer(x, path) for x in net.layers), *layers]


def _is_hdf5(path: str | Path) -> bool:
    try:
        with Path(path).open("rb") as file:
            return file.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE
    except OSError:
        return False  # reading it says what is wrong with it


def _old_layer(layer: V1LayerWeights, path: str | Path) -> LayerBlobs:
    if layer.HasField("layer"):
        v0 = layer.layer
        return LayerBlobs(v0.name, v0.type, _arrays(v0.blobs, v0.name, path))
    known = V1LayerParameter.LayerType.values()
    kind = current_type(layer.type) if layer.type in known else ""
    return LayerBlobs(layer.name, kind, _arrays(layer.blobs, layer.name, path))


def _arrays(blobs: Iterable[BlobWeights], owner: str, path: str | Path) -> list[Floats]:
    arrays = []
    for index, blob in enumerate(blobs):
        try:
            arrays.append(blob_array(blob))
        except ValueError as problem:
            raise SnapshotError(
                f'{path}: blob {index} of "{owner}": {problem}; the file is damaged'
            ) from None
    return arrays


def net_weights_pieces(net: NetParameter, layers: Iterable[LayerArrays]) -> list[Piece]:
    """Return the bytes of a .caffemodel in pieces, most of them views of the arrays given.

    Parameters
    ----------
    net : NetParameter
        The net without blobs.
    layers : iterable of (int, sequence of array_like, sequence of array_like or None)
        Index in ``net.layer``, the layer's arrays, and their gradients if those are saved too.
    """
    arrays = {index: (data, diff) for index, data, diff in layers}
    rest = NetParameter()
    rest.CopyFrom(net)
    rest.ClearField("layer")
    pieces: list[Piece] = [rest.SerializePartialToString()]
    for index, layer in enumerate(net.layer):
        data, diff = arrays.get(index, ((), None))
        content: list[Piece] = [layer.SerializePartialToString()]
        for k, values in enumerate(data):
            content += blob_record(_BLOBS, values, None if diff is None else diff[k])
        pieces += record(_LAYER, content)
    return pieces


def net_weights_bytes(net: NetParameter, layers: Iterable[LayerArrays]) -> bytes:
    """Return the bytes of a .caffemodel; see `net_weights_pieces`."""
    return b"".join(net_weights_pieces(net, layers))


def write_net_weights(
    target: str | Path | BinaryIO, net: NetParameter, layers: Iterable[LayerArrays]
) -> None:
    """Write a .caffemodel to a path or to an open file; see `net_weights_pieces`.

    Raises
    ------
    SnapshotError
        The net is too large for the format.
    """
    _write(target, net_weights_pieces(net, layers))


def _write(target: str | Path | BinaryIO, pieces: list[Piece]) -> None:
    size = sum(len(piece) for piece in pieces)
    if size > _LIMIT_BYTES:
        raise SnapshotError(
            f"{size:,} bytes are to be written; protobuf files hold less than 2 GiB. "
            "Set snapshot_format: HDF5"
        )
    if isinstance(target, str | Path):
        with Path(target).open("wb") as file:
            file.writelines(pieces)
    else:
        target.writelines(pieces)


def read_solver_state(path: str | Path) -> SolverStateFile:
    """Read a .solverstate or .solverstate.h5.

    Raises
    ------
    SnapshotError
        The file is missing, cut off, or something else.
    """
    if _is_hdf5(path):
        from minicaffe.schema import hdf5  # h5py is slow to import

        return hdf5.read_solver_state(path)
    data = read_file(path, SnapshotError)
    state = _decode(data, SolverStateWeights, path, SnapshotError)
    if not state.HasField("iter"):
        raise SnapshotError(
            f"{path}: holds no iteration, so it is no solver state. Start from a .caffemodel with "
            "--weights; --snapshot takes a .solverstate"
        )
    history = _arrays(state.history, "history", path)
    return SolverStateFile(state.iter, state.learned_net, state.current_step, history)


def write_solver_state(target: str | Path | BinaryIO, state: SolverStateFile) -> None:
    """Write a .solverstate to a path or to an open file.

    Raises
    ------
    SnapshotError
        The history is too large for the format.
    """
    head = SolverState(
        iter=state.iter, learned_net=state.learned_net, current_step=state.current_step
    )
    pieces: list[Piece] = [head.SerializeToString()]
    for values in state.history:
        pieces += blob_record(_HISTORY, values)
    _write(target, pieces)


def read_blobproto(path: str | Path) -> Floats:
    """Read one array from a .binaryproto, such as a mean image.

    Returns
    -------
    ndarray
        float32, read-only; 4-D (1, channels, rows, columns) for what compute_image_mean wrote.

    Raises
    ------
    DataError
        The file is missing, cut off, or something else.
    """
    blob = read_binary(path, BlobWeights, DataError)
    try:
        return blob_array(blob)
    except ValueError as problem:
        raise DataError(f"{path}: {problem}; the file is damaged or no .binaryproto") from None


def write_blobproto(path: str | Path, array: npt.ArrayLike) -> None:
    """Write one array of at most four axes as a .binaryproto, in the form of compute_image_mean.

    Raises
    ------
    DataError
        The array has more than four axes.
    SnapshotError
        The file cannot be written; an older one of that name is then as it was.
    """
    values = np.asarray(array, np.float32)
    if values.ndim > 4:
        raise DataError(
            f"{path}: an array of shape {values.shape}; at most four axes can be written"
        )
    num, channels, height, width = (1,) * (4 - values.ndim) + values.shape
    blob = BlobProto(num=num, channels=channels, height=height, width=width)
    blob.data.extend(values.ravel())
    with write_atomically(path) as file:
        file.write(blob.SerializeToString())
