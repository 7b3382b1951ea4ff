"""Compare iterations of two linked ranks with what `minicaffe time --nodes=2` predicts for them.

    python -m benchmarks.planning --rates=1gbit,10gbit --nets fully_connected googlenet alexnet

Linux only; needs root, iproute2, taskset and the extra `mpi`. Two network namespaces, joined by a
link of limited rate (`benchmarks.links`), are machines of one core each. For each rate and net:

1. the link is measured, while nothing else runs;
2. both machines predict at the same time, each from its own layers and the measured link;
3. both train together, with constant data.

All run with the highest priority. The ratio is the median of several rounds.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.links import (
    SPACES,
    URGENT,
    flag_of,
    limited_link,
    measure_link,
    missing_for_links,
    run_linked,
)
from benchmarks.net import ROOT
from benchmarks.scaling import RATE, SOLVER, write_training

# Two layers of 16.8 MB, and a third part of a second of arithmetic a GB/s: communication dominates.
FULLY_CONNECTED = """name: "FullyConnected"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 128 dim: 2048 } shape { dim: 128 }
    data_filler { type: "constant" value: 0.5 } data_filler { type: "constant" } } }
layer { name: "ip1" type: "InnerProduct" bottom: "data" top: "ip1"
  inner_product_param { num_output: 2048 weight_filler { type: "xavier" } } }
layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }
layer { name: "ip2" type: "InnerProduct" bottom: "ip1" top: "ip2"
  inner_product_param { num_output: 2048 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "ip2" top: "ip2" }
layer { name: "ip3" type: "InnerProduct" bottom: "ip2" top: "ip3"
  inner_product_param { num_output: 10 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip3" bottom: "label" top: "loss" }
"""
# Iterations that are timed one by one, and between two displays of the training.
ITERATIONS = {"fully_connected": 20, "googlenet": 4, "alexnet": 4}
# Of how many parts of the published batch a rank trains one: 16 and 32 images.
PARTS = {"googlenet": 2, "alexnet": 8}
N_DISPLAYS = 3
PREDICTED = re.compile(r"\] +([12]) +([0-9.]+) ms")
TIMEOUT_S = 900


class Compared(NamedTuple):
    """Times of an iteration, seconds.

    Parameters
    ----------
    alone : float
        Of one node, as `minicaffe time` measures it.
    predicted, trained : float
        Of two nodes.
    """

    alone: float
    predicted: float
    trained: float


def write_net(folder: Path, name: str) -> tuple[Path, Path]:
    """Write the net of a rank and its solver; return both paths."""
    if name != "fully_connected":
        solver = write_training(folder, name, PARTS[name])
        net = folder / f"{name}_{PARTS[name]}.prototxt"
    else:
        net, solver = folder / f"{name}.prototxt", folder / f"{name}_solver.prototxt"
        net.write_text(FULLY_CONNECTED)
    n = ITERATIONS[name]
    solver.write_text(SOLVER.format(net=net, display=n, max_iter=n * (N_DISPLAYS + 1) + 1))
    return net, solver


def predict(net: Path, flag: str, iterations: int) -> tuple[float, float]:
    """Return the mean predictions of both machines for one and for two nodes, seconds."""
    running = [
        subprocess.Popen(
            [
                *("setsid", "ip", "netns", "exec", space, *URGENT, "taskset", "-c", str(core)),
                *(sys.executable, "-m", "minicaffe", "time", f"--model={net}", "--threads=1"),
                *(f"--iterations={iterations}", "--nodes=1,2", flag),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for core, space in zip(cores(), SPACES, strict=True)
    ]
    logs = [process.communicate(timeout=TIMEOUT_S)[0] for process in running]
    found = [dict(PREDICTED.findall(log)) for log in logs]
    if any(len(times) != len(SPACES) for times in found):
        raise SystemExit(f"minicaffe time predicted nothing:\n{logs[0]}")
    alone, linked = (statistics.fmean(float(times[n]) * 1e-3 for times in found) for n in "12")
    return alone, linked


def train(solver: Path) -> float:
    """Return the time of an iteration of two linked ranks, seconds."""
    first, second = cores()
    pinned = f'test $PMI_RANK = 0 && core={first} || core={second}; exec taskset -c $core "$@"'
    command = (sys.executable, "-m", "minicaffe", "train", f"--solver={solver}", "--no_run")
    words = ("sh", "-c", pinned, "sh", *command, "--threads=1")
    log = run_linked(words, {"PYTHONPATH": str(ROOT)}, TIMEOUT_S)
    rates = [float(rate) for rate in RATE.findall(log)][-N_DISPLAYS:]
    return 1 / statistics.median(rates)


def cores() -> Sequence[int]:
    """Return the cores of the two machines."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < len(SPACES):
        raise SystemExit("benchmarks.planning: needs two cores")
    return usable[: len(SPACES)]


def compare(rate: str, name: str, rounds: int) -> Iterator[tuple[str, Compared]]:
    """Yield the measured link and the times of each round."""
    with tempfile.TemporaryDirectory() as folder:
        net, solver = write_net(Path(folder), name)
        for _ in range(rounds):
            with limited_link(rate):
                flag = flag_of(measure_link(repeats=5))
                yield flag, Compared(*predict(net, flag, ITERATIONS[name]), train(solver))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line selects, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rates", default="1gbit,10gbit", help="rates of the link, as tc reads")
    parser.add_argument("--nets", nargs="+", choices=ITERATIONS, default=list(ITERATIONS))
    parser.add_argument("--rounds", type=int, default=3, help="of each (%(default)d)")
    flags = parser.parse_args(arguments)
    if missing := missing_for_links():
        print(f"benchmarks.planning: {missing}", file=sys.stderr)
        return 1
    # Otherwise the namespaces would remain.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    print("| rate | net | link | one node | predicted | measured | predicted / measured |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for rate in flags.rates.split(","):
        for name in flags.nets:
            rows = list(compare(rate, name, flags.rounds))
            for flag, found in rows:
                print(f"  {name} {flag} {found}", file=sys.stderr, flush=True)
            print(row(rate, name, rows), flush=True)
    return 0


def row(rate: str, name: str, rows: Sequence[tuple[str, Compared]]) -> str:
    """Return the medians of the rounds as a row of the table."""
    alone, predicted, trained = (
        statistics.median(times) for times in zip(*(found for _, found in rows), strict=True)
    )
    ratio = statistics.median(found.predicted / found.trained for _, found in rows)
    flags = [flag for flag, _ in rows]
    return (
        f"| {rate} | {name} | {flags[len(flags) // 2]} | {alone * 1e3:.0f} ms | "
        f"{predicted * 1e3:.0f} ms | {trained * 1e3:.0f} ms | {ratio:.2f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
