"""Runs train commands one after another in this process, for tests that start it with mpiexec.

Argument: a JSON file with the words of each command. Starting Python and MPI takes longer than a
short training.
"""

import json
import sys
from pathlib import Path

from minicaffe.cli.main import main


def run_commands(path: Path) -> int:
    """Return the exit code of the first command that fails, 0 if none does."""
    codes = (main(["train", *words]) for words in json.loads(path.read_text()))
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(run_commands(Path(sys.argv[1])))
