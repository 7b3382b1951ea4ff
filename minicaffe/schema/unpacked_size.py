"""Limit on what small files unpack to, because a compressed one could fill the memory."""

from __future__ import annotations

import os
from pathlib import Path

from minicaffe.errors import MinicaffeError

VARIABLE = "MINICAFFE_MAX_UNPACKED_BYTES"
# Larger contents must be at most so many times as large as their file. Blank images and one-hot
# labels are packed a thousandfold, images and weights less than tenfold.
_LIMIT_BYTES, _LIMIT_RATIO = 1 << 30, 64


def check_unpacked_size(path: str | Path, size_bytes: int, error: type[MinicaffeError]) -> None:
    """Raise `error` if a file says that it unpacks to far more than it holds.

    Parameters
    ----------
    path : str or Path
    size_bytes : int
        What its header says.
    error : type of MinicaffeError
    """
    stored = Path(path).stat().st_size
    chosen = os.environ.get(VARIABLE, "")
    limit = int(chosen) if chosen.isdecimal() else max(_LIMIT_BYTES, _LIMIT_RATIO * stored)
    if size_bytes > limit:
        raise error(
            f"{path}: its header says that {size_bytes:,} bytes are to be read from a file of "
            f"{stored:,}; at most {limit:,} are allowed. If the file is right, set the environment "
            f"variable {VARIABLE}."
        )
