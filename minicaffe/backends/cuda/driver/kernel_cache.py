"""Cache folder for CuPy's compiled kernels: CuPy does not import if it cannot create one."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

VARIABLE = "CUPY_CACHE_DIR"
FOLDER = "~/.cupy/kernel_cache"


def prepare_folder() -> None:
    """Set a temporary cache folder for this process if CuPy's default one is not writable.

    CuPy creates the folder when it is imported. A folder that the user has set is not checked.
    """
    if VARIABLE in os.environ:
        return
    try:
        folder = Path(FOLDER).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        folder = Path(tempfile.mkdtemp(prefix="minicaffe_kernels_"))
        os.environ[VARIABLE] = str(folder)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
