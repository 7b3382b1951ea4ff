"""Packages that are not installed: everything imports, and what needs them names them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from minicaffe.backends import blas_limit
from minicaffe.backends.blas_limit import BlasLimit
from minicaffe.data.engines.lmdb_engine import LmdbWriter
from minicaffe.errors import DataError

ROOT = Path(__file__).parents[2]
# On a machine with a GPU but without a package index, whatever is not there stays away. A module
# that is None in sys.modules raises ImportError.
PACKAGES = (
    "lmdb",
    "plyvel",
    "threadpoolctl",
    "h5py",
    "PIL",
    "rich",
    "argcomplete",
    "cupy",
    "cudnn",
)
MODULES = "caffe, minicaffe.cli.main, benchmarks.gpu, benchmarks.gpu_parts, benchmarks.gpu_basics"


def test_everything_imports_without_them():
    code = f"import sys; sys.modules.update(dict.fromkeys({PACKAGES})); import {MODULES}"
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert (found.returncode, found.stderr) == (0, "")


def test_writing_an_lmdb_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(DataError, match=r"package lmdb, which is not installed: pip install lmdb$"):
        LmdbWriter(str(tmp_path), "db")


def test_without_threadpoolctl_a_warning_is_logged_once(
    monkeypatch, caplog_minicaffe, caplog, request
):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    blas_limit._only_process_limits.cache_clear()
    request.addfinalizer(blas_limit._only_process_limits.cache_clear)
    for _ in range(2):
        with BlasLimit(1):
            pass
    (line,) = caplog.messages
    assert "threadpoolctl is not installed" in line
    assert line.endswith("pip install threadpoolctl")
