"""Finding NVIDIA's libraries, and what is said without them."""

from __future__ import annotations

import ctypes.util
import importlib
import importlib.metadata
from pathlib import PurePosixPath
from types import SimpleNamespace

import pytest

from minicaffe.backends.cuda.driver import libraries
from minicaffe.errors import BackendUnavailable


@pytest.fixture
def machine(monkeypatch):
    """A machine without any of them, to be furnished."""
    state = SimpleNamespace(pathfinder=None, wheels={}, system={}, loaded=[])

    def import_module(name):
        if name != "cuda.pathfinder" or state.pathfinder is None:
            raise ImportError(name)
        return SimpleNamespace(load_nvidia_dynamic_lib=state.pathfinder)

    def files(name):
        if name not in state.wheels:
            raise importlib.metadata.PackageNotFoundError(name)
        return state.wheels[name]

    def cdll(path):
        state.loaded.append(path)
        if "broken" in path:
            raise OSError("wrong ELF class")
        return SimpleNamespace(path=path)

    libraries.load_library.cache_clear()
    monkeypatch.setattr(importlib, "import_module", import_module)
    monkeypatch.setattr(importlib.metadata, "files", files)
    monkeypatch.setattr(ctypes.util, "find_library", state.system.get)
    monkeypatch.setattr(ctypes, "CDLL", cdll)
    yield state
    libraries.load_library.cache_clear()


def installed(folder, *names):
    """A wheel's list of files that are there."""
    found = []
    for name in names:
        (folder / name).write_bytes(b"")
        path = PurePosixPath(f"nvidia/lib/{name}")
        found.append(SimpleNamespace(name=path.name, locate=lambda n=name: folder / n))
    return found


def test_pathfinder_is_asked_first(machine):
    machine.pathfinder = lambda name: SimpleNamespace(abs_path=f"/cuda/lib{name}.so.13")
    machine.system["cublas"] = "libcublas.so.12"
    assert libraries.find_library("cublas") == "/cuda/libcublas.so.13"


@pytest.mark.parametrize("error", [RuntimeError, ValueError])
def test_then_the_wheels(machine, tmp_path, error):
    def fails(name):
        raise error(name)

    machine.pathfinder = fails
    files = installed(tmp_path, "libcublasLt.so.13", "libcublas.so.13", "cublas.h")
    machine.wheels["nvidia-cublas"] = files
    assert libraries.find_library("cublas") == str(tmp_path / "libcublas.so.13")
    assert libraries.find_library("cublasLt") == str(tmp_path / "libcublasLt.so.13")


def test_wheels_for_cuda_12_serve_too(machine, tmp_path):
    machine.wheels["nvidia-cudnn-cu12"] = installed(tmp_path, "libcudnn_ops.so.9", "libcudnn.so.9")
    assert libraries.find_library("cudnn") == str(tmp_path / "libcudnn.so.9")


def test_files_removed_by_hand_do_not_count(machine, tmp_path):
    machine.wheels["nvidia-cublas"] = installed(tmp_path, "libcublas.so.13")
    (tmp_path / "libcublas.so.13").unlink()
    machine.system["cublas"] = "libcublas.so.12"
    assert libraries.find_library("cublas") == "libcublas.so.12"


def test_nothing_found_says_where_and_how(machine):
    with pytest.raises(
        BackendUnavailable,
        match=r"cuDNN \(libcudnn\.so\) is not installed: neither cuda-pathfinder nor the wheels "
        r"nvidia-cudnn-cu13 and nvidia-cudnn-cu12 nor the system's library path has it\. "
        r'pip install "minicaffe\[gpu\]" installs it',
    ):
        libraries.find_library("cudnn")


def test_what_a_library_needs_is_loaded_before_it(machine):
    machine.system.update({name: f"lib{name}.so" for name in libraries.LIBRARIES})
    assert libraries.load_library("cudnn").path == "libcudnn.so"
    assert machine.loaded == ["libcublasLt.so", "libnvrtc.so", "libcudart.so", "libcudnn.so"]
    libraries.load_library("cudnn")
    assert len(machine.loaded) == 4


def test_cudnn_loads_without_the_cuda_runtime(machine):
    machine.system.update({name: f"lib{name}.so" for name in ("cublasLt", "nvrtc", "cudnn")})
    assert libraries.load_library("cudnn").path == "libcudnn.so"


def test_a_library_that_does_not_load(machine):
    machine.system["nvrtc"] = "/broken/libnvrtc.so"
    with pytest.raises(
        BackendUnavailable,
        match=r"NVRTC does not load from /broken/libnvrtc\.so \(wrong ELF class\)\. pip install",
    ):
        libraries.load_library("nvrtc")
