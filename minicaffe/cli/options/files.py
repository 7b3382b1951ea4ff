"""Declarations of flags that name a net, weights or a database."""

from __future__ import annotations

from minicaffe.cli.flags import flag, positional
from minicaffe.runs import weights_of


def weights_files(text: str) -> str:
    """Return the paths of weights, separated by commas, with those of runs in place of RUN/best.

    The `type` of all arguments that name weights.
    """
    parts = text.split(",")
    found = [(part, weights_of(part.strip())) for part in parts]
    return ",".join(part if path == part.strip() else path for part, path in found)


MODEL: str = flag(required=True, metavar="FILE", help="net prototxt")
WEIGHTS: str = flag(
    required=True, metavar="FILE", type=weights_files, help="trained weights, or a run: RUN/best"
)
WEIGHTS_ARGUMENT: str = positional(
    metavar="WEIGHTS", type=weights_files, help="trained weights, or a run: RUN/best"
)
WEIGHTS_LIST: str = flag(
    required=True,
    metavar="FILES",
    type=weights_files,
    help="trained weights, several files separated by commas, or a run: RUN/best",
)

INITIAL_WEIGHTS: str = flag(
    metavar="FILES",
    type=weights_files,
    help="trained weights to fine-tune from, copied by layer name, separated by commas; or a run: "
    "RUN/best",
)


def database_backend(default: str) -> str:
    """Declare the flag --backend of commands that read or write a database."""
    declaration: str = flag(default=default, help="lmdb or leveldb")
    return declaration
