"""Measure the figures of docs/performance.md on this machine and print them as a section of it.

    python -m benchmarks --peer-python peers/bin/python --json result.json
    ONEDNN_MAX_CPU_ISA=AVX2 python -m benchmarks --peer-python peers/bin/python --only inference

The peers' environment does not need minicaffe; docs/performance.md names its packages. Without
--peer-python there is no comparison with other libraries. ONEDNN_MAX_CPU_ISA limits the peers as
well, where they can be limited. Every line is printed as soon as it is measured. A ratio is how
many times faster minicaffe is, or the fraction of a limit that it reaches.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Collection, Iterator
from pathlib import Path

from benchmarks import inference, limits, memory, pipeline, thread_choice, training
from benchmarks.net import NETS, ROOT
from benchmarks.peer import installed_peers, interpreter
from benchmarks.report import Report
from benchmarks.table import Row
from minicaffe.backends import get_backend
from minicaffe.ops.backend import Backend

KINDS = (
    "training",
    "inference",
    "bf16",
    "threads",
    "convolutions",
    "update",
    "memory",
    "iteration",
    "pipeline",
)


def measure(args: argparse.Namespace, backend: Backend, peers: Collection[str]) -> Iterator[Row]:
    """Yield the selected rows in the order of the table."""
    given = (args.nets, backend, args.peer_python, peers, args.seconds)
    if "training" in args.only:
        yield from training.rows(*given)
    if "inference" in args.only:
        yield from inference.rows(*given)
    if "bf16" in args.only:
        yield from training.bfloat16_rows(args.nets, backend, args.seconds)
    if "threads" in args.only and args.threads is None:
        yield from thread_choice.rows(args.nets, args.seconds)
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
    if "pipeline" in args.only:
        yield from pipeline.rows(args.peer_python)


def commit() -> str:
    """Return the commit of this checkout; "+" if files differ from it."""
    command = ["git", "describe", "--always", "--dirty=+", "--exclude=*", "--abbrev=8"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main(argv: list[str] | None = None) -> None:
    """Run the benchmarks that the command line selects."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument(
        "--only", nargs="+", choices=KINDS, default=KINDS, help="kinds of rows to measure"
    )
    parser.add_argument(
        "--peer-python", type=interpreter, default="", help="Python of the peers' environment"
    )
    parser.add_argument("--threads", type=int, help="(default: as minicaffe chooses them)")
    parser.add_argument("--seconds", type=float, default=6, help="time per line (%(default)g)")
    parser.add_argument("--json", type=Path, help="file for all figures")
    args = parser.parse_args(argv)
    if args.threads is not None and args.only == ["threads"]:
        parser.error("--only threads compares numbers of threads: leave out --threads")
    backend = get_backend("onednn", threads=args.threads)
    peers = installed_peers(args.peer_python)
    report = Report(backend, peers, commit())
    print(report.head(), flush=True)
    for row in measure(args, backend, peers):
        report.rows.append(row)
        print(row.markdown(), flush=True)
        if args.json:
            args.json.write_text(json.dumps(report.json(), indent=2) + "\n")
    print(report.footnotes(), flush=True)


if __name__ == "__main__":
    main()
