"""Show the devices that training can use: the CPU, or with --gpu what CUDA says of GPUs.

Example:
  minicaffe device_query
  minicaffe device_query --gpu all
"""

from __future__ import annotations

import argparse
import platform
from pathlib import Path

from minicaffe.backends import BACKENDS, count_gpus
from minicaffe.cli.options.backend import gpu_numbers
from minicaffe.cores import usable_cores
from minicaffe.errors import BackendUnavailable
from minicaffe.log import logger


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--gpu", default="", metavar="IDS", help="GPUs to show: 0,1 or all")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.gpu:
        _query(args.gpu)
        return 0
    logger.info(f"CPU: {_processor()}, {usable_cores()} cores")
    logger.info(f"Backends: {', '.join(BACKENDS)}")
    try:
        n = count_gpus()
    except BackendUnavailable as error:
        logger.info(str(error))
    else:
        logger.info(f"GPUs: {n}; --gpu all shows what they are")
    return 0


def _query(gpus: str) -> None:
    """Log what CUDA says of each GPU, in Caffe's form."""
    numbers = gpu_numbers(gpus)
    from minicaffe.backends.cuda.driver.cupy_device import query_device

    logger.info(f"Querying GPUs {','.join(map(str, numbers))}")
    for number in numbers:
        for line in query_device(number):
            logger.info(line)


def _processor() -> str:
    """Return the processor's name as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
