"""Compare ranks of one thread with one process of as many threads: the same batch, images/s.

    python -m benchmarks.scaling --nets alexnet googlenet lenet --ranks 2

Both sides are ``minicaffe train`` with constant data, which cost no time. They run in turns; the
ratio is the median of the rounds, so that what else the machine does affects both sides. The ranks
are started by the mpiexec beside this Python, or else by the first one on the path.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.net import NETS, ROOT, source_of
from benchmarks.table import HEAD, Row
from minicaffe.schema import LayerParameter, format_prototxt

# Caffe's log: "Iteration 20 (3.1 iter/s, 6.4s/20 iters), loss = ..."
RATE = re.compile(r"Iteration \d+ \(([0-9.e+-]+) iter/s")
SOLVER = (
    'base_lr: 1e-4 lr_policy: "fixed" momentum: 0.9 weight_decay: 5e-4 random_seed: 1 '
    'snapshot_after_train: false net: "{net}" display: {display} max_iter: {max_iter}\n'
)


class Load(NamedTuple):
    """The batch of all ranks together, as in the published prototxt, and what to measure.

    Parameters
    ----------
    batch : int
    iterations : int
        Between two displays, which give one rate.
    wanted : float
        The least ratio.
    """

    batch: int
    iterations: int
    wanted: float


LOADS = {
    "alexnet": Load(256, 2, 0.95),
    "googlenet": Load(32, 4, 0.95),
    "lenet": Load(64, 200, 0.85),
}
# Displays that are measured, after one that is not.
N_RATES = 3


def write_training(folder: Path, name: str, ranks: int) -> Path:
    """Write the solver and the net that each rank trains; return the solver's path."""
    load = LOADS[name]
    net = source_of(name, "TRAIN", load.batch // ranks).param
    inputs, others = net.layer[:2], net.layer[2:]
    data = LayerParameter(name="data", type="DummyData", top=[layer.top[0] for layer in inputs])
    for layer, value in zip(inputs, (0.5, 0), strict=True):
        data.dummy_data_param.shape.add().CopyFrom(layer.input_param.shape[0])
        data.dummy_data_param.data_filler.add(type="constant", value=value)
    del net.layer[:]
    net.layer.extend([data, *others])
    path = folder / f"{name}_{ranks}.prototxt"
    path.write_text(format_prototxt(net))
    solver = folder / f"{name}_{ranks}_solver.prototxt"
    n = load.iterations
    solver.write_text(SOLVER.format(net=path, display=n, max_iter=n * (N_RATES + 1) + 1))
    return solver


def mpiexec() -> str:
    """Return the path of the program that starts ranks."""
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        raise SystemExit("mpiexec was not found. Install it with: pip install 'minicaffe[mpi]'")
    return found


def train(solver: Path, ranks: int, threads: int) -> float:
    """Train; return the median of the displayed rates, iterations/s."""
    command = [sys.executable, "-m", "minicaffe", "train", f"--solver={solver}", "--no_run"]
    command.append(f"--threads={threads}")
    if ranks > 1:
        command = [mpiexec(), "-n", str(ranks), *command]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    log = done.stdout + done.stderr
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{log}")
    rates = [float(rate) for rate in RATE.findall(log)][-N_RATES:]
    if len(rates) < N_RATES:
        raise SystemExit(f"{' '.join(command)} displayed {len(rates)} rates:\n{log}")
    return statistics.median(rates)


def rows(names: list[str], ranks: int, rounds: int) -> Iterator[Row]:
    """Yield a row for each net."""
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            alone = write_training(Path(folder), name, 1)
            divided = write_training(Path(folder), name, ranks)
            pairs = [(train(divided, ranks, 1), train(alone, 1, ranks)) for _ in range(rounds)]
            batch = LOADS[name].batch
            own, other = (batch * statistics.median(side) for side in zip(*pairs, strict=True))
            yield Row(
                f"{NETS[name].title} training, batch {batch}, {ranks} ranks x 1 thread",
                f"{own:.0f} images/s",
                f"{other:.0f} images/s (1 process x {ranks} threads)",
                statistics.median(divided / alone for divided, alone in pairs),
                LOADS[name].wanted,
                details={"iterations_per_s": pairs},
            )


def main() -> None:
    """Measure what the command line selects."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", nargs="+", choices=LOADS, default=list(LOADS))
    parser.add_argument("--ranks", type=int, default=2, help="number of ranks (%(default)d)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each side (%(default)d)")
    args = parser.parse_args()
    print(HEAD, flush=True)
    for row in rows(args.nets, args.ranks, args.rounds):
        print(row.markdown(), flush=True)


if __name__ == "__main__":
    main()
