"""The folder in which CuPy keeps compiled kernels: it does not load where it cannot make one."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

VARIABLE = "CUPY_CACHE_DIR"
FOLDER = "~/.cupy/kernel_cache"


def prepare_folder() -> None:
    """Give CuPy a folder for this process alone where its own cannot be written.

    CuPy makes the folder when it is imported. A folder that the user has named is left to it.
    """
    if VARIABLE in os.environ:
        return
    try:
        folder = Path(FOLDER).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except (OSError, RuntimeError):  # the latter: there is no home
        folder = Path(tempfile.mkdtemp(prefix="minicaffe_kernels_"))
        os.environ[VARIABLE] = str(folder)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
