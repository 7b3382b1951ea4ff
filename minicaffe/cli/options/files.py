"""Declarations of flags that name a net, weights or a database."""

from __future__ import annotations

from minicaffe.cli.flags import flag

MODEL: str = flag(required=True, metavar="FILE", help="net prototxt")
WEIGHTS: str = flag(required=True, metavar="FILE", help="trained weights")
WEIGHTS_LIST: str = flag(
    required=True, metavar="FILES", help="trained weights, several files separated by commas"
)


def database_backend(default: str) -> str:
    """Declare the flag --backend of commands that read or write a database."""
    declaration: str = flag(default=default, help="lmdb or leveldb")
    return declaration
