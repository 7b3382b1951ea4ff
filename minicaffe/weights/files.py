"""Weights files of four formats: .caffemodel, .h5, .npz and .safetensors, chosen by extension.

In .npz and .safetensors files the array ``LAYER/INDEX`` is parameter INDEX of a layer, as the
dataset ``data/LAYER/INDEX`` is in HDF5 files. Layer names may contain slashes. The metadata of a
safetensors file hold names and types of the layers in order, under the key "layers".
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from minicaffe.atomic_file import write_atomically
from minicaffe.errors import MissingPackage, SnapshotError
from minicaffe.path_hints import not_found
from minicaffe.schema import LayerBlobs, NetParameter, read_net_weights, write_net_weights
from minicaffe.schema.unpacked_size import check_unpacked_size

Floats = npt.NDArray[np.float32]

_LAYERS = "layers"  # key of the metadata of a safetensors file


def read_weights_file(path: str | Path) -> list[LayerBlobs]:
    """Read the weights of all layers from a file of any of the four formats.

    Parameters
    ----------
    path : str or Path
        The format of .npz and .safetensors files is known by the extension, that of others by
        the first bytes.

    Returns
    -------
    list of LayerBlobs
        In the order of the file; HDF5 files, and safetensors files of other programs, are sorted
        by name. The type of a layer is "" if the file does not hold it.

    Raises
    ------
    SnapshotError
        The file is missing, damaged, or has an array whose name is not LAYER/INDEX.
    MissingPackage
        The file needs the package safetensors, which is not installed.
    """
    suffix = Path(path).suffix
    if suffix == ".npz":
        return _layers_of(path, _read_npz(path), {})
    if suffix == ".safetensors":
        arrays, metadata = read_safetensors(path)
        return _layers_of(path, arrays, _types_of(path, metadata))
    return read_net_weights(path)


def write_weights_file(path: str | Path, layers: Sequence[LayerBlobs], net_name: str = "") -> None:
    """Write weights in the format of the file's extension; the file is replaced atomically.

    Parameters
    ----------
    path : str or Path
        Ends in .caffemodel, .h5, .npz or .safetensors.
    layers : sequence of LayerBlobs
        The weights; layers without any are written to .caffemodel files only.
    net_name : str
        The name of the net, which .caffemodel files hold.

    Raises
    ------
    SnapshotError
        The extension is another one, the format cannot hold the weights, or the file cannot be
        written.
    MissingPackage
        The file needs the package safetensors, which is not installed.
    """
    write = writer_for(path)
    with write_atomically(path) as file:
        write(file, layers, net_name)


Writer = Callable[[BinaryIO, Sequence[LayerBlobs], str], None]


def writer_for(path: str | Path) -> Writer:
    """Return the function that writes the format of a file's extension.

    Raises
    ------
    SnapshotError
        If no format has this extension.
    """
    suffix = Path(path).suffix
    if suffix not in _WRITERS:
        raise SnapshotError(
            f'{path}: the extension "{suffix}" is not that of a format. Known: '
            f"{', '.join(_WRITERS)}."
        )
    return _WRITERS[suffix]


def _write_binary(file: BinaryIO, layers: Sequence[LayerBlobs], net_name: str) -> None:
    for layer in layers:
        if layer.indices != tuple(range(len(layer.blobs))):
            raise SnapshotError(
                f'layer "{layer.name}" has parameters {", ".join(map(str, layer.indices))} only; '
                "another layer shares the others, and a .caffemodel needs all. Load it with "
                "caffe.Net and save the net"
            )
    net = _net_of(layers, net_name)
    write_net_weights(file, net, [(i, x.blobs, None) for i, x in enumerate(layers) if x.blobs])


def _write_hdf5(file: BinaryIO, layers: Sequence[LayerBlobs], net_name: str) -> None:
    arrays, absent = [], set()
    for i, layer in enumerate(layers):
        given = dict(zip(layer.indices, layer.blobs, strict=True))
        n = max(given, default=-1) + 1
        absent |= {(i, k) for k in range(n) if k not in given}
        arrays.append((i, [given.get(k, np.zeros(0)) for k in range(n)], None))
    write_net_weights(file, _net_of(layers, net_name), arrays, True, absent)


def _net_of(layers: Iterable[LayerBlobs], name: str) -> NetParameter:
    net = NetParameter(name=name)
    for layer in layers:
        net.layer.add(name=layer.name, type=layer.type)
    return net


def _write_npz(file: BinaryIO, layers: Sequence[LayerBlobs], net_name: str) -> None:
    # Not np.savez: there a layer must not be called "file".
    with zipfile.ZipFile(file, "w") as archive:
        for name, values in _named_arrays(layers).items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, values, allow_pickle=False)


def _write_safetensors(file: BinaryIO, layers: Sequence[LayerBlobs], net_name: str) -> None:
    try:
        from safetensors.numpy import save
    except ImportError:
        raise _missing_safetensors() from None
    listed = json.dumps([[layer.name, layer.type] for layer in layers])
    file.write(save(_named_arrays(layers), {"format": "np", _LAYERS: listed}))


_WRITERS: dict[str, Writer] = {
    ".caffemodel": _write_binary,
    ".h5": _write_hdf5,
    ".npz": _write_npz,
    ".safetensors": _write_safetensors,
}


def _named_arrays(layers: Iterable[LayerBlobs]) -> dict[str, Floats]:
    arrays: dict[str, Floats] = {}
    for layer in layers:
        for index, values in zip(layer.indices, layer.blobs, strict=True):
            name = f"{layer.name}/{index}"
            if name in arrays:
                raise SnapshotError(
                    f'two layers have the name "{layer.name}"; only .caffemodel files can hold both'
                )
            arrays[name] = np.ascontiguousarray(values).reshape(values.shape)
    return arrays


def _read_npz(path: str | Path) -> dict[str, npt.NDArray[np.generic]]:
    try:
        with zipfile.ZipFile(path) as archive:
            check_archive(path, archive)
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        raise SnapshotError(not_found(path)) from None
    except zipfile.BadZipFile as error:
        if Path(path).read_bytes().startswith(np.lib.format.MAGIC_PREFIX):
            raise SnapshotError(
                f"{path}: is one array (.npy), not an archive of arrays (.npz)"
            ) from None
        raise SnapshotError(f"{path}: cannot be read as .npz ({error})") from None
    except (OSError, ValueError, EOFError) as error:
        raise SnapshotError(f"{path}: cannot be read as .npz ({error})") from None


def check_archive(path: str | Path, archive: zipfile.ZipFile) -> None:
    """Raise a SnapshotError if an archive unpacks to far more than it holds."""
    size_bytes = sum(entry.file_size for entry in archive.infolist())
    check_unpacked_size(path, size_bytes, SnapshotError)


def read_safetensors(
    path: str | Path,
) -> tuple[dict[str, npt.NDArray[np.generic]], dict[str, str]]:
    """Return the arrays of a safetensors file by name, and its metadata.

    Raises
    ------
    SnapshotError
        The file is missing or damaged, or has values of a type that NumPy lacks (bfloat16).
    MissingPackage
        The package safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise _missing_safetensors() from None
    try:
        with safe_open(path, framework="np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return arrays, file.metadata() or {}
    except FileNotFoundError:
        raise SnapshotError(not_found(path)) from None
    except (OSError, SafetensorError, TypeError, AttributeError, KeyError) as error:
        raise SnapshotError(f"{path}: cannot be read as safetensors ({error})") from None


def _missing_safetensors() -> MissingPackage:
    return MissingPackage(
        "safetensors files need the package safetensors: pip install 'minicaffe[weights]'"
    )


def _types_of(path: str | Path, metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the types of layers by name, in order, from the metadata of a safetensors file."""
    if _LAYERS not in metadata:
        return {}
    try:
        return {str(name): str(kind) for name, kind in json.loads(metadata[_LAYERS])}
    except (ValueError, TypeError):
        raise SnapshotError(
            f'{path}: the metadata "{_LAYERS}" must be a JSON list of [name, type]; the file was '
            "written by another program. Remove this entry"
        ) from None


def _layers_of(
    path: str | Path, arrays: Mapping[str, npt.NDArray[np.generic]], types: Mapping[str, str]
) -> list[LayerBlobs]:
    """Return the layers whose parameters are arrays named LAYER/INDEX."""
    found: dict[str, dict[int, Floats]] = {}
    for name, values in arrays.items():
        layer, _, index = name.rpartition("/")
        if not layer or not (index.isascii() and index.isdecimal()):
            raise SnapshotError(
                f'{path}: array "{name}": names must be LAYER/INDEX, such as "conv1/0" for the '
                "weights of conv1 and conv1/1 for its bias"
            )
        if values.dtype.kind not in "fiu":
            raise SnapshotError(f'{path}: array "{name}" is of type {values.dtype}, not of numbers')
        found.setdefault(layer, {})[int(index)] = values.astype(np.float32)
    order = [*(name for name in types if name in found), *(x for x in found if x not in types)]
    return [
        LayerBlobs(name, types.get(name, ""), list(blobs.values()), (*blobs,))
        for name in order
        for blobs in [dict(sorted(found[name].items()))]
    ]
