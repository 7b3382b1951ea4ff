"""Reading a state dict, arrays by name, from .safetensors and .pth files without torch.

A .pth file of PyTorch 1.6 or newer is a zip archive: ``data.pkl`` describes the tensors and
``data/KEY`` has the bytes of each storage. The pickle is read by an unpickler that knows the few
names of tensors and dictionaries, and builds arrays; a file that names anything else is refused.
"""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from minicaffe.errors import SnapshotError
from minicaffe.path_hints import not_found
from minicaffe.weights.files import check_archive, read_safetensors

Values = npt.NDArray[np.generic]

_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


def read_state_dict(path: str | Path) -> dict[str, Values]:
    """Return the arrays of a .safetensors or .pth file by name.

    Raises
    ------
    SnapshotError
        The file is missing, damaged, in the format before PyTorch 1.6, or not a state dict.
    MissingPackage
        The file needs the package safetensors, which is not installed.
    """
    if Path(path).suffix == ".safetensors":
        return read_safetensors(path)[0]
    try:
        with zipfile.ZipFile(path) as archive:
            check_archive(path, archive)
            return _read_archive(path, archive)
    except FileNotFoundError:
        raise SnapshotError(not_found(path)) from None
    except zipfile.BadZipFile:
        raise SnapshotError(
            f"{path}: is not a .safetensors file nor a .pth file of PyTorch 1.6 or newer. Older "
            "files: torch.save(torch.load(OLD), NEW) in PyTorch writes the newer form"
        ) from None


def _read_archive(path: str | Path, archive: zipfile.ZipFile) -> dict[str, Values]:
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise SnapshotError(f"{path}: has no data.pkl, so PyTorch did not write it")
    folder = pickles[0].removesuffix("data.pkl")
    with archive.open(pickles[0]) as file:
        try:
            found = _ArrayUnpickler(file, archive, folder).load()
        except _RefusedNameError as error:
            raise SnapshotError(
                f"{path}: contains {error}, which is no tensor. Save the state dict alone: "
                "torch.save(model.state_dict(), FILE)"
            ) from None
        except Exception as error:  # whatever a damaged pickle leads to
            raise SnapshotError(f"{path}: cannot be read ({error}); it is damaged") from None
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and isinstance(x, np.ndarray) for name, x in found.items()
    ):
        raise SnapshotError(f"{path}: is not a state dict, which has a tensor for each name")
    return dict(found)


class _RefusedNameError(Exception):
    """A pickle names something that is not needed for arrays."""


class _Storage(NamedTuple):
    name: str  # of the type


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickler that creates dictionaries and arrays only."""

    def __init__(self, file: object, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file)  # type: ignore[arg-type]
        self._archive, self._folder = archive, folder

    def find_class(self, module: str, name: str) -> object:
        """Return what stands for a name of PyTorch; no other names are accepted."""
        known: dict[tuple[str, str], Callable[..., object]] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
        }
        if (module, name) in known:
            return known[module, name]
        if module == "torch" and name in _DTYPES:
            return _Storage(name)
        raise _RefusedNameError(f"{module}.{name}")

    def persistent_load(self, identity: tuple[str, _Storage, str, str, int]) -> Values:
        """Return the values of a storage."""
        _, storage, key, _, n = identity
        data = self._archive.read(f"{self._folder}data/{key}")
        return np.frombuffer(data, _DTYPES[storage.name], n)


def _tensor(
    storage: Values, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> Values:
    """Return the part of a storage that a tensor is; strides count values."""
    last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if offset < 0 or min((*shape, *strides), default=0) < 0 or last >= max(storage.size, 1):
        raise ValueError(f"a tensor of shape {shape} is larger than its storage")
    part = storage[offset:]
    size = storage.dtype.itemsize
    return np.lib.stride_tricks.as_strided(part, shape, [size * x for x in strides])


def _parameter(data: Values, *_: object) -> Values:
    return data
