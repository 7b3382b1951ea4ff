"""Training steps beside PyTorch, and bfloat16 beside float32: the same net, batch and threads."""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing
from typing import Any

from benchmarks.machine import instruction_set
from benchmarks.net import NETS, Own, describe
from benchmarks.peer import Peer, Side, take_turns
from benchmarks.table import Row
from minicaffe.backends import get_backend

# How many times faster a training in bfloat16 must be.
WANTED_BF16 = {"alexnet": 1.6, "googlenet": 1.6, "vgg16": 1.6, "resnet50": 1.6, "lenet": 1.0}


def rows(
    names: Collection[str], backend: Any, python: str, peers: Collection[str], seconds: float
) -> Iterator[Row]:
    """Yield a row for each net: a training step and PyTorch's."""
    for name in names:
        if NETS[name].wanted_training is not None:
            yield compare(name, backend, python if "PyTorch" in peers else "", seconds)


def compare(name: str, backend: Any, python: str, seconds: float) -> Row:
    """Time a training step of a net, and PyTorch's, in turns for some seconds."""
    own = Own(name, backend)
    sides: dict[str, Side] = {"minicaffe": own}
    with ExitStack() as stack:
        if python:
            given = {
                "mode": "train",
                "threads": backend.threads,
                "shape": own.net.blobs["data"].shape,
                "layers": describe(own.net),
            }
            sides["PyTorch"] = stack.enter_context(closing(Peer(python, "torch_peer.py", given)))
        times = take_turns(sides, seconds)
    title = f"{NETS[name].title} {NETS[name].batch}, training step"
    return _row(title, times, "PyTorch", NETS[name].wanted_training)


def bfloat16_rows(names: Collection[str], backend: Any, seconds: float) -> Iterator[Row]:
    """Yield a row for each net: a training step in bfloat16 and one in float32."""
    half = get_backend("onednn", threads=backend.threads, precision="bf16")
    for name, wanted in WANTED_BF16.items():
        if name not in names:
            continue
        title = f"{NETS[name].title} {NETS[name].batch}, training step in bfloat16"
        if not instruction_set(backend.engine).endswith("bfloat16"):
            yield Row(title, "not available", "no bfloat16 instructions", None, wanted)
            continue
        times = take_turns({"minicaffe": Own(name, half), "float32": Own(name, backend)}, seconds)
        yield _row(title, times, "float32", wanted)


def _row(title: str, times: dict[str, list[float]], other: str, wanted: float | None) -> Row:
    medians = {side: statistics.median(values) * 1e3 for side, values in times.items()}
    has_other = other in medians
    return Row(
        title,
        f"{medians['minicaffe']:.2f} ms",
        f"{medians[other]:.2f} ms ({other})" if has_other else "no peer",
        medians[other] / medians["minicaffe"] if has_other else None,
        wanted,
        details={
            "median_ms": medians,
            "best_ms": {side: min(values) * 1e3 for side, values in times.items()},
            "runs": len(times["minicaffe"]),
        },
    )
