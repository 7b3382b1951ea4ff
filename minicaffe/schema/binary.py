"""Binary (protobuf) files: weights, solver state and mean images.

Arrays are views of the file, which is mapped into memory (see proto/weights.proto and
minicaffe/wire_format.py), so values are read when they are used. Fields that only forks of Caffe
have are skipped.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from mmap import mmap
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError, Message

from minicaffe.atomic_file import write_atomically
from minicaffe.errors import DataError, MinicaffeError, SchemaError, SnapshotError
from minicaffe.schema.blobs import (
    Floats,
    blob_array,
    blob_field,
    is_c3d,
)
from minicaffe.schema.contents import LayerArrays, LayerBlobs, SolverStateFile
from minicaffe.schema.file_type import (
    HEAD_BYTES,
    detect_file_type,
    is_binary,
    is_prototxt,
    map_file,
    read_file,
)
from minicaffe.schema.minicaffe_pb2 import BlobProto, NetParameter, SolverState, V1LayerParameter
from minicaffe.schema.upgrade import current_type, upgrade_net
from minicaffe.schema.weights_pb2 import (
    BlobWeights,
    NetWeights,
    SolverStateWeights,
    V1LayerWeights,
)
from minicaffe.wire_format import ByteChunk, Outline, length_delimited

M = TypeVar("M", bound=Message)
T = TypeVar("T")
B = TypeVar("B", bytes, bytes | mmap)

# The key of SolverState's first field, iter (field 1, varint); a NetParameter begins with a string.
_SOLVER_STATE_KEY = b"\x08"
# Four numbers: those of a BlobProto's shape. The second field of a SolverState is a string.
_MEAN_IMAGE = re.compile(rb"\x08[\x80-\xff]*[\0-\x7f]\x10[\x80-\xff]*[\0-\x7f]\x18")
_LIMIT_BYTES = 2**31 - 1
_LAYER, _HISTORY, _BLOBS = 100, 3, 7
# The types with weights that C3D 1.0 added; Caffe gave these numbers to other types.
_C3D_TYPES = {30: "Convolution3D", 34: "Deconvolution3D"}


def read_binary(
    path: str | Path, message_class: type[M], error: type[MinicaffeError] = SchemaError
) -> M:
    """Read a message from a binary file.

    Missing required fields are accepted and unknown fields are preserved, because forks of Caffe
    write both.

    Parameters
    ----------
    path : str or Path
        The file.
    message_class : type of Message
        The message that the file contains.
    error : type of MinicaffeError
        The error to raise if the file is missing, truncated, or of another type.
    """
    return _decode(read_file(path, error), message_class, message_class.FromString, path, error)


def _decode_arrays(
    data: bytes | mmap, message_class: type[M], path: str | Path, error: type[MinicaffeError]
) -> Outline[M]:
    return _decode(data, message_class, partial(Outline, message_class), path, error)


def _decode(
    data: B,
    message_class: type[Message],
    parse: Callable[[B], T],
    path: str | Path,
    error: type[MinicaffeError],
) -> T:
    size = len(data)
    if size > _LIMIT_BYTES:
        raise error(
            f"{path}: has {size:,} bytes; protobuf reads less than 2 GiB. "
            "Save the net as HDF5 (snapshot_format: HDF5) in the program that trained it"
        )
    if size == 0:
        raise error(f"{path}: is empty; probably writing or copying it was interrupted")
    head = data[:HEAD_BYTES]
    kind = detect_file_type(head) or (
        "a prototxt (text); give the binary file" if is_prototxt(head) else ""
    )
    if kind:
        raise error(f"{path}: a binary file is needed here; this looks like {kind}")
    try:
        return parse(data)
    except DecodeError:
        if head.isascii() and not is_binary(head):
            raise error(f"{path}: a binary file is needed here; this is a text file") from None
        raise error(
            f"{path}: {size:,} bytes are not a complete {_file_kind(message_class)}; "
            "probably the download or copy was interrupted. Compare the size with the original's"
        ) from None


def _file_kind(message_class: type[Message]) -> str:
    """Return the file name extension of such messages, or the message's name."""
    name = message_class.DESCRIPTOR.name
    kinds = {
        NetWeights.DESCRIPTOR.name: ".caffemodel",
        SolverStateWeights.DESCRIPTOR.name: ".solverstate",
        BlobWeights.DESCRIPTOR.name: ".binaryproto",
    }
    return kinds.get(name, name)


def read_net_weights_binary(path: str | Path) -> list[LayerBlobs]:
    """Read the weights of all layers from a .caffemodel in V0, V1 or current format."""
    data = map_file(path, SnapshotError)
    if data[:1] == _SOLVER_STATE_KEY:
        if _MEAN_IMAGE.match(data):
            raise SnapshotError(f"{path}: is a mean image and contains no weights.")
        raise SnapshotError(
            f"{path}: is a solver state and contains no weights; use the .caffemodel next to it. "
            "To resume training, give the solver state as --snapshot"
        )
    outline = _decode_arrays(data, NetWeights, path, SnapshotError)
    net, arrays = outline.message, partial(_arrays, outline=outline, path=path)
    layers = [LayerBlobs(_text(x.name, path), x.type, arrays(x.blobs, x.name)) for x in net.layer]
    layers = [*(_legacy_layer(x, path, arrays) for x in net.layers), *layers]
    _log_upgrades(net, path)
    return layers


def _log_upgrades(net: NetWeights, path: str | Path) -> None:
    """Log what Caffe logs when it reads weights of an old format; clears the weights of `net`."""
    for layer in (*net.layer, *net.layers, *(x.layer for x in net.layers if x.HasField("layer"))):
        layer.ClearField("blobs")
    # The settings of a fork's layers are nobody's concern where only weights are read.
    with suppress(DecodeError, SchemaError):
        upgrade_net(NetParameter.FromString(net.SerializePartialToString()), str(path))


def _legacy_layer(
    layer: V1LayerWeights,
    path: str | Path,
    arrays: Callable[[Iterable[BlobWeights], str], list[Floats]],
) -> LayerBlobs:
    if layer.HasField("layer"):
        v0 = layer.layer
        return LayerBlobs(_text(v0.name, path), v0.type, arrays(v0.blobs, v0.name))
    known = V1LayerParameter.LayerType.values()
    kind = current_type(layer.type) if layer.type in known else ""
    if any(is_c3d(blob) for blob in layer.blobs):
        kind = _C3D_TYPES.get(layer.type, kind)
    return LayerBlobs(_text(layer.name, path), kind, arrays(layer.blobs, layer.name))


def _arrays(
    blobs: Iterable[BlobWeights], owner: str, outline: Outline[Any], path: str | Path
) -> list[Floats]:
    arrays = []
    for index, blob in enumerate(blobs):
        try:
            arrays.append(blob_array(blob, outline))
        except ValueError as problem:
            raise SnapshotError(
                f'{path}: blob {index} of "{owner}": {problem}; the file is damaged'
            ) from None
    return arrays


def write_net_weights_binary(
    target: str | Path | BinaryIO, net: NetParameter, layers: Iterable[LayerArrays]
) -> None:
    """Write a .caffemodel; most chunks are views of the arrays, so values are not copied."""
    arrays = {index: (data, diff) for index, data, diff in layers}
    header = NetParameter()
    header.CopyFrom(net)
    header.ClearField("layer")
    chunks: list[ByteChunk] = [header.SerializePartialToString()]
    for index, layer in enumerate(net.layer):
        data, diff = arrays.get(index, ((), None))
        content: list[ByteChunk] = [layer.SerializePartialToString()]
        for k, values in enumerate(data):
            content += blob_field(_BLOBS, values, None if diff is None else diff[k])
        chunks += length_delimited(_LAYER, content)
    _write(target, chunks)


def _write(target: str | Path | BinaryIO, chunks: list[ByteChunk]) -> None:
    size = sum(len(chunk) for chunk in chunks)
    if size > _LIMIT_BYTES:
        raise SnapshotError(
            f"cannot write {size:,} bytes; protobuf files are limited to 2 GiB. "
            "Set snapshot_format: HDF5"
        )
    if isinstance(target, str | Path):
        with Path(target).open("wb") as file:
            file.writelines(chunks)
    else:
        target.writelines(chunks)


def read_solver_state_binary(path: str | Path) -> SolverStateFile:
    """Read a .solverstate."""
    data = map_file(path, SnapshotError)
    outline = _decode_arrays(data, SolverStateWeights, path, SnapshotError)
    state = outline.message
    if not state.HasField("iter"):
        raise SnapshotError(
            f"{path}: has no field iter, so it is not a solver state. To start from a .caffemodel, "
            "use --weights; --snapshot takes a .solverstate"
        )
    # protobuf returns the bytes of a string that is not UTF-8.
    if not isinstance(state.learned_net, str):
        raise SnapshotError(
            f"{path}: the name of its weights file, {state.learned_net!r}, is not UTF-8; the file "
            "is damaged"
        )
    history = _arrays(state.history, "history", outline, path)
    learned_net = _text(state.learned_net, path)
    minimum = state.minimum_loss if state.HasField("minimum_loss") else None
    return SolverStateFile(
        state.iter, learned_net, state.current_step, history, minimum, state.iter_last_event
    )


def _text(value: str | bytes, path: str | Path) -> str:
    """Return a string of a message; protobuf returns bytes for one that is not UTF-8."""
    if isinstance(value, bytes):
        raise SnapshotError(f"{path}: the name {value[:100]!r} is not UTF-8; the file is damaged")
    return value


def write_solver_state_binary(target: str | Path | BinaryIO, state: SolverStateFile) -> None:
    """Write a .solverstate."""
    header = SolverState(
        iter=state.iter, learned_net=state.learned_net, current_step=state.current_step
    )
    if state.minimum_loss is not None:
        header.minimum_loss, header.iter_last_event = state.minimum_loss, state.iter_last_event
    chunks: list[ByteChunk] = [header.SerializeToString()]
    for values in state.history:
        chunks += blob_field(_HISTORY, values)
    _write(target, chunks)


def read_blobproto(path: str | Path) -> Floats:
    """Read one array from a .binaryproto, such as a mean image.

    Returns
    -------
    ndarray
        float32, read-only; 4-D (1, channels, rows, columns) if compute_image_mean wrote the file.

    Raises
    ------
    DataError
        The file is missing, truncated, or of another type.
    """
    outline = _decode_arrays(read_file(path, DataError), BlobWeights, path, DataError)
    try:
        return blob_array(outline.message, outline)
    except ValueError as problem:
        raise DataError(f"{path}: {problem}; the file is damaged or no .binaryproto") from None


def write_blobproto(path: str | Path, array: npt.ArrayLike) -> None:
    """Write one array of at most four axes as a .binaryproto, with the fields of a mean image.

    Raises
    ------
    DataError
        The array has more than four axes.
    SnapshotError
        The file cannot be written; an existing file of that name is unchanged.
    """
    values = np.asarray(array, np.float32)
    if values.ndim > 4:
        raise DataError(
            f"{path}: cannot write an array of shape {values.shape}; at most four axes are allowed"
        )
    num, channels, height, width = (1,) * (4 - values.ndim) + values.shape
    blob = BlobProto(num=num, channels=channels, height=height, width=width)
    blob.data.extend(values.ravel())
    with write_atomically(path) as file:
        file.write(blob.SerializeToString())
