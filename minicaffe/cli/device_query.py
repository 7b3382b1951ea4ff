"""Show the devices that training can use.

Example:
  minicaffe device_query
"""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

from minicaffe.backends import BACKENDS
from minicaffe.log import logger


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--gpu", default="", metavar="IDS", help="GPUs to show: 0,1 or all")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    logger.info(f"CPU: {_processor()}, {_cores()} cores")
    logger.info(f"Backends: {', '.join(BACKENDS)}")
    logger.info("No GPU backend is part of this version.")
    return 0


def _cores() -> int:
    """Return how many cores this process may use; all of them where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    """Return the processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
