"""File type detection by signature: for error messages about files of the wrong type."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minicaffe.errors import MinicaffeError, SchemaError
from minicaffe.path_hints import folder_hint, missing_file_hint, not_found, one_line

HEAD_BYTES = 4096
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SIGNATURES = (
    (b"version https://git-lfs", "a git-lfs pointer, not the file itself; run 'git lfs pull'"),
    (b"\x89HDF\r\n", "an HDF5 file; name it .caffemodel.h5 or .solverstate.h5"),
    (b"\x1f\x8b", "a gzip archive; unpack it first"),
    (b"PK\x03\x04", "a zip archive; unpack it first"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
)


def read_file(path: str | Path, error: type[MinicaffeError] = SchemaError) -> bytes:
    """Return the content of a file, or raise `error` with the path and the reason."""
    with _explained(path, error):
        return Path(path).read_bytes()


def map_file(path: str | Path, error: type[MinicaffeError] = SchemaError) -> mmap.mmap | bytes:
    """Return the content of a file as memory that is read when it is used; errors as `read_file`.

    What cannot be mapped, such as a pipe or an empty file, is read.
    """
    with _explained(path, error), Path(path).open("rb") as file:
        try:
            found = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            return file.read()
        if hasattr(mmap, "MADV_WILLNEED"):
            found.madvise(mmap.MADV_WILLNEED)
        return found


@contextmanager
def _explained(path: str | Path, error: type[MinicaffeError]) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise error(not_found(path)) from None
    except IsADirectoryError:
        raise error(f"{path}: is a folder; a file is needed.{folder_hint(path)}") from None
    except OSError as reason:
        raise error(f"{path}: cannot be read: {reason.strerror or reason}") from None
    except ValueError as reason:  # a NUL byte, or characters that the locale cannot encode
        hint = missing_file_hint(path)
        raise error(f"{one_line(path)}: cannot be read: {reason}.{hint}") from None


def detect_file_type(head: bytes) -> str:
    """Return a description of the file type whose signature `head` begins with, "" if none."""
    for signature, kind in _SIGNATURES:
        if head.startswith(signature):
            return kind
    if re.match(rb"\s*<(!doctype|html|\?xml)", head, re.IGNORECASE):
        return "a web page; the download failed, or needs a login"
    return ""


def is_hdf5(path: str | Path) -> bool:
    """Return whether a file exists and has HDF5's signature."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(_HDF5_SIGNATURE)) == _HDF5_SIGNATURE
    except OSError:
        return False  # `read_file` raises an error with the reason


def is_prototxt(head: bytes) -> bool:
    """Return whether `head` looks like the beginning of a prototxt."""
    return b"\0" not in head and bool(re.match(rb"(\s|#.*|\xef\xbb\xbf)*[A-Za-z_]\w*\s*[:{]", head))


def is_binary(head: bytes) -> bool:
    """Return whether `head` contains control characters, which no text file has."""
    return bool(re.search(rb"[\x00-\x08\x0e-\x1a]", head))
