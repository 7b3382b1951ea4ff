"""Finding and loading the library, and errors without it."""

from __future__ import annotations

import importlib.metadata
import threading

import pytest

import minicaffe.backends.onednn.runtime.library as lib
from minicaffe.backends import get_backend
from minicaffe.backends.onednn.runtime.threads import default_threads
from minicaffe.errors import BackendUnavailable, Unsupported


@pytest.fixture
def unloaded(monkeypatch):
    lib.library.cache_clear()
    monkeypatch.delenv(lib.VARIABLE, raising=False)
    yield monkeypatch
    lib.library.cache_clear()


def test_error_for_a_missing_file_names_the_wheel(unloaded):
    unloaded.setenv(lib.VARIABLE, "/nowhere/libdnnl.so")
    with pytest.raises(BackendUnavailable, match=r"does not load .*nowhere.* pip install onednn"):
        get_backend("onednn")


def test_error_for_a_missing_wheel_names_it(unloaded):
    def files(name):
        raise importlib.metadata.PackageNotFoundError(name)

    unloaded.setattr(importlib.metadata, "files", files)
    with pytest.raises(BackendUnavailable, match=r"is not installed\. pip install onednn-cpu-gomp"):
        get_backend("onednn")


def test_auto_falls_back_and_logs_one_line(unloaded, caplog_minicaffe, caplog):
    unloaded.setenv(lib.VARIABLE, "/nowhere/libdnnl.so")
    assert get_backend().name == "reference"
    (line,) = caplog.messages
    assert line.startswith("Using the slower reference backend: oneDNN does not load")
    with pytest.raises(BackendUnavailable):
        get_backend(strict=True)


def test_another_library_is_refused(unloaded):
    unloaded.setenv(lib.VARIABLE, "libgomp.so.1")
    with pytest.raises(BackendUnavailable, match="dnnl_version"):
        get_backend("onednn")


def test_error_for_an_unknown_backend_names_the_nearest():
    with pytest.raises(BackendUnavailable, match='no backend "onedn"'):
        get_backend("onedn")


def test_errors_name_the_function_and_status():
    with pytest.raises(Unsupported, match="dnnl_x returned: unimplemented"):
        lib.check_onednn(lib.OneDnnStatus.UNIMPLEMENTED, "dnnl_x")
    with pytest.raises(BackendUnavailable, match="dnnl_x returned: runtime error"):
        lib.check_onednn(lib.OneDnnStatus.RUNTIME_ERROR, "dnnl_x")


@pytest.mark.parametrize(("value", "expected"), [("3", 3), ("0", None), ("many", None)])
def test_environment_sets_the_threads(monkeypatch, value, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MINICAFFE_THREADS", raising=False)
    usual = default_threads()
    assert usual >= 1
    monkeypatch.setenv("MINICAFFE_THREADS", value)
    assert default_threads() == (expected or usual)


@pytest.mark.parametrize("name", ["reference", "auto"])
def test_threads_set_the_decoding_threads_too(name):
    assert get_backend(name, threads=1).data_threads == 1


def test_each_program_thread_uses_the_backends_thread_count(onednn):
    other = get_backend("onednn", threads=3)
    seen = []

    def record():
        for backend in (other, onednn, other):
            with backend.lock, backend.lock:
                seen.append(onednn.engine.lib.omp.omp_get_max_threads())

    record()
    thread = threading.Thread(target=record)
    thread.start()
    thread.join()
    assert seen == [3, 2, 3] * 2
    with onednn.lock:  # restores the count for later tests
        pass
