"""Servers in processes of their own, as users start them."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager

from lenet import environment


@contextmanager
def served(*words, port=0):
    """Start a command that answers HTTP requests; yield its process and its URL.

    The command prints its URL at the end of its first line.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "minicaffe", *map(str, words), f"--port={port}"],
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        line = process.stdout.readline()
        if not line:
            raise AssertionError(process.communicate()[1])
        yield process, line.split()[-1].rstrip("/")
    finally:
        process.kill()
        process.communicate()
