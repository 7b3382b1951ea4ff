"""List the devices that nets can run on.

With --gpu, logs the properties of GPUs.

Example:
  minicaffe device_query
  minicaffe device_query --gpu all
"""

from __future__ import annotations

import platform
from pathlib import Path

from minicaffe.backends import BACKENDS, count_gpus
from minicaffe.cli.flags import Flags, flag
from minicaffe.cli.options.gpus import gpu_numbers
from minicaffe.cores import usable_cores
from minicaffe.errors import BackendUnavailable
from minicaffe.log import log_result


class DeviceQueryFlags(Flags):
    """Flags of the command."""

    gpu: str = flag(metavar="IDS", help="GPUs to show: numbers separated by commas, or all")


def run(flags: DeviceQueryFlags) -> int:
    """Run the command."""
    if flags.gpu:
        _query(flags.gpu)
        return 0
    log_result(f"CPU: {_processor()}, {usable_cores()} cores")
    log_result(f"Backends: {', '.join(BACKENDS)}")
    try:
        n = count_gpus()
    except BackendUnavailable as error:
        log_result(str(error))
    else:
        log_result(f"GPUs: {n}; --gpu all shows their properties")
    return 0


def _query(gpus: str) -> None:
    """Log the CUDA properties of GPUs in Caffe's format."""
    numbers = gpu_numbers(gpus)
    from minicaffe.backends.cuda.driver.cupy_device import query_device

    log_result(f"Querying GPUs {','.join(map(str, numbers))}")
    for number in numbers:
        for line in query_device(number):
            log_result(line)


def _processor() -> str:
    """Return the processor's name as the operating system reports it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
