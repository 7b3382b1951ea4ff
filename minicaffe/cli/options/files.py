"""Declarations of flags that name a net, weights or a database."""

from __future__ import annotations

from typing import Any

from minicaffe.cli.flags import flag

# Any: see `minicaffe.cli.flags.flag`.
MODEL: Any = flag(required=True, metavar="FILE", help="net prototxt")
WEIGHTS: Any = flag(required=True, metavar="FILE", help="trained weights")
WEIGHTS_LIST: Any = flag(
    required=True, metavar="FILES", help="trained weights, several files separated by commas"
)


def database_backend(default: str) -> Any:
    """Declare the flag --backend of commands that read or write a database."""
    return flag(default=default, help="lmdb or leveldb")
