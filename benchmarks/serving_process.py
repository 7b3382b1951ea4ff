"""The application of `minicaffe serve` in a process of its own, with minicaffe or PyTorch inside.

    python -m benchmarks.serving_process lenet minicaffe --max_batch 16

Writes the port to standard output. PyTorch's net is that of `torch_peer`, with random weights.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicaffe.backends import get_backend
from minicaffe.log import suppress_info
from minicaffe.net import Net
from minicaffe.ops.backend import HostArray
from minicaffe.prediction import DeployedNet
from minicaffe.serving.batching import BatchLimits
from minicaffe.serving.servable import Arrays, NetServable, Servable, TensorSpec
from minicaffe.serving.store import ModelStore
from minicaffe.web.access import access_for
from minicaffe.web.application import web_application
from minicaffe.web.inference.site import ImageLimits, service_routes
from minicaffe.web.request_limits import RequestLimits
from minicaffe.web.server import listening_socket, run_server

ROOT = Path(__file__).parents[1]


class TorchServable:
    """A PyTorch module as the service uses it.

    Parameters
    ----------
    module : torch.nn.Module
        Takes a dict of tensors.
    inputs, outputs : sequence of TensorSpec
    """

    platform = "pytorch"
    batches = True
    image_model = None
    labels: Sequence[str] = ()

    def __init__(
        self, module: Any, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
    ) -> None:
        self._module, self.inputs, self.outputs = module, inputs, outputs

    def infer(self, inputs: Arrays, wanted: Sequence[str]) -> dict[str, HostArray]:
        """Return the only output."""
        import torch

        with torch.inference_mode():
            # PyTorch warns of arrays that it may not write.
            given = {name: torch.from_numpy(np.require(x, None, "W")) for name, x in inputs.items()}
            return {wanted[0]: self._module(given).numpy()}

    def close(self) -> None:
        """Do nothing."""


class Measured:
    """A model of the benchmark.

    Parameters
    ----------
    name : str
        A folder of models/.
    kind : {"minicaffe", "pytorch"}
    max_batch : int
    """

    def __init__(self, name: str, kind: str, max_batch: int) -> None:
        self._name, self._kind, self._max_batch = name, kind, max_batch

    def fingerprint(self) -> object:
        """Return what does not change."""
        return self._name

    def open_servable(self) -> Servable:
        """Return the net with random weights."""
        path = ROOT / "models" / self._name / "deploy.prototxt"
        with suppress_info():
            net = DeployedNet(Net(path, "TEST", backend=get_backend(), seed=1))
            servable = NetServable(net, max_batch=self._max_batch)
        return servable if self._kind == "minicaffe" else _torch_servable(net.net, servable)


def _torch_servable(net: Net, like: Servable) -> TorchServable:
    from benchmarks.net import describe

    sys.path.append(str(Path(__file__).parent / "peers"))
    from torch_peer import Graph

    return TorchServable(Graph(describe(net)).eval(), like.inputs, like.outputs)


def main(argv: list[str] | None = None) -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("kind", choices=("minicaffe", "pytorch"))
    parser.add_argument("--max_batch", type=int, default=16)
    args = parser.parse_args(argv)
    source = Measured(args.name, args.kind, args.max_batch)
    store = ModelStore(lambda _: source, BatchLimits(args.max_batch, timeout_s=600))
    store.open_model("m", source)
    listening = listening_socket("127.0.0.1", 0, 0)
    print(listening.getsockname()[1], flush=True)
    application = web_application(
        service_routes(store, ImageLimits()), access_for("127.0.0.1", None), RequestLimits()
    )
    run_server(application, listening, drain_s=1)
    store.close()


if __name__ == "__main__":
    main()
