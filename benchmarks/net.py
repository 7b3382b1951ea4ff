"""Time whole nets beside PyTorch: same net, same batch, same threads, taking turns.

    python -m benchmarks.net lenet alexnet --peer-python ../torch/bin/python --json result.json

The peer's environment needs PyTorch only (``pip install torch==2.13.0``). Medians and their ratio
are printed, and written as JSON with the machine and the versions. Without --peer-python only
minicaffe is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

from minicaffe import __version__
from minicaffe.backends import get_backend
from minicaffe.backends.onednn.threads import default_threads
from minicaffe.net import Net
from minicaffe.net.filter import filter_layers
from minicaffe.ops.update import Update
from minicaffe.schema import LayerParameter, NetState, read_net

ROOT = Path(__file__).parents[1]
# Prototxt, batch, input shape.
NETS: dict[str, tuple[str, int, tuple[int, ...]]] = {
    "lenet": ("lenet/lenet_train_test.prototxt", 64, (1, 28, 28)),
    "cifar10_full": ("cifar10_full/train_val.prototxt", 100, (3, 32, 32)),
    "alexnet": ("alexnet/train_val.prototxt", 16, (3, 227, 227)),
    "googlenet": ("googlenet/train_val.prototxt", 16, (3, 224, 224)),
    "vgg16": ("vgg16/train_val.prototxt", 4, (3, 224, 224)),
    "resnet50": ("resnet50/train_val.prototxt", 8, (3, 224, 224)),
}


def source_of(name: str, phase: str) -> Any:
    """Return the net with inputs instead of its database, without accuracies."""
    path, batch, shape = NETS[name]
    source = read_net(ROOT / "models" / path)
    nodes = filter_layers(source, NetState(phase=phase))
    kept = [n.param for n in nodes if n.param.type not in ("Data", "Accuracy")]
    if phase == "TEST":
        kept = [p for p in kept if "Loss" not in p.type]
    inputs = [LayerParameter(name="data", type="Input", top=["data"])]
    inputs[0].input_param.shape.add(dim=[batch, *shape])
    if phase == "TRAIN":
        inputs.append(LayerParameter(name="label", type="Input", top=["label"]))
        inputs[1].input_param.shape.add(dim=[batch])
    del source.param.layer[:]
    source.param.layer.extend([*inputs, *kept])
    return source


class Own:
    """minicaffe's side."""

    def __init__(self, name: str, mode: str, threads: int, backend: str) -> None:
        phase = "TRAIN" if mode == "train" else "TEST"
        self.backend = get_backend(backend, threads=threads)
        self.net = Net(source_of(name, phase), phase, backend=self.backend, seed=1)
        data = self.net.blobs["data"].data
        data.set(np.random.default_rng(0).standard_normal(data.shape))
        self.trains = mode == "train"
        self.updates = []
        for p in self.net.parameters if self.trains else ():
            history = self.backend.tensor(p.blob.shape)
            op = Update("sgd", momentum=0.9)
            kernel = self.backend.plan(op, p.blob.data, p.blob.diff, history)
            self.updates.append((kernel, p.blob, [history]))

    def step(self) -> None:
        """Make one iteration, as the solver does."""
        if not self.trains:
            self.net.forward()
            return
        self.net.clear_param_diffs()
        self.net.forward()
        self.net.loss()
        self.net.backward()
        for kernel, blob, history in self.updates:
            kernel.step(blob.data, blob.diff, history, 1e-4, 5e-4, 1.0)

    def run(self, n: int) -> list[float]:
        """Return the seconds that each of n iterations took."""
        seconds = []
        for _ in range(n):
            start = time.perf_counter()
            self.step()
            seconds.append(time.perf_counter() - start)
        return seconds


class Peer:
    """PyTorch's side, in a process of its own."""

    def __init__(self, python: str, name: str, mode: str, threads: int) -> None:
        phase = "TRAIN" if mode == "train" else "TEST"
        net = Net(source_of(name, phase), phase, backend=get_backend("reference"))
        worker = Path(__file__).with_name("torch_peer.py")
        self.process = subprocess.Popen(
            [python, "-W", "ignore", str(worker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
        )
        shape = net.blobs["data"].shape
        message = {"layers": describe(net), "mode": mode, "threads": threads, "shape": shape}
        self.version = self._ask(message)["version"]

    def _ask(self, message: dict[str, Any]) -> Any:
        print(json.dumps(message), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())  # type: ignore[union-attr]

    def run(self, n: int) -> list[float]:
        """Return the seconds that each of n iterations took."""
        seconds: list[float] = self._ask({"run": n})["seconds"]
        return seconds

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def describe(net: Net) -> list[dict[str, Any]]:
    """Return a net as the peer takes it: plain numbers only."""
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
    """Return what a layer's module takes."""
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


def compare(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Time one net on both sides, taking turns."""
    sides: dict[str, Any] = {"minicaffe": Own(name, args.mode, args.threads, args.backend)}
    if args.peer_python:
        peer = sides["peer"] = Peer(args.peer_python, name, args.mode, args.threads)
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for side in sides.values():
        side.run(args.warm_up)
    for _ in range(args.rounds):
        for side, runner in sides.items():
            seconds[side] += runner.run(args.iterations)
    medians = {side: statistics.median(values) * 1e3 for side, values in seconds.items()}
    result: dict[str, Any] = {"net": name, "batch": NETS[name][1], "mode": args.mode}
    result.update({f"{side}_ms": round(ms, 3) for side, ms in medians.items()})
    result.update({f"{s}_best_ms": round(min(v) * 1e3, 3) for s, v in seconds.items()})
    if args.peer_python:
        result["times_faster"] = round(medians["peer"] / medians["minicaffe"], 3)
        result["peer"] = peer.version
        peer.close()
    return result


def main() -> None:
    """Parse the command line, time, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("nets", nargs="+", choices=NETS)
    parser.add_argument("--mode", choices=("train", "forward"), default="train")
    parser.add_argument("--backend", default="onednn")
    parser.add_argument("--peer-python", default="", help="python of an environment with PyTorch")
    parser.add_argument("--threads", type=int, default=default_threads())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=5, help="of each side in a round")
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--json", type=Path, help="where to write the results")
    args = parser.parse_args()
    report: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "threads": args.threads,
        "minicaffe": __version__,
        "numpy": np.__version__,
        "results": [],
    }
    for name in args.nets:
        report["results"].append(compare(name, args))
        print(json.dumps(report["results"][-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
