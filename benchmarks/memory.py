"""Peak memory of nets, each measured in a separate process.

python -m benchmarks.memory alexnet train 64
python -m benchmarks.memory alexnet train 256 --optimize_memory
python -m benchmarks.memory vgg16 forward 16 --optimize_memory
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Collection, Iterator
from pathlib import Path

from benchmarks.net import NETS, ROOT, Deployed, Own
from benchmarks.table import Row
from minicaffe.backends import get_backend
from minicaffe.solver.memory import MemoryUse

MIB = 1 << 20
TRAINED = (("alexnet", 64), ("googlenet", 16), ("vgg16", 4), ("resnet50", 8))
OPTIMIZED = (("alexnet", 256), ("resnet50", 32))
TESTED = (("googlenet", 16), ("vgg16", 16))


def rows(nets: Collection[str]) -> Iterator[Row]:
    """Yield the memory rows of the selected nets."""
    for name, batch in TRAINED:
        if name in nets:
            yield trained(name, batch)
    for name, batch in OPTIMIZED:
        if name in nets:
            yield optimized(name, batch)
    for name, batch in TESTED:
        if name in nets:
            yield tested(name, batch)


def trained(name: str, batch: int) -> Row:
    """Compare the memory of training with the minimum: activations, gradients, 3 x parameters."""
    figures = _measure_apart(name, "train", str(batch))
    needed = figures["activations"] + figures["gradients"] + 3 * figures["parameters"]
    return Row(
        f"peak memory, {NETS[name].title} training, batch {batch}",
        f"{figures['peak'] / MIB:.0f} MiB",
        f"{needed / MIB:.0f} MiB (activations, gradients, 3 x parameters)",
        figures["peak"] / needed,
        1.15,
        is_limit=True,
        details=figures,
    )


def optimized(name: str, batch: int) -> Row:
    """Compare the memory of training with --optimize_memory with that of readable blobs."""
    uses = {
        "readable": _measure_apart(name, "train", str(batch), "--readable"),
        "share_gradients": _measure_apart(name, "train", str(batch)),
        "optimize": _measure_apart(name, "train", str(batch), "--optimize_memory"),
    }
    least, most = uses["optimize"]["peak"], uses["readable"]["peak"]
    return Row(
        f"peak memory, {NETS[name].title} training, batch {batch}, --optimize_memory",
        f"{least / MIB:.0f} MiB",
        f"{most / MIB:.0f} MiB (all blobs readable), "
        f"{uses['share_gradients']['peak'] / MIB:.0f} MiB (without it)",
        least / most,
        0.5,
        is_limit=True,
        details=uses,
    )


def tested(name: str, batch: int) -> Row:
    """Compare the memory of a net with and without memory shared between blobs."""
    apart = _measure_apart(name, "forward", str(batch))
    shared = _measure_apart(name, "forward", str(batch), "--optimize_memory")
    return Row(
        f"peak memory, {NETS[name].title} testing, batch {batch}, --optimize_memory",
        f"{shared['peak'] / MIB:.0f} MiB",
        f"{apart['peak'] / MIB:.0f} MiB (without it)",
        shared["peak"] / apart["peak"],
        1.0,
        is_limit=True,
        details={"apart": apart, "shared": shared},
    )


def _measure_apart(*arguments: str) -> dict[str, int]:
    """Run `measure` in a separate process."""
    command = [sys.executable, "-m", "benchmarks.memory", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    figures: dict[str, int] = json.loads(result.stdout.splitlines()[-1])
    return figures


def measure(
    name: str, mode: str, batch: int, optimizes: bool = False, is_readable: bool = False
) -> dict[str, int]:
    """Run a net in this process; return the growth of peak memory and the sizes of its blobs.

    All figures are bytes. The peak counts from the creation of the backend and includes that of the
    net. A training net shares what it does in `minicaffe train`, or, if it is readable, in pycaffe.
    """
    backend = get_backend("onednn")
    before = _peak_bytes()
    own: Own | Deployed
    if mode == "train":
        use: MemoryUse = "readable" if is_readable else "share_gradients"
        own = Own(name, backend, batch, "optimize" if optimizes else use)
    else:
        own = Deployed(name, backend, batch)
        if optimizes:
            own.net.optimize_memory()
    own.run(2)
    peak = _peak_bytes() - before
    made = {id(b): b for s in own.net.steps if s.layer.type != "Split" for b in s.top}
    learned = {id(b) for s in own.net.steps if s.needs_backward for b in s.top}
    return {
        "peak": peak,
        "activations": 4 * sum(b.count for b in made.values()),
        "gradients": 4 * sum(b.count for i, b in made.items() if i in learned),
        "parameters": 4 * sum(p.blob.count for p in own.net.parameters),
    }


def _peak_bytes() -> int:
    """Return the peak resident memory of this process.

    From /proc, because the figure of getrusage starts at the parent's.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    (peak,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(peak.split()[1]) * 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("net", choices=NETS)
    parser.add_argument("mode", choices=("train", "forward"))
    parser.add_argument("batch", type=int)
    parser.add_argument("--optimize_memory", action="store_true")
    parser.add_argument("--readable", action="store_true", help="gradients share no memory")
    args = parser.parse_args()
    figures = measure(args.net, args.mode, args.batch, args.optimize_memory, args.readable)
    print(json.dumps(figures))
