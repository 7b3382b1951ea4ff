"""Measurements against limits: the machine's for convolutions and updates, kernels for Python."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.machine import bandwidth, best_seconds, peak_flops
from benchmarks.net import NETS, ROOT, WARM_UP, Own
from benchmarks.peer import FEWEST_RUNS
from benchmarks.table import Row
from minicaffe.backends.onednn.kernels.update import OneDnnUpdate
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.native.library import NativeLibrary
from minicaffe.schema import SolverParameter, SolverSource, read_net
from minicaffe.solver.solver import Solver

LENET_IMAGES = 256


def convolutions(name: str, backend: Any, seconds: float) -> Row:
    """Compare a net's convolution layers, forward and backward, with the machine's sgemm."""
    own = Own(name, backend)
    own.step()
    steps = [step for step in own.net.steps if step.layer.type == "Convolution"]
    peak = peak_flops(backend, seconds / 4)
    layers = {s.layer.name: _convolution(s, seconds / len(steps) / 3) for s in steps}
    passes = [figures for layer in layers.values() for figures in layer.values()]
    rate = sum(flops for flops, _ in passes) / sum(took for _, took in passes)
    shown = {
        layer: {kind: flops / took / 1e9 for kind, (flops, took) in figures.items()}
        for layer, figures in layers.items()
    }
    return Row(
        f"{NETS[name].title}'s convolution layers",
        f"{rate / 1e9:.0f} GFLOP/s",
        f"{peak / 1e9:.0f} GFLOP/s (sgemm)",
        rate / peak,
        0.8,
        details={"gflops": shown},
    )


def _convolution(step: Any, seconds: float) -> dict[str, tuple[float, float]]:
    """Return operations and minimum seconds of each pass of a convolution layer."""
    layer, x, y = step.layer, step.bottom[0], step.top[0]
    w, *b = layer.blobs
    flops = 2.0 * y.count * w.count / w.shape[0]
    bias = b[0].data if b else None
    passes: dict[str, Callable[[], object]] = {
        "forward": lambda: layer.kernel.forward(x.data, w.data, bias, y.data),
        "backward weights": lambda: _backward_weights(layer, x, y),
    }
    if step.propagate_down[0]:
        passes["backward data"] = lambda: layer.kernel.backward_data(y.diff, w.data, x.diff)
    return {kind: (flops, best_seconds(run, seconds)) for kind, run in passes.items()}


def _backward_weights(layer: Any, x: Any, y: Any) -> None:
    for blob in layer.blobs:
        blob.diff.clear()
    layer.kernel.backward_weights(x.data, y.diff, *layer.weight_diffs())


def solver_update(backend: Any, seconds: float) -> Row:
    """Compare AlexNet's SGD update with the bandwidth of memory."""
    own = Own("alexnet", backend)
    own.step()
    # The update reads and writes weights, gradients and history.
    traffic = 6 * 4 * sum(p.blob.count for p in own.net.parameters)
    own.update()
    limit = bandwidth(backend, seconds / 2)
    rate = traffic / best_seconds(own.update, seconds / 2)
    return Row(
        "AlexNet's solver update",
        f"{rate / 1e9:.1f} GB/s",
        f"{limit / 1e9:.1f} GB/s (c = a + b)",
        rate / limit,
        0.6,
    )


def lenet_iteration(backend: Any, seconds: float) -> list[Row]:
    """Compare LeNet's iteration, with data from LMDB, with its kernels; measure Python's overhead.

    "Python and dispatch" is the time of an iteration in which oneDNN and the solver's rule return
    immediately. It contains layers, lookup of memory and primitives, calls into the library,
    dispatch of the update to threads, and NumPy on labels, loss and biases (about a thousand
    numbers). The details give an upper bound: the whole iteration minus the time inside the library
    and the update, which also contains waiting for the processor and cache misses after kernels.
    """
    with tempfile.TemporaryDirectory() as folder, timed_kernels(backend) as kernels:
        solver = _lenet_solver(folder, backend)
        try:
            whole, inside, _ = _iterations(lambda: solver.step(1), kernels, seconds)
        finally:
            solver.close()
        own = Own("lenet", backend)
        alone, _, rest = _iterations(own.step, kernels, seconds)
    with idle_kernels(backend):
        own = Own("lenet", backend)
        python, _, _ = _iterations(own.step, [], seconds / 4)
    return [
        Row(
            "LeNet iteration from LMDB",
            f"{whole:.2f} ms",
            f"{inside:.2f} ms (its kernels)",
            whole / inside,
            1.25,
            is_limit=True,
        ),
        Row(
            "Python and dispatch in a LeNet iteration, ms",
            f"{python:.2f} ms",
            f"{alone:.2f} ms in all",
            python,
            0.7,
            is_limit=True,
            details={"subtracted_ms": rest},
        ),
    ]


def _iterations(
    run: Callable[[], object], kernels: list[float], seconds: float
) -> tuple[float, float, float]:
    """Return the medians of an iteration, its kernels together, and the rest, in milliseconds."""
    times: list[tuple[float, float, float]] = []
    for _ in range(WARM_UP):  # the first iterations create primitives
        run()
    end = time.perf_counter() + seconds
    while len(times) < FEWEST_RUNS or time.perf_counter() < end:
        kernels.clear()
        start = time.perf_counter()
        run()
        whole, inside = time.perf_counter() - start, sum(kernels)
        times.append((whole, inside, whole - inside))
    whole, inside, rest = (statistics.median(column) * 1e3 for column in zip(*times, strict=True))
    return whole, inside, rest


@contextmanager
def timed_kernels(backend: Any) -> Iterator[list[float]]:
    """Collect the seconds of each library call and update of nets created in the block."""
    seconds: list[float] = []

    def timed(run: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            result = run(*args, **kwargs)
            seconds.append(time.perf_counter() - start)
            return result

        return call

    library = backend.engine.lib.c
    targets = [(library, "dnnl_primitive_execute"), (library, "dnnl_sgemm"), (backend, "spread")]
    patches = [patch.object(owner, name, timed(getattr(owner, name))) for owner, name in targets]
    lookup = NativeLibrary.lookup
    patches.append(
        patch.object(NativeLibrary, "lookup", lambda native, name: timed(lookup(native, name)))
    )
    for one in patches:
        one.start()
    try:
        yield seconds
    finally:
        for one in patches:
            one.stop()


@contextmanager
def idle_kernels(backend: Any) -> Iterator[None]:
    """Make library, C kernels and solver's rule return immediately in nets created in the block."""

    def done(*_: Any) -> int:
        return 0

    library = backend.engine.lib.c
    with (
        patch.object(library, "dnnl_primitive_execute", done),
        patch.object(library, "dnnl_sgemm", done),
        patch.object(OneDnnUpdate, "_update_sgd", done),
        patch.object(NativeLibrary, "lookup", lambda *_: done),
    ):
        yield


def _lenet_solver(folder: str, backend: Any) -> Solver:
    """Return LeNet's solver with an LMDB of random images."""
    rng = np.random.default_rng(0)
    with create_database(f"{folder}/train", "LMDB") as db:
        for i in range(LENET_IMAGES):
            image = rng.integers(0, 256, (1, 28, 28), dtype=np.uint8)
            db.put(b"%08d" % i, encode_datum(image, i % 10))
    source = read_net(ROOT / "models" / NETS["lenet"].path)
    for layer in source.param.layer:
        if layer.type == "Data":
            layer.data_param.source = f"{folder}/train"
    param = SolverParameter(
        base_lr=0.01, lr_policy="inv", gamma=0.0001, power=0.75, momentum=0.9, weight_decay=0.0005
    )
    param.train_net_param.CopyFrom(source.param)
    return Solver(SolverSource(param, "lenet"), backend=backend, seed=1)
