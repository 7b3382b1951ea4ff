"""The cache folder of CuPy's compiled kernels: CuPy does not import without one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHOW = """
import os
from minicaffe.backends.cuda.driver.kernel_cache import VARIABLE, prepare_folder
prepare_folder()
print(os.environ.get(VARIABLE, ""))
print(os.path.isdir(os.environ.get(VARIABLE, "")))
"""


@pytest.fixture
def chosen(tmp_path):
    """A function that returns the folder that a process with this environment names, if any."""

    def run(**variables):
        environment = {**os.environ, "TMPDIR": str(tmp_path), **variables}
        environment = {name: value for name, value in environment.items() if value is not None}
        command = [sys.executable, "-c", SHOW]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        folder, is_there = done.stdout.splitlines()
        return folder, is_there == "True"

    return run


def test_cupys_own_folder(chosen, tmp_path):
    assert chosen(HOME=str(tmp_path), CUPY_CACHE_DIR=None) == ("", False)
    assert list((tmp_path / ".cupy" / "kernel_cache").iterdir()) == []


def test_a_home_that_cannot_be_written(chosen, tmp_path):
    file = tmp_path / "file"
    file.touch()
    folder, is_there = chosen(HOME=str(file), CUPY_CACHE_DIR=None)
    assert Path(folder).parent == tmp_path
    assert is_there
    # It goes with the process.
    assert not Path(folder).exists()


def test_a_folder_that_the_user_names(chosen, tmp_path):
    file = tmp_path / "file"
    file.touch()
    assert chosen(HOME=str(file), CUPY_CACHE_DIR="/mine") == ("/mine", False)
