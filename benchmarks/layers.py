"""Profile of a training iteration: time by layer and by layer type.

    python -m benchmarks.layers lenet --threads 1

If other programs use the cores, measure with one thread, because several would wait for each other.
Every figure is the minimum over many iterations. GFLOP/s counts multiplications and additions of
convolutions and inner products.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.net import NETS, WARM_UP, Own
from minicaffe.backends import get_backend
from minicaffe.backends.onednn.runtime.threads import default_threads

HEAD = "| {} | forward, ms | backward, ms | share | GFLOP/s |\n|---|---|---|---|---|"
SHOWN_SHARE = 0.02
OPERATIONS = 2  # a product and a sum


@dataclass
class Cost:
    """Cost of one layer, or of another part of an iteration.

    Parameters
    ----------
    name, kind : str
        The layer and its type.
    forward_s, backward_s : float
        Minimum times in seconds.
    operations : float
        Multiplications and additions of both passes.
    """

    name: str
    kind: str
    forward_s: float = float("inf")
    backward_s: float = float("inf")
    operations: float = 0.0

    @property
    def total_s(self) -> float:
        """Time of both passes."""
        return self.forward_s + self.backward_s

    def line(self, whole_s: float) -> str:
        """Return the line of the table."""
        rate = f"{self.operations / self.total_s / 1e9:.0f}" if self.operations else ""
        times = f"{self.forward_s * 1e3:.2f} | {self.backward_s * 1e3:.2f}"
        return f"| {self.name} | {times} | {self.total_s / whole_s:.1%} | {rate} |"


def profile(own: Own, seconds: float) -> list[Cost]:
    """Return the minimum times of all layers in order, of the update, and of other work."""
    net = own.net
    own.run(WARM_UP)
    net.prepare_training()
    costs = [
        Cost(step.layer.name, step.layer.type, operations=_operations(step)) for step in net.steps
    ]
    update = Cost("solver update", "solver update", backward_s=0.0)
    rest = Cost("zeroing gradients, reading the loss", "rest", backward_s=0.0)
    end = time.perf_counter() + seconds
    while True:
        cleared = _seconds(net.clear_param_diffs)
        for step, cost in zip(net.steps, costs, strict=True):
            cost.forward_s = min(cost.forward_s, _seconds(step.forward))
        read = _seconds(net.loss)
        for step, cost in zip(reversed(net.steps), reversed(costs), strict=True):
            cost.backward_s = min(cost.backward_s, _seconds(step.backward))
        update.forward_s = min(update.forward_s, _seconds(own.update))
        rest.forward_s = min(rest.forward_s, cleared + read)
        if time.perf_counter() > end:
            return [*costs, update, rest]


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _operations(step: Any) -> float:
    """Return the multiplications and additions of forward, weight gradient and bottom gradient."""
    passes = 1 + step.needs_backward + any(step.propagate_down)
    return float(OPERATIONS * passes * step.layer.multiply_adds(step.bottom, step.top))


def by_type(costs: Iterable[Cost]) -> list[Cost]:
    """Return the sums over layers of one type, the largest first."""
    sums: dict[str, Cost] = {}
    for cost in costs:
        total = sums.setdefault(cost.kind, Cost(cost.kind, cost.kind, 0.0, 0.0))
        total.forward_s += cost.forward_s
        total.backward_s += cost.backward_s
        total.operations += cost.operations
    return sorted(sums.values(), key=lambda cost: -cost.total_s)


def report(costs: list[Cost]) -> Iterator[str]:
    """Yield the lines of two tables: layers of at least 2 % of the time, and layer types."""
    whole = Cost("all", "all", sum(c.forward_s for c in costs), sum(c.backward_s for c in costs))
    whole.operations = sum(c.operations for c in costs)
    shown = [c for c in costs if c.total_s >= SHOWN_SHARE * whole.total_s]
    for title, lines in (("layer", shown), ("type", by_type(costs))):
        yield HEAD.format(title)
        yield from (cost.line(whole.total_s) for cost in (*lines, whole))
        yield ""


def main(argv: list[str] | None = None) -> None:
    """Print the profile of the net that the command line selects."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("net", choices=NETS)
    parser.add_argument(
        "--batch", type=int, default=0, help="batch size (default: that of the benchmarks)"
    )
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--seconds", type=float, default=6, help="measuring time (%(default)g)")
    args = parser.parse_args(argv)
    own = Own(args.net, get_backend("onednn", threads=args.threads), args.batch)
    print("\n".join(report(profile(own, args.seconds))))


if __name__ == "__main__":
    main()
