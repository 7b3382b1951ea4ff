"""PyTorch's side of `benchmarks`: runs in an environment of its own, without minicaffe.

The net comes as a list of layers with plain numbers; the protocol is that of `serving`.
"""

from __future__ import annotations

import torch
from serving import serve
from torch import nn
from torch.nn import functional


class Graph(nn.Module):
    """A net from a list of layers: type, bottoms, tops, settings."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers
        self.parts = nn.ModuleDict(
            {str(i): m for i, part in enumerate(layers) if (m := module(part))}
        )

    def forward(self, blobs):
        """Return the loss, or the last output where there is none."""
        loss = None
        for i, layer in enumerate(self.layers):
            xs = [blobs[name] for name in layer["bottoms"]]
            if layer["type"] == "SoftmaxWithLoss":
                part = functional.cross_entropy(xs[0], blobs["label"].long()) * layer["weight"]
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
        # Caffe splits it in two layers; PyTorch's one does the work of both.
        return nn.BatchNorm2d(**s)
    if kind == "Dropout":
        return nn.Dropout(s["p"])
    return nn.ReLU(inplace=True) if kind == "ReLU" else None


FUNCTIONS = {
    "Scale": lambda x: x,
    "Concat": lambda *xs: torch.cat(xs, 1),
    "Eltwise": lambda a, b: a + b,
    "Flatten": lambda x: x.flatten(1),
    "Softmax": lambda x: x.softmax(1),
}


class Peer:
    """A net, its input and its optimizer."""

    def __init__(self, message):
        torch.set_num_threads(message["threads"])
        self.trains = message["mode"] == "train"
        self.net = Graph(message["layers"]).train(self.trains)
        shape = message["shape"]
        self.inputs = {"data": torch.randn(shape), "label": torch.zeros(shape[0])}
        self.optimizer = torch.optim.SGD(
            self.net.parameters(), lr=1e-4, momentum=0.9, weight_decay=5e-4
        )

    def step(self):
        """Make one iteration."""
        if not self.trains:
            with torch.inference_mode():
                self.net(dict(self.inputs))
            return
        self.optimizer.zero_grad()
        self.net(dict(self.inputs)).backward()
        self.optimizer.step()


if __name__ == "__main__":
    serve(lambda message: Peer(message).step, f"PyTorch {torch.__version__}")
