"""Compare the service with PyTorch behind the same application; print a table.

    python -m benchmarks.serving --peer-packages ../torch/lib/python3.11/site-packages

For each net, three processes serve it: minicaffe, minicaffe without batches (--max_batch 1), and
PyTorch. One more process is the client, with 1, 8 and 64 connections that are kept open and binary
tensors of one image. The servers are measured in turns, several times; the table has the medians of
the turns, and the ratio of requests per second to PyTorch's in the same turn.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

SHAPES = {"lenet": [1, 28, 28], "squeezenet": [3, 227, 227], "resnet50": [3, 224, 224]}
# A turn is longer for a net whose batches take longer.
TURN_LENGTHS = {"lenet": 1.0, "squeezenet": 2.5, "resnet50": 5.0}
CLIENTS = (1, 8, 64)
HERE = Path(__file__).parent
OURS, ALONE, PEER = "minicaffe", "minicaffe, batches of 1", "PyTorch"


@dataclass
class Turn:
    """What one turn has measured: requests per second, and milliseconds.

    The time of all cores that the server takes for a request depends less on what else the machine
    does.
    """

    rate: float
    median_ms: float
    p99_ms: float
    cpu_ms: float


class Client:
    """The process that sends requests."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "serving_client.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def measure(
        self, server: tuple[int, int], clients: int, seconds: float, shape: list[int]
    ) -> Turn:
        """Return what a turn measures."""
        port, pid = server
        before = cpu_seconds(pid)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"port": port, "clients": clients, "seconds": seconds, "shape": shape}
        print(json.dumps(asked), file=self._process.stdin, flush=True)
        answer = json.loads(self._process.stdout.readline())
        took = 1000 * np.array(answer["requests"])
        # Those in flight at the end are computed, too.
        cpu_ms = 1000 * (cpu_seconds(pid) - before) / (len(took) + clients)
        median, p99 = np.percentile(took, [50, 99]).tolist()
        return Turn(len(took) / answer["turn"], median, p99, cpu_ms)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def cpu_seconds(pid: int) -> float:
    """Return the time that all cores have spent in a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def served(name: str, kind: str, packages: str, max_batch: int) -> Iterator[tuple[int, int]]:
    """Serve a net during the block; yield the port and the process."""
    path = [str(HERE.parent), os.environ.get("PYTHONPATH", "")]
    if kind == "pytorch":
        path.append(packages)
    words = [sys.executable, "-m", "benchmarks.serving_process", name, kind]
    with subprocess.Popen(
        [*words, f"--max_batch={max_batch}"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))},
        text=True,
    ) as process:
        try:
            out: IO[str] | None = process.stdout
            assert out is not None
            line = out.readline()
            if not line.strip().isdecimal():
                raise RuntimeError(f"{kind} does not serve {name}; see above")
            yield int(line), process.pid
        finally:
            process.terminate()


def measure(name: str, args: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """Yield rows of the table for a net."""
    with ExitStack() as stack:
        client = Client()
        stack.callback(client.close)
        servers = {
            OURS: stack.enter_context(served(name, "minicaffe", "", args.max_batch)),
            ALONE: stack.enter_context(served(name, "minicaffe", "", 1)),
        }
        if args.peer_packages:
            peer = served(name, "pytorch", args.peer_packages, args.max_batch)
            servers[PEER] = stack.enter_context(peer)
        for clients in args.clients:
            turns: dict[str, list[Turn]] = {kind: [] for kind in servers}
            for k in range(args.turns + 1):
                for kind, server in servers.items():
                    seconds = args.seconds * TURN_LENGTHS[name]
                    turn = client.measure(server, clients, seconds, SHAPES[name])
                    if k:  # the first turn plans and warms up
                        turns[kind].append(turn)
            yield from rows(name, clients, turns)


def rows(name: str, clients: int, turns: dict[str, list[Turn]]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each server."""
    base = [turn.rate for turn in turns.get(PEER, turns[ALONE])]
    for kind, some in turns.items():
        ratios = [turn.rate / other for turn, other in zip(some, base, strict=True) if other]
        yield (
            name,
            str(clients),
            kind,
            f"{statistics.median(turn.rate for turn in some):.1f}",
            f"{statistics.median(turn.median_ms for turn in some):.1f}",
            f"{statistics.median(turn.p99_ms for turn in some):.1f}",
            f"{statistics.median(turn.cpu_ms for turn in some):.2f}",
            f"{statistics.median(ratios):.2f}" if ratios else "",
        )


def main(argv: list[str] | None = None) -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--peer-packages", default="", help="site-packages with torch, for this Python's version"
    )
    parser.add_argument("--nets", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--clients", nargs="+", type=int, default=CLIENTS)
    parser.add_argument("--turns", type=int, default=5, help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=2, help="of a turn of LeNet (%(default)g)")
    parser.add_argument("--max_batch", type=int, default=16, help="(%(default)s)")
    args = parser.parse_args(argv)
    base = PEER if args.peer_packages else ALONE
    print(
        f"| net | clients | server | requests/s | median ms | 99 % ms | CPU ms | ratio to {base} |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name in args.nets:
        for cells in measure(name, args):
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
