"""Measure the figures of docs/performance.md on this machine and print them as a table.

    python -m benchmarks --peer-python ../torch/bin/python --json result.json

The peers' environment contains ``torch==2.13.0 "opencv-python-headless<5"``; it does not need
minicaffe. Without --peer-python there is no comparison with PyTorch and OpenCV. Every line is
printed as soon as it is measured. A ratio is how many times faster minicaffe is, or the fraction of
a limit that it reaches.
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import limits, memory
from benchmarks.net import NETS, compare
from benchmarks.table import HEAD, Row
from minicaffe import __version__
from minicaffe.backends import get_backend
from minicaffe.backends.onednn.runtime.threads import default_threads
from minicaffe.ops.backend import Backend

KINDS = ("train", "forward", "convolutions", "update", "memory", "iteration")


def measure(args: argparse.Namespace, backend: Backend) -> Iterator[Row]:
    """Yield the selected rows in the order of the table."""
    for mode in ("train", "forward"):
        if mode in args.only:
            for name in args.nets:
                yield compare(name, mode, backend, args.peer_python, args.seconds)
    if "convolutions" in args.only:
        for name in ("alexnet", "vgg16"):
            if name in args.nets:
                yield limits.convolutions(name, backend, args.seconds)
    if "update" in args.only and "alexnet" in args.nets:
        yield limits.solver_update(backend, args.seconds / 2)
    if "memory" in args.only:
        yield from memory.rows(args.nets)
    if "iteration" in args.only and "lenet" in args.nets:
        yield from limits.lenet_iteration(backend, args.seconds / 2)


def processor() -> str:
    """Return the processor's name as the operating system reports it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main(argv: list[str] | None = None) -> None:
    """Run the benchmarks that the command line selects."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument(
        "--only", nargs="+", choices=KINDS, default=KINDS, help="kinds of rows to measure"
    )
    parser.add_argument("--peer-python", default="", help="Python of the peers' environment")
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--seconds", type=float, default=6, help="time per line (%(default)g)")
    parser.add_argument("--json", type=Path, help="file for all figures")
    args = parser.parse_args(argv)
    backend = get_backend("onednn", threads=args.threads)
    report: dict[str, Any] = {
        "processor": processor(),
        "threads": args.threads,
        "python": platform.python_version(),
        "minicaffe": __version__,
        "numpy": np.__version__,
        "rows": [],
    }
    print(f"{report['processor']}, {args.threads} threads\n\n{HEAD}", flush=True)
    for row in measure(args, backend):
        print(row.markdown(), flush=True)
        report["rows"].append(row.json())
        if args.json:
            args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
