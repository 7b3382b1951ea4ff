"""Finding the library, and what happens without it."""

from __future__ import annotations

import importlib.metadata
import threading

import pytest

import minicaffe.backends.onednn.runtime.library as lib
from minicaffe.backends import get_backend
from minicaffe.backends.onednn.runtime.threads import default_threads
from minicaffe.errors import BackendUnavailable, Unsupported


@pytest.fixture
def nothing_loaded(monkeypatch):
    lib.library.cache_clear()
    monkeypatch.delenv(lib.VARIABLE, raising=False)
    yield monkeypatch
    lib.library.cache_clear()


def test_missing_file_says_how_to_get_the_library(nothing_loaded):
    nothing_loaded.setenv(lib.VARIABLE, "/nowhere/libdnnl.so")
    with pytest.raises(BackendUnavailable, match=r"does not load .*nowhere.* pip install onednn"):
        get_backend("onednn")


def test_missing_wheel_says_how_to_get_it(nothing_loaded):
    def files(name):
        raise importlib.metadata.PackageNotFoundError(name)

    nothing_loaded.setattr(importlib.metadata, "files", files)
    with pytest.raises(BackendUnavailable, match=r"is not installed\. pip install onednn-cpu-gomp"):
        get_backend("onednn")


def test_auto_falls_back_with_one_line(nothing_loaded, caplog_minicaffe, caplog):
    nothing_loaded.setenv(lib.VARIABLE, "/nowhere/libdnnl.so")
    assert get_backend().name == "reference"
    (line,) = caplog.messages
    assert line.startswith("Using the slower reference backend: oneDNN does not load")
    with pytest.raises(BackendUnavailable):
        get_backend(strict=True)


def test_a_library_of_another_kind_is_refused(nothing_loaded):
    nothing_loaded.setenv(lib.VARIABLE, "libgomp.so.1")
    with pytest.raises(BackendUnavailable, match="dnnl_version"):
        get_backend("onednn")


def test_unknown_backend_names_the_known_ones():
    with pytest.raises(BackendUnavailable, match='no backend "onedn"'):
        get_backend("onedn")


def test_failures_name_the_function():
    with pytest.raises(Unsupported, match="dnnl_x answers: unimplemented"):
        lib.check(lib.Status.UNIMPLEMENTED, "dnnl_x")
    with pytest.raises(BackendUnavailable, match="dnnl_x answers: runtime error"):
        lib.check(lib.Status.RUNTIME_ERROR, "dnnl_x")


@pytest.mark.parametrize(("value", "expected"), [("3", 3), ("0", None), ("many", None)])
def test_environment_sets_the_threads(monkeypatch, value, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MINICAFFE_THREADS", raising=False)
    usual = default_threads()
    assert usual >= 1
    monkeypatch.setenv("MINICAFFE_THREADS", value)
    assert default_threads() == (expected or usual)


@pytest.mark.parametrize("name", ["reference", "auto"])
def test_threads_govern_decoding_too(name):
    assert get_backend(name, threads=1).data_threads == 1


def test_every_thread_computes_on_as_many_as_the_backend(onednn):
    other = get_backend("onednn", threads=3)
    seen = []

    def look():
        for backend in (other, onednn, other):
            with backend.lock, backend.lock:
                seen.append(onednn.engine.lib.omp.omp_get_max_threads())

    look()
    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [3, 2, 3] * 2
    with onednn.lock:  # as the tests behind this one expect
        pass
