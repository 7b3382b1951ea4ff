"""Processes that mpiexec starts, for tests of what MPI and the launcher do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minicaffe.distributed.launch import mpiexec_beside_python

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 300  # a hang; a start takes a second, on a busy machine far longer


def mpiexec() -> str:
    """Return the mpiexec of the wheel; without it skip the test, in CI fail."""
    found = mpiexec_beside_python()
    if found is None:
        missing = "mpiexec is missing: pip install mpi4py mpich"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return str(found)


def rank_environment(**variables: str) -> dict[str, str]:
    """Return the environment of ranks: one thread each, and the modules of this checkout."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables}


def start_ranks(
    n: int, *argv: str, launcher: tuple[str, ...] = (), cwd: Path | None = None, **variables: str
):
    """Start Python in n processes; the caller waits for the returned Popen.

    Parameters
    ----------
    n : int
    *argv : str
        Arguments of Python.
    launcher : tuple of str
        Further arguments of mpiexec.
    cwd : Path, optional
        Working directory.
    **variables
        Environment variables.
    """
    return subprocess.Popen(
        [mpiexec(), *launcher, "-n", str(n), sys.executable, *argv],
        cwd=cwd,
        env=rank_environment(**variables),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_ranks_of_python(n: int, *argv: str, **options):
    """Run Python in n processes; return exit code, stdout and stderr."""
    process = start_ranks(n, *argv, **options)
    try:
        out, err = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return process.returncode, out, err
