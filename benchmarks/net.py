"""The nets of the benchmarks: for training and to deploy, and their description for peers."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minicaffe.net import Net
from minicaffe.net.deployment.inference_net import with_batch
from minicaffe.net.include_rules import filter_layers
from minicaffe.onnx_export.parameters import copy_parameters
from minicaffe.ops.update import StepSize, Update, UpdateOperands
from minicaffe.schema import LayerBlobs, LayerParameter, NetSource, NetState, read_net
from minicaffe.solver.memory import MemoryUse, share_memory
from minicaffe.weights.fuse import fuse_net

ROOT = Path(__file__).parents[1]
WARM_UP = 2


class Known(NamedTuple):
    """A net for training, its input, and the speedup over PyTorch that its training must reach."""

    title: str
    path: str
    batch: int
    shape: tuple[int, ...]
    wanted_training: float | None

    @property
    def deployed_path(self) -> str:
        """The net to deploy."""
        return str(Path(self.path).with_name("deploy.prototxt"))


NETS = {
    "lenet": Known("LeNet", "lenet/lenet_train_test.prototxt", 64, (1, 28, 28), 2.2),
    "alexnet": Known("AlexNet", "alexnet/train_val.prototxt", 16, (3, 227, 227), 2.3),
    "googlenet": Known("GoogLeNet", "googlenet/train_val.prototxt", 16, (3, 224, 224), 2.8),
    "vgg16": Known("VGG-16", "vgg16/train_val.prototxt", 4, (3, 224, 224), 2.6),
    "resnet50": Known("ResNet-50", "resnet50/train_val.prototxt", 8, (3, 224, 224), 2.0),
    "mobilenet": Known("MobileNet", "mobilenet_v1/train_val.prototxt", 16, (3, 224, 224), 2.0),
    "squeezenet": Known("SqueezeNet", "squeezenet/train_val.prototxt", 16, (3, 227, 227), None),
}


def source_of(name: str, phase: str, batch: int = 0) -> NetSource:
    """Return the net to deploy in the phase TEST, or the net for training.

    The latter has Input layers instead of its database and no Accuracy layers.
    """
    known = NETS[name]
    batch = batch or known.batch
    if phase == "TEST":
        return with_batch(read_net(ROOT / "models" / known.deployed_path), batch)
    source = read_net(ROOT / "models" / known.path)
    nodes = filter_layers(source, NetState(phase=phase))
    layers = [n.param for n in nodes if n.param.type not in ("Data", "Accuracy")]
    inputs = [LayerParameter(name="data", type="Input", top=["data"])]
    inputs[0].input_param.shape.add(dim=[batch, *known.shape])
    inputs.append(LayerParameter(name="label", type="Input", top=["label"]))
    inputs[1].input_param.shape.add(dim=[batch])
    del source.param.layer[:]
    source.param.layer.extend([*inputs, *layers])
    return source


def draw_parameters(net: Net) -> None:
    """Write random parameters of which activations keep their magnitude from layer to layer."""
    rng = np.random.default_rng(0)
    for layer in net.layers:
        if layer.type == "BatchNorm":
            mean, variance, weight = layer.blobs
            mean.data.set(0.1 * rng.standard_normal(mean.shape))
            variance.data.set(rng.uniform(0.5, 1.5, variance.shape))
            weight.data.set(np.ones(weight.shape))
        elif layer.type in ("Convolution", "InnerProduct"):
            w, *bias = layer.blobs
            w.data.set(rng.standard_normal(w.shape) * np.sqrt(2 / math.prod(w.shape[1:])))
            for b in bias:
                b.data.set(0.1 * rng.standard_normal(b.shape))


def draw_input(net: Net) -> NDArray[np.float32]:
    """Write normally distributed values into the net's data, and return them."""
    data = net.blobs["data"].data
    values = np.random.default_rng(0).standard_normal(data.shape, np.float32)
    data.set(values)
    return values


def weights_of(net: Net) -> list[LayerBlobs]:
    """Return copies of a net's parameters."""
    return [
        LayerBlobs(layer.name, layer.type, [blob.data.get() for blob in layer.blobs])
        for layer in net.layers
        if layer.blobs
    ]


class Deployed:
    """minicaffe's side of inference: the net to deploy, normalisation folded as by `fuse`."""

    def __init__(self, name: str, backend: Any, batch: int = 0) -> None:
        self.backend = backend
        self.net = Net(source_of(name, "TEST", batch), "TEST", backend=backend, seed=1)
        draw_parameters(self.net)
        if any(layer.type == "BatchNorm" for layer in self.net.layers):
            fused = fuse_net(self.net.source, weights_of(self.net))
            self.net = Net(fused.source, "TEST", backend=backend, fills=False)
            copy_parameters(fused.layers, self.net)
        self.data = draw_input(self.net)
        (self._input,), (self._output,) = self.net.inputs, self.net.outputs

    def spread_scores(self) -> None:
        """Scale the last parameters so that scores vary by 1.

        Otherwise one class could have probability 1, whatever a peer computes.
        """
        self.net.forward()
        scores = self.net.steps[-1].bottom[0].data.get()
        last = [layer for layer in self.net.layers if layer.blobs][-1]
        for blob in last.blobs:
            blob.data.set(blob.data.get() / scores.std())

    def output(self) -> NDArray[np.float32]:
        """Return the values of a forward pass on `data`, from array to array."""
        self._input.data.set(self.data)
        self.net.forward()
        values: NDArray[np.float32] = self._output.data.get()
        return values

    def run(self, n: int) -> list[float]:
        """Run n forward passes; return the seconds of each."""
        return [_seconds(self.output) for _ in range(n)]


def _seconds(run: Any) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


class Own:
    """minicaffe's side of a training.

    Parameters
    ----------
    net : str or NetSource
        One of `NETS`, or another net whose data are an input.
    backend : Backend
    batch : int
        0 for that of `NETS`.
    memory : MemoryUse
        What the blobs share; the default is that of `minicaffe train`.
    """

    def __init__(
        self,
        net: str | NetSource,
        backend: Any,
        batch: int = 0,
        memory: MemoryUse = "share_gradients",
    ) -> None:
        self.backend = backend
        source = source_of(net, "TRAIN", batch) if isinstance(net, str) else net
        self.net = Net(source, "TRAIN", backend=backend, seed=1)
        draw_input(self.net)
        self.parameters = [
            UpdateOperands(p.blob.data, p.blob.diff, [self.backend.tensor(p.blob.shape)])
            for p in self.net.parameters
        ]
        tensors = (tensor for p in self.parameters for tensor in (p.w, p.dw, *p.history))
        self.kernel = self.backend.plan(Update("sgd", momentum=0.9), *tensors)
        self.net.non_finite = self.non_finite = self.backend.tensor(())
        share_memory(memory, self.net, ())

    def step(self) -> None:
        """Run one iteration as the solver does."""
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
        return [_seconds(self.step) for _ in range(n)]


def describe(net: Net) -> list[dict[str, Any]]:
    """Return a net as a list of layers with plain numbers, for a peer.

    A Scale layer is part of the BatchNorm before it, as in PyTorch.
    """
    layers: list[dict[str, Any]] = []
    names: dict[str, str] = {}
    for step in net.steps:
        layer, bottoms = step.layer, [names.get(b.name, b.name) for b in step.bottom]
        if layer.type == "Input":
            continue
        if layer.type == "Split":
            names.update({top.name: bottoms[0] for top in step.top})
            continue
        tops = [top.name for top in step.top]
        if layer.type == "Scale" and layers[-1]["type"] == "BatchNorm":
            layers[-1]["settings"]["affine"] = True
            layers[-1]["tops"] = tops
            continue
        layers.append(
            {
                "type": layer.type,
                "bottoms": bottoms,
                "tops": tops,
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
            return {"num_features": bottom[1], "eps": layer.settings.eps, "affine": False}
        case "Dropout":
            return {"p": layer.settings.dropout_ratio}
    return {}
