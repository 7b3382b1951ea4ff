"""The automatic number of threads beside each fixed one: small nets, on idle and on busy cores."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.net import NETS, Deployed, Own
from benchmarks.peer import Side, take_turns
from benchmarks.table import Row
from minicaffe.backends import get_backend
from minicaffe.backends.onednn.runtime.threads import default_threads
from minicaffe.schema import parse_net

WANTED = 0.95
# On busy cores the mean of 6 seconds differs by 7 % from one measurement to the next.
BUSY_FACTOR = 3
# 1,513 parameters, 6 kB.
TINY = """
name: "tiny"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 16 dim: 1 dim: 12 dim: 12 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 16 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 8 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "ip" type: "InnerProduct" bottom: "pool" top: "ip"
  inner_product_param { num_output: 7 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
_SPIN = "while True: pass"


def rows(names: Collection[str], seconds: float) -> Iterator[Row]:
    """Yield a row for each small net, then the same rows while other programs use all cores."""
    yield from _rows(names, seconds, "")
    with busy_cores():
        yield from _rows(names, BUSY_FACTOR * seconds, ", all cores busy")


def _rows(names: Collection[str], seconds: float, state: str) -> Iterator[Row]:
    backends = _backends()

    def compared(title: str, make: Any) -> Row:
        sides = {f"{n} threads": make(backend) for n, backend in backends.items()}
        # A new one for each row, because backends remember delays.
        chosen = make(get_backend("onednn"))
        return compare(f"{title}{state}", {"minicaffe": chosen, **sides}, seconds)

    source = parse_net(TINY, "tiny.prototxt")
    yield compared("net of 6 kB, training step", lambda backend: Own(source, backend))
    if "lenet" in names:
        title = NETS["lenet"].title
        yield compared(f"{title} 64, training step", lambda backend: Own("lenet", backend))
        for batch in (1, 16):
            yield compared(
                f"{title}, inference, batch {batch}",
                lambda backend, batch=batch: Deployed("lenet", backend, batch),
            )


def _backends() -> dict[int, Any]:
    """Return backends of 1, 2, 4, ... threads, up to the default number."""
    most = default_threads()
    counts = sorted({most, *(1 << i for i in range(most.bit_length()) if 1 << i <= most)})
    return {n: get_backend("onednn", threads=n) for n in counts}


def compare(title: str, sides: dict[str, Side], seconds: float) -> Row:
    """Compare the side "minicaffe", which chooses its threads, with the fastest of the others.

    By the mean of all iterations. On busy cores an iteration either runs undisturbed or waits for
    milliseconds; a median would leave out the waits, or the other iterations.
    """
    take_turns(sides, seconds / 2)  # when cores are found busy, further primitives are made
    times = take_turns(sides, seconds)
    means = {side: statistics.fmean(values) * 1e3 for side, values in times.items()}
    best = min((side for side in sides if side != "minicaffe"), key=means.__getitem__)
    return Row(
        f"automatic threads, {title}",
        f"{means['minicaffe']:.2f} ms",
        f"{means[best]:.2f} ms (--threads={best.split()[0]})",
        means[best] / means["minicaffe"],
        WANTED,
        details={"mean_ms": means, "best_ms": {s: min(v) * 1e3 for s, v in times.items()}},
    )


@contextmanager
def busy_cores() -> Iterator[None]:
    """Run a process on each core that computes without end, while the block runs."""
    command = [sys.executable, "-c", _SPIN]
    others = [subprocess.Popen(command) for _ in range(default_threads())]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()
