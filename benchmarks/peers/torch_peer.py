"""PyTorch peer of the benchmarks, for an environment without minicaffe.

It receives a net as a list of layers with plain numbers, in the protocol of `peer_loop`.
"""

from __future__ import annotations

import numpy as np
import torch
from peer_loop import one_by_one, serve, together
from torch import nn
from torch.nn import functional

WARM_UP = 3


class Graph(nn.Module):
    """A net from a list of layers: type, bottoms, tops, settings."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers
        self.parts = nn.ModuleDict(
            {str(i): m for i, part in enumerate(layers) if (m := module(part))}
        )

    def forward(self, blobs):
        """Return the loss, or the last output if there is no loss."""
        loss = None
        for i, layer in enumerate(self.layers):
            xs = [blobs[name] for name in layer["bottoms"]]
            if layer["type"] == "SoftmaxWithLoss":
                part = (
                    functional.cross_entropy(xs[0].flatten(1), blobs["label"].long())
                    * layer["weight"]
                )
                loss = part if loss is None else loss + part
                continue
            y = self.parts[str(i)](*xs) if str(i) in self.parts else FUNCTIONS[layer["type"]](*xs)
            blobs[layer["tops"][0]] = y
        return loss if loss is not None else y


def module(layer):
    kind, s = layer["type"], layer.get("settings", {})
    if kind == "Convolution":
        return nn.Conv2d(**s)
    if kind == "InnerProduct":
        return nn.Sequential(nn.Flatten(), nn.Linear(**s))
    if kind == "Pooling":
        ceil = {"ceil_mode": True, "kernel_size": s["kernel"], "stride": s["stride"]}
        if s["global"]:
            return nn.AdaptiveAvgPool2d(1)
        return (nn.MaxPool2d if s["max"] else nn.AvgPool2d)(padding=s["pad"], **ceil)
    if kind == "LRN":
        return nn.LocalResponseNorm(**s)
    if kind == "BatchNorm":
        return nn.BatchNorm2d(**s)
    if kind == "Dropout":
        return nn.Dropout(s["p"])
    return nn.ReLU(inplace=True) if kind == "ReLU" else None


FUNCTIONS = {
    "Concat": lambda *xs: torch.cat(xs, 1),
    "Eltwise": lambda a, b: a + b,
    "Flatten": lambda x: x.flatten(1),
    "Softmax": lambda x: x.softmax(1),
}


def copy_weights(net, path):
    """Read the parameters of convolutions and inner products, by index of layer and parameter."""
    arrays = np.load(path)
    with torch.no_grad():
        for index, part in net.parts.items():
            for k, parameter in enumerate(part.parameters()):
                parameter.copy_(torch.from_numpy(arrays[f"{index}.{k}"]))


class Peer:
    """A net, its input and its optimizer.

    On the CPU, PyTorch runs with its defaults. On a GPU, the message's `variant` is "eager"
    (defaults), "channels_last" (that memory format and cudnn.benchmark), "graph" or "compile" (the
    same as one CUDA graph, or with torch.compile); `precision` "tf32" or "bf16" (torch.autocast)
    applies to all but "eager".
    """

    def __init__(self, message):
        torch.set_num_threads(message["threads"])
        self.trains = message["mode"] == "train"
        self.device = message.get("device", "cpu")
        self.variant = message.get("variant", "eager")
        self.is_bfloat16 = message.get("precision") == "bf16"
        shape = message["shape"]
        self.net = Graph(message["layers"]).train(self.trains).to(self.device)
        self.inputs = {
            "data": torch.randn(shape, device=self.device),
            "label": torch.zeros(shape[0], device=self.device),
        }
        if "weights" in message:
            copy_weights(self.net, message["weights"])
            self.inputs["data"] = torch.from_numpy(np.load(message["input"]))
        if self.variant != "eager":
            self._tune()
        self.optimizer = torch.optim.SGD(
            self.net.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4
        )
        self.step = self._captured() if self.variant == "graph" else self._step

    @property
    def isa(self):
        """The instruction set of PyTorch's own kernels."""
        return "AVX-512" if torch.backends.cpu.get_cpu_capability() == "AVX512" else "AVX2"

    @property
    def run(self):
        """A function that runs n iterations and returns their seconds."""
        if self.device == "cuda":
            return together(self.step, torch.cuda.synchronize)
        return one_by_one(self.step)

    def _tune(self):
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
        self.net = self.net.to(memory_format=torch.channels_last)
        self.inputs["data"] = self.inputs["data"].to(memory_format=torch.channels_last)
        if self.variant == "compile":
            self.net = torch.compile(self.net)

    def _step(self):
        """Run one iteration."""
        if not self.trains:
            self.output()
            return
        self.optimizer.zero_grad()
        self._learn()

    def output(self):
        """Return the values of a forward pass."""
        with torch.inference_mode():
            return self.net(dict(self.inputs)).numpy()

    def _learn(self):
        # No cache of cast weights in a graph, because they would be cast before its capture.
        cast = torch.autocast(
            self.device,
            torch.bfloat16,
            enabled=self.is_bfloat16,
            cache_enabled=self.variant != "graph",
        )
        with cast:
            loss = self.net(dict(self.inputs))
        loss.backward()
        self.optimizer.step()

    def _captured(self):
        """Capture an iteration as one CUDA graph, as PyTorch's manual describes."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        self.optimizer.zero_grad()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._learn()
        return graph.replay


if __name__ == "__main__":
    serve(Peer, f"PyTorch {torch.__version__}")
