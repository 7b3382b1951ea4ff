"""Inference beside other libraries: the same net, weights, input, batch and threads, in turns."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import instruction_set
from benchmarks.net import NETS, Deployed, describe, weights_of
from benchmarks.peer import Peer, take_turns
from benchmarks.table import Row
from minicaffe import log
from minicaffe.net.weights import save_net
from minicaffe.onnx_export import ExportSettings, export_net
from minicaffe.onnx_export.parameters import copy_parameters
from minicaffe.onnx_runtime import relative_difference
from minicaffe.schema import format_prototxt

BATCHES = (1, 16)
WANTED = 1.0
# Sums in another order differ by 1e-5, and those of Winograd's algorithm by more; a wrong net's
# outputs by 0.1 to 1.
TOLERANCE = 1e-3
WORKERS = {
    "PyTorch": "torch_peer.py",
    "OpenCV": "opencv_peer.py",
    "onnxruntime": "onnxruntime_peer.py",
    "OpenVINO": "openvino_peer.py",
}


def rows(
    names: Collection[str], backend: Any, python: str, peers: Collection[str], seconds: float
) -> Iterator[Row]:
    """Yield a row for each net and batch."""
    for name in names:
        for batch in BATCHES:
            yield compare(name, batch, backend, python, peers, seconds)


def write_files(own: Deployed, folder: Path, peers: Collection[str]) -> dict[str, str]:
    """Write a net in the forms that the peers read; return the paths by their names in messages."""
    paths = {
        "input": folder / "input.npy",
        "weights": folder / "weights.npz",
        "prototxt": folder / "net.prototxt",
        "caffemodel": folder / "net.caffemodel",
        "onnx": folder / "net.onnx",
    }
    np.save(paths["input"], own.data)
    layers = [layer for layer in own.net.layers if layer.type not in ("Input", "Split")]
    if "PyTorch" in peers:
        arrays = {
            f"{i}.{k}": blob.data.get()
            for i, layer in enumerate(layers)
            for k, blob in enumerate(layer.blobs)
        }
        np.savez(paths["weights"], **arrays)
    if "OpenCV" in peers:
        paths["prototxt"].write_text(format_prototxt(own.net.param))
        save_net(own.net, paths["caffemodel"])
    if {"onnxruntime", "OpenVINO"} & set(peers):
        fill = partial(copy_parameters, weights_of(own.net))
        with log.suppress_info():
            export_net(own.net.source, fill, paths["onnx"], ExportSettings())
    return {name: str(path) for name, path in paths.items()}


def compare(
    name: str, batch: int, backend: Any, python: str, peers: Collection[str], seconds: float
) -> Row:
    """Time a net on all sides, for some seconds; compare the outputs as well.

    A peer whose output differs, or which uses a wider instruction set than minicaffe, is not
    compared with; the row names its time.
    """
    own = Deployed(name, backend, batch)
    own.spread_scores()
    own.net.optimize_memory()  # as a program that only classifies would; up to 4 % faster
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        given: dict[str, Any] = {
            **write_files(own, folder, peers),
            "mode": "forward",
            "threads": backend.threads,
            "shape": own.data.shape,
            "layers": describe(own.net),
        }
        sides = {
            peer: stack.enter_context(closing(Peer(python, WORKERS[peer], given))) for peer in peers
        }
        expected = own.output()
        outputs = {peer: side.output(folder) for peer, side in sides.items()}
        differences = {
            peer: relative_difference(values.reshape(expected.shape), expected)
            for peer, values in outputs.items()
        }
        times = take_turns({"minicaffe": own, **sides}, seconds)
    title = f"{NETS[name].title}, inference, batch {batch}"
    isas = {peer: side.isa for peer, side in sides.items()}
    return row_of(title, times, differences, isas, instruction_set(backend.engine))


def row_of(
    title: str,
    times: dict[str, list[float]],
    differences: dict[str, float],
    isas: dict[str, str],
    own_isa: str,
) -> Row:
    """Return the row, given the seconds of all sides, and what is known of the peers."""
    medians = {side: statistics.median(values) * 1e3 for side, values in times.items()}
    # NaN is as wrong as a large difference.
    wrong = [peer for peer, difference in differences.items() if not difference <= TOLERANCE]
    wider = [peer for peer, isa in isas.items() if isa == "AVX-512" and own_isa == "AVX2"]
    rivals = [peer for peer in isas if peer not in (*wrong, *wider)]
    best = min(rivals, key=medians.__getitem__, default=None)
    notes = [f"{peer}: wrong values" for peer in wrong]
    notes += [f"{peer} with AVX-512: {medians[peer]:.2f} ms" for peer in wider if peer not in wrong]
    other = f"{medians[best]:.2f} ms ({best})" if best else "no peer"
    return Row(
        title,
        f"{medians['minicaffe']:.2f} ms",
        "; ".join([other, *notes]),
        medians[best] / medians["minicaffe"] if best else None,
        WANTED,
        details={
            "median_ms": medians,
            "best_ms": {side: min(values) * 1e3 for side, values in times.items()},
            "runs": len(times["minicaffe"]),
            "differences": differences,
            "isa": isas,
        },
    )
