"""Measure training on a GPU, compared with PyTorch on the same GPU, and print the table.

    python -m benchmarks.gpu --peer-python ../torch/bin/python --json gpu.json

The nets' input is on the GPU. The two sides run one after another, with a separate process for each
of PyTorch's rows (see `torch_peer`). The time of an iteration is the time of many, divided, so
that the host does not wait for the GPU in between. The last rows compare training from an LMDB of
images with that.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.net import NETS, ROOT, Own, describe
from benchmarks.peer import Peer, interpreter
from benchmarks.table import HEAD, Row
from minicaffe import __version__
from minicaffe.backends import get_backend
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.errors import BackendUnavailable
from minicaffe.schema import SolverParameter, SolverSource, read_net
from minicaffe.solver.iteration import Iteration
from minicaffe.solver.loss_history import LossHistory
from minicaffe.solver.rules import RULES
from minicaffe.solver.solver import Solver
from minicaffe.solver.update_settings import UpdateSettings

# The first iterations compile kernels, select plans and capture graphs.
WARM_UP = 10
CHUNKS = 5
IMAGES, SIDE = 1024, 256
WANTED_FROM_LMDB = 0.9
VARIANTS = ("eager", "channels_last", "graph", "compile")
PRECISIONS = ("tf32", "bf16")


class Wanted(NamedTuple):
    """A net's batch size, and the required speedups over PyTorch's rows."""

    batch: int
    than_eager: float
    than_best: float


WANTED = {
    "lenet": Wanted(64, 5.0, 1 / 1.2),
    "resnet50": Wanted(128, 1.2, 1.0),
    "alexnet": Wanted(256, 1.2, 1.0),
    "googlenet": Wanted(128, 1.2, 1.0),
    "vgg16": Wanted(64, 1.2, 1.0),
}


class Training(Own):
    """minicaffe's side: a solver's iterations, with input on the device."""

    def __init__(self, name: str, backend: Any, batch: int) -> None:
        super().__init__(name, backend, batch)
        param = SolverParameter(momentum=0.9, weight_decay=5e-4)
        self._iteration = Iteration(self.net, param, RULES["SGD"])
        self._losses = LossHistory(param)
        self._n = 0

    def step(self) -> None:
        """Enqueue an iteration."""
        self._losses.add(self._n, self._iteration.run(UpdateSettings(1e-4, 5e-4)))
        self._n += 1

    def run(self, n: int) -> list[float]:
        """Return the seconds per iteration of n iterations without waiting in between."""
        return _time(self.step, self.backend, n)


def _time(step: Any, backend: Any, n: int) -> list[float]:
    start = time.perf_counter()
    for _ in range(n):
        step()
    backend.synchronize()
    return [(time.perf_counter() - start) / n]


def median_ms(side: Any, seconds: float) -> float:
    """Return the median of `CHUNKS` times of many iterations, milliseconds."""
    side.run(WARM_UP)
    took = side.run(1)[0]
    n = max(1, int(seconds / CHUNKS / took))
    return statistics.median(side.run(n)[0] for _ in range(CHUNKS)) * 1e3


def own_ms(name: str, precision: str, batch: int, seconds: float) -> tuple[float, Any]:
    """Time minicaffe; return milliseconds, and the net as the peer takes it."""
    own = Training(name, get_backend("cuda", precision=precision), batch)
    return median_ms(own, seconds), describe(own.net)


def peer_rows(
    python: str, name: str, layers: Any, batch: int, variants: Sequence[str], seconds: float
) -> tuple[dict[str, float], dict[str, str]]:
    """Time PyTorch in every variant and precision.

    Returns
    -------
    times : dict
        Milliseconds by "variant precision"; "eager" has one precision, PyTorch's own.
    failures : dict
        The errors, by the same names.
    """
    times, failures = {}, {}
    given = {"layers": layers, "shape": (batch, *NETS[name].shape), "mode": "train", "threads": 4}
    for variant in variants:
        for precision in PRECISIONS if variant != "eager" else ("",):
            row = f"{variant} {precision}".strip()
            asked = {"device": "cuda", "variant": variant, "precision": precision, **given}
            try:
                peer = Peer(python, "torch_peer.py", asked)
                times[row] = median_ms(peer, seconds)
                peer.close()
            except (OSError, ValueError) as error:  # the process ended without an answer
                failures[row] = repr(error)
    return times, failures


def rows(
    name: str, python: str, variants: Sequence[str], batch: int, seconds: float
) -> Iterator[Row]:
    """Yield a net's rows: TF32 compared with PyTorch's defaults and its best row, then bfloat16."""
    wanted = WANTED[name]
    times: dict[str, float] = {}
    failures: dict[str, str] = {}
    for precision in PRECISIONS:
        own, layers = own_ms(name, precision, batch, seconds)
        if not times and python:
            times, failures = peer_rows(python, name, layers, batch, variants, seconds)
        title = f"{NETS[name].title} {batch}, training step, {precision}"
        details = {"own_ms": own, "peer_ms": times, "failures": failures}
        best = {row: ms for row, ms in times.items() if row.endswith(precision)}
        if precision == "tf32":
            eager = {row: ms for row, ms in times.items() if row == "eager"}
            yield compared(title, own, eager, wanted.than_eager, details)
            best |= eager
        yield compared(title, own, best, wanted.than_best if precision == "tf32" else None, details)


def compared(
    title: str, own: float, peers: dict[str, float], wanted: float | None, details: Any
) -> Row:
    """Return the row that compares minicaffe's time with the best of PyTorch's."""
    best = min(peers, key=peers.__getitem__, default="")
    other = f"{peers[best]:.2f} ms (PyTorch, {best})" if best else "no peer"
    ratio = peers[best] / own if best else 0.0
    return Row(title, f"{own:.2f} ms", other, ratio, wanted, details=details)


def from_lmdb(name: str, batch: int, seconds: float, images: int = IMAGES) -> Row:
    """Compare training from an LMDB of noise with training on input on the device."""
    backend = get_backend("cuda")
    synthetic = median_ms(Training(name, backend, batch), seconds)
    with tempfile.TemporaryDirectory() as folder:
        solver = data_solver(name, Path(folder), backend, batch, images)
        try:
            fed = median_ms(_Solving(solver, backend), seconds)
        finally:
            solver.close()
    return Row(
        f"{NETS[name].title} {batch}, from LMDB",
        f"{fed:.2f} ms",
        f"{synthetic:.2f} ms (input on the GPU)",
        synthetic / fed,
        WANTED_FROM_LMDB,
    )


class _Solving:
    def __init__(self, solver: Solver, backend: Any) -> None:
        self._solver, self._backend = solver, backend

    def run(self, n: int) -> list[float]:
        return _time(lambda: self._solver.step(1), self._backend, n)


def data_solver(name: str, folder: Path, backend: Any, batch: int, images: int) -> Solver:
    """Return a net's solver on an LMDB of noise."""
    channels, *size = NETS[name].shape
    side = SIDE if size[0] > SIDE // 2 else size[0]
    rng = np.random.default_rng(0)
    with create_database(str(folder / "train"), "LMDB") as db:
        for i in range(images):
            image = rng.integers(0, 256, (channels, side, side), dtype=np.uint8)
            db.put(b"%08d" % i, encode_datum(image, i % 10))
    source = read_net(ROOT / "models" / NETS[name].path)
    for layer in source.param.layer:
        if layer.type == "Data":
            layer.data_param.source = str(folder / "train")
            layer.data_param.batch_size = batch
            if layer.transform_param.mean_file:
                layer.transform_param.ClearField("mean_file")
    param = SolverParameter(base_lr=1e-4, lr_policy="fixed", momentum=0.9, weight_decay=5e-4)
    param.snapshot_after_train = False
    param.train_net_param.CopyFrom(source.param)
    return Solver(SolverSource(param, name), backend=backend, seed=1)


def measure(args: argparse.Namespace) -> Iterator[Row]:
    """Yield all rows asked for."""
    for name in args.nets:
        batch = args.batch or WANTED[name].batch
        yield from rows(name, args.peer_python, args.variants, batch, args.seconds)
    if args.from_lmdb:
        batch = args.batch or WANTED[args.from_lmdb].batch
        yield from_lmdb(args.from_lmdb, batch, args.seconds, args.pictures)


def command_line() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", nargs="*", choices=WANTED, default=list(WANTED))
    parser.add_argument("--from-lmdb", choices=[*WANTED, ""], default="resnet50")
    parser.add_argument("--pictures", type=int, default=IMAGES, help="in that LMDB (%(default)s)")
    parser.add_argument(
        "--peer-python", type=interpreter, default="", help="python that has PyTorch for CUDA"
    )
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--batch", type=int, default=0, help="instead of each net's own")
    parser.add_argument("--seconds", type=float, default=3, help="for each time (%(default)g)")
    parser.add_argument("--json", type=Path, help="where to write all numbers")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Parse the command line, measure, print, write."""
    args = command_line().parse_args(argv)
    try:
        description = get_backend("cuda").description
    except BackendUnavailable as error:
        print(error)
        return 1
    report: dict[str, Any] = {"device": description, "minicaffe": __version__, "rows": []}
    print(f"{description}\n\n{HEAD}", flush=True)
    for row in measure(args):
        print(row.markdown(), flush=True)
        report["rows"].append(row.json())
        if args.json:
            args.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
