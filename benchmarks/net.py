"""Comparison of whole nets with PyTorch and OpenCV: same net, batch and threads, interleaved."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.table import Row
from minicaffe.net import Net
from minicaffe.net.include_rules import filter_layers
from minicaffe.net.weights import save_net
from minicaffe.ops.update import StepSize, Update, UpdateOperands
from minicaffe.schema import LayerParameter, NetState, format_prototxt, read_net

ROOT = Path(__file__).parents[1]
WARM_UP = 2
# Time that one side computes before the other. If sides alternated after each iteration, short
# iterations would mostly measure the waking of threads and cache misses that the other side causes,
# which do not occur in training.
SLICE_S = 0.25
FEWEST_RUNS = 3
WANTED_FORWARD = 1.3


class Known(NamedTuple):
    """A net, its input, and the speedup over the peer that its training must reach."""

    title: str
    path: str
    batch: int
    shape: tuple[int, ...]
    wanted_training: float


NETS = {
    "lenet": Known("LeNet", "lenet/lenet_train_test.prototxt", 64, (1, 28, 28), 2.0),
    "alexnet": Known("AlexNet", "alexnet/train_val.prototxt", 16, (3, 227, 227), 2.0),
    "googlenet": Known("GoogLeNet", "googlenet/train_val.prototxt", 16, (3, 224, 224), 2.0),
    "vgg16": Known("VGG-16", "vgg16/train_val.prototxt", 4, (3, 224, 224), 1.3),
    "resnet50": Known("ResNet-50", "resnet50/train_val.prototxt", 8, (3, 224, 224), 1.3),
}


def source_of(name: str, phase: str, batch: int = 0) -> Any:
    """Return the net with Input layers instead of its database and without Accuracy layers."""
    known = NETS[name]
    batch = batch or known.batch
    source = read_net(ROOT / "models" / known.path)
    nodes = filter_layers(source, NetState(phase=phase))
    layers = [n.param for n in nodes if n.param.type not in ("Data", "Accuracy")]
    if phase == "TEST":
        layers = [p for p in layers if "Loss" not in p.type]
    inputs = [LayerParameter(name="data", type="Input", top=["data"])]
    inputs[0].input_param.shape.add(dim=[batch, *known.shape])
    if phase == "TRAIN":
        inputs.append(LayerParameter(name="label", type="Input", top=["label"]))
        inputs[1].input_param.shape.add(dim=[batch])
    del source.param.layer[:]
    source.param.layer.extend([*inputs, *layers])
    return source


class Own:
    """minicaffe's side."""

    def __init__(self, name: str, mode: str, backend: Any, batch: int = 0) -> None:
        phase = "TRAIN" if mode == "train" else "TEST"
        self.backend = backend
        self.net = Net(source_of(name, phase, batch), phase, backend=backend, seed=1)
        data = self.net.blobs["data"].data
        data.set(np.random.default_rng(0).standard_normal(data.shape))
        for layer in self.net.layers:
            if layer.type == "BatchNorm":  # untrained statistics would give infinite values
                for blob in layer.blobs[1:]:
                    blob.data.set(np.ones(blob.shape))
        self.trains = mode == "train"
        self.parameters = [
            UpdateOperands(p.blob.data, p.blob.diff, [self.backend.tensor(p.blob.shape)])
            for p in (self.net.parameters if self.trains else ())
        ]
        tensors = (tensor for p in self.parameters for tensor in (p.w, p.dw, *p.history))
        self.kernel = self.backend.plan(Update("sgd", momentum=0.9), *tensors)
        self.non_finite = self.backend.tensor(())
        if self.trains:
            self.net.non_finite = self.non_finite

    def step(self) -> None:
        """Run one iteration as the solver does."""
        if not self.trains:
            self.net.forward()
            return
        # The solver's iteration is one program, which enters the limit once.
        with self.backend.blas_limit:
            self.net.clear_param_diffs()
            self.net.forward()
            self.net.loss()
            self.net.backward()
            self.update()

    def update(self) -> None:
        """Update all parameters."""
        self.kernel.step(self.parameters, lambda: StepSize(1e-4, 5e-4), self.non_finite)

    def run(self, n: int) -> list[float]:
        """Run n iterations; return the seconds of each."""
        seconds = []
        for _ in range(n):
            start = time.perf_counter()
            self.step()
            seconds.append(time.perf_counter() - start)
        return seconds


class Peer:
    """Another library, in a separate process."""

    def __init__(self, python: str, worker: str, message: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [python, "-W", "ignore", str(Path(__file__).with_name(worker))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(message["threads"])},
        )
        self.version = self._ask(message)["version"]

    def _ask(self, message: dict[str, Any]) -> Any:
        print(json.dumps(message), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())  # type: ignore[union-attr]

    def run(self, n: int) -> list[float]:
        """Run n iterations; return the seconds of each."""
        seconds: list[float] = self._ask({"run": n})["seconds"]
        return seconds

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def describe(net: Net) -> list[dict[str, Any]]:
    """Return a net as a list of layers with plain numbers, for a peer."""
    layers = []
    names: dict[str, str] = {}
    for step in net.steps:
        layer, bottoms = step.layer, [names.get(b.name, b.name) for b in step.bottom]
        if layer.type == "Input":
            continue
        if layer.type == "Split":
            names.update({top.name: bottoms[0] for top in step.top})
            continue
        layers.append(
            {
                "type": layer.type,
                "bottoms": bottoms,
                "tops": [top.name for top in step.top],
                "settings": settings(layer, step.bottom[0].shape),
                "weight": step.loss_weights[0],
            }
        )
    return layers


def settings(layer: Any, bottom: tuple[int, ...]) -> dict[str, Any]:
    """Return the arguments of the PyTorch module of a layer."""
    match layer.type:
        case "Convolution":
            w, window = layer.blobs[0].shape, layer.window
            return {
                "in_channels": bottom[1],
                "out_channels": w[0],
                "kernel_size": window.kernel,
                "stride": window.stride,
                "padding": window.pad,
                "groups": layer.settings.group,
                "bias": len(layer.blobs) > 1,
            }
        case "InnerProduct":
            outputs, inputs = layer.blobs[0].shape
            return {"in_features": inputs, "out_features": outputs}
        case "Pooling":
            window = layer.window
            return {
                "global": bool(layer.settings.global_pooling),
                "max": layer.mode == "max",
                "kernel": window.kernel,
                "stride": window.stride,
                "pad": window.pad,
            }
        case "LRN":
            s = layer.settings
            return {"size": s.local_size, "alpha": s.alpha, "beta": s.beta, "k": s.k}
        case "BatchNorm":
            return {"num_features": bottom[1]}
        case "Dropout":
            return {"p": layer.settings.dropout_ratio}
    return {}


def peers_of(own: Own, name: str, python: str, scratch: Path) -> dict[str, Peer]:
    """Start the peers of one comparison: PyTorch, and OpenCV for forward passes."""
    threads, shape = own.backend.threads, own.net.blobs["data"].shape
    mode = "train" if own.trains else "forward"
    given = {"mode": mode, "threads": threads, "shape": shape}
    peers = {"PyTorch": Peer(python, "torch_peer.py", {"layers": describe(own.net), **given})}
    if not own.trains:
        weights, prototxt = scratch / f"{name}.caffemodel", scratch / f"{name}.prototxt"
        prototxt.write_text(format_prototxt(own.net.param))
        save_net(own.net, weights)
        files = {"prototxt": str(prototxt), "weights": str(weights)}
        peers["OpenCV"] = Peer(python, "opencv_peer.py", {**files, **given})
        weights.unlink()
    return peers


def _iterations_per_slice(seconds: list[float]) -> int:
    """Return the number of iterations of a time slice from the seconds of some iterations."""
    return max(1, int(SLICE_S / min(seconds)))


def compare(name: str, mode: str, backend: Any, python: str, seconds: float) -> Row:
    """Time one net on all sides, in alternating time slices, for some seconds."""
    own = Own(name, mode, backend)
    with tempfile.TemporaryDirectory() as scratch:
        peers = peers_of(own, name, python, Path(scratch)) if python else {}
    sides: dict[str, Any] = {"minicaffe": own, **peers}
    times: dict[str, list[float]] = {side: [] for side in sides}
    counts = {side: _iterations_per_slice(runner.run(WARM_UP)) for side, runner in sides.items()}
    end = time.perf_counter() + seconds
    while len(times["minicaffe"]) < FEWEST_RUNS or time.perf_counter() < end:
        for side, runner in sides.items():
            times[side] += runner.run(counts[side])
    medians = {side: statistics.median(values) * 1e3 for side, values in times.items()}
    best = min(peers, key=medians.__getitem__, default="minicaffe")
    for peer in peers.values():
        peer.close()
    details = {
        "median_ms": medians,
        "best_ms": {side: min(values) * 1e3 for side, values in times.items()},
        "runs": len(times["minicaffe"]),
        "versions": {side: peer.version for side, peer in peers.items()},
    }
    return Row(
        f"{NETS[name].title} {NETS[name].batch}, {'training step' if own.trains else 'forward'}",
        f"{medians['minicaffe']:.2f} ms",
        f"{medians[best]:.2f} ms ({peers[best].version})" if peers else "no peer",
        medians[best] / medians["minicaffe"],
        NETS[name].wanted_training if own.trains else WANTED_FORWARD,
        details=details,
    )
