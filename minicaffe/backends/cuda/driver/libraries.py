"""Find and load NVIDIA's shared libraries: cuBLAS, cuDNN, NVRTC and the runtime.

Search order: the package ``cuda-pathfinder`` (a dependency of CuPy that searches wheels, conda and
CUDA_HOME), the file lists of NVIDIA's wheels, the system's library path.
"""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import functools
import importlib
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from minicaffe.errors import BackendUnavailable

EXTRA = "gpu"


@dataclass(frozen=True)
class SharedLibrary:
    """One shared library.

    Parameters
    ----------
    title : str
        NVIDIA's spelling.
    name : str
        Of lib<name>.so, and for cuda-pathfinder.
    wheels : tuple of str
        The wheels that contain it, for CUDA 13 and for CUDA 12.
    needs : tuple of str
        Libraries that it would open later by itself, perhaps from another place.
    uses : tuple of str
        The same for libraries without which it works in most cases.
    """

    title: str
    name: str
    wheels: tuple[str, ...]
    needs: tuple[str, ...] = ()
    uses: tuple[str, ...] = ()

    @property
    def advice(self) -> str:
        """How to install it."""
        return (
            f'pip install "minicaffe[{EXTRA}]" installs it for CUDA 13; so do the wheels '
            f"{self.wheels[0]} (CUDA 13) and {self.wheels[1]} (CUDA 12)"
        )


_CUBLAS_WHEELS = ("nvidia-cublas", "nvidia-cublas-cu12")
_KNOWN = (
    SharedLibrary("cuBLAS", "cublas", _CUBLAS_WHEELS, needs=("cublasLt",)),
    SharedLibrary("cuBLASLt", "cublasLt", _CUBLAS_WHEELS),
    # cuDNN opens the first two when it searches for plans: without cuBLASLt it finds none. Its
    # frontend opens the third by name.
    SharedLibrary(
        "cuDNN",
        "cudnn",
        ("nvidia-cudnn-cu13", "nvidia-cudnn-cu12"),
        needs=("cublasLt", "nvrtc"),
        uses=("cudart",),
    ),
    SharedLibrary("CUDA runtime", "cudart", ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu12")),
    SharedLibrary("NVRTC", "nvrtc", ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12")),
)
LIBRARIES = {library.name: library for library in _KNOWN}


def _by_pathfinder(library: SharedLibrary) -> str | None:
    try:
        pathfinder = importlib.import_module("cuda.pathfinder")
    except ImportError:
        return None
    try:
        return str(pathfinder.load_nvidia_dynamic_lib(library.name).abs_path)
    except (RuntimeError, ValueError):  # not found, or a name that this release does not know
        return None


def _in_wheels(library: SharedLibrary) -> str | None:
    for wheel in library.wheels:
        try:
            files = importlib.metadata.files(wheel) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        for file in files:
            path = Path(str(file.locate()))
            # A wheel whose files were deleted by hand still has a list of files.
            if file.name.startswith(f"lib{library.name}.so") and path.exists():
                return str(path)
    return None


def _on_system(library: SharedLibrary) -> str | None:
    return ctypes.util.find_library(library.name)


def find_library(name: str) -> str:
    """Return the path (or the name for the dynamic loader) of one of `LIBRARIES`.

    Raises
    ------
    BackendUnavailable
        If it is not found; the message states the search places and how to install it.
    """
    library = LIBRARIES[name]
    found = _by_pathfinder(library) or _in_wheels(library) or _on_system(library)
    if found is None:
        raise BackendUnavailable(
            f"{library.title} (lib{name}.so) is not installed: neither cuda-pathfinder nor the "
            f"wheels {' and '.join(library.wheels)} nor the system's library path has it. "
            f"{library.advice}"
        )
    return found


@functools.cache
def load_library(name: str) -> ctypes.CDLL:
    """Load one of `LIBRARIES`, after its dependencies.

    Raises
    ------
    BackendUnavailable
        If one of them cannot be found, or does not load.
    """
    library = LIBRARIES[name]
    for needed in library.needs:
        load_library(needed)
    for used in library.uses:
        with contextlib.suppress(BackendUnavailable):
            load_library(used)
    path = find_library(name)
    try:
        return ctypes.CDLL(path)
    except OSError as error:
        raise BackendUnavailable(
            f"{library.title} does not load from {path} ({error}). {library.advice}"
        ) from None
