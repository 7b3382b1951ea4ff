"""Compare the nets of models/, exported to ONNX, in OpenCV 5's dnn module with minicaffe.

OpenCV 5 is not in the dev extra, whose OpenCV 4 reads Caffe's files; install it elsewhere:

    python -m venv /tmp/opencv5
    /tmp/opencv5/bin/pip install '.[onnx]' 'opencv-python-headless>=5'
    PYTHONPATH=.:tests /tmp/opencv5/bin/python -m interop.opencv5_table [NET...]

It prints a table in Markdown: the largest difference of the outputs, relative to their largest
value. A Softmax at the end is left out of a second file, because its values hide differences.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from minicaffe import log
from minicaffe.errors import NetError
from minicaffe.net import Net
from minicaffe.onnx_export import ExportSettings, export_net
from minicaffe.onnx_runtime import TOLERANCE, relative_difference
from minicaffe.schema import NetSource, read_net
from zoo import NAMES, deploy_file, drawn


def fill_weights(net: Net) -> None:
    """Write normal values, weights scaled by their fan-in, and positive statistics."""
    for layer in net.layers:
        for index, blob in enumerate(layer.blobs):
            values = drawn(f"{layer.name}/{index}", blob.shape)
            is_statistic = layer.type in ("BatchNorm", "BN") and index > 0
            blob.data.set(1 + np.abs(values) if is_statistic else values)


def without_softmax(source: NetSource) -> NetSource | None:
    """Return the net without its last layer if that is a Softmax."""
    if source.param.layer[-1].type != "Softmax":
        return None
    param = type(source.param)()
    param.CopyFrom(source.param)
    del param.layer[-1]
    return replace(source, param=param, origin=source.origin[:-1])


def difference(source: NetSource, path: Path) -> float:
    """Return the largest difference of any output."""
    exported, graph = export_net(source, fill_weights, path, ExportSettings(batch=1))
    net = Net(exported, "TEST", seed=1)
    fill_weights(net)
    peer = cv2.dnn.readNetFromONNX(str(path))
    rng = np.random.default_rng(0)
    for name in graph.inputs:
        values = rng.standard_normal(net.blobs[name].shape).astype(np.float32)
        if name in graph.limits:
            values = rng.integers(0, graph.limits[name], values.shape).astype(np.float32)
        net.blobs[name].data.set(values)
        peer.setInput(values, name)
    net.forward()
    found = peer.forward(list(graph.outputs))
    expected = [net.blobs[name].data.get() for name in graph.outputs]
    if not all(np.isfinite(values).all() and values.any() for values in expected):
        raise ValueError(f"{source.path}: outputs are 0 or not finite, so they show nothing")
    return max(relative_difference(a, b) for a, b in zip(found, expected, strict=True))


def row(name: str, folder: Path) -> str:
    """Return the row of a net."""
    source = read_net(deploy_file(name))
    results = []
    try:
        for net in filter(None, (without_softmax(source), source)):
            results.append(difference(net, folder / f"{name}.onnx"))
    except NetError as error:
        return f"refused by the export: {str(error).rpartition('to ONNX: ')[2]}"
    except cv2.error as error:
        return f"not loaded: {' '.join(str(error).split())}"
    verdict = "agrees" if max(results) <= TOLERANCE else "DIFFERS"
    return f"{verdict}, {' and '.join(f'{one:.1e}' for one in results)}"


def rows(names: list[str]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield f"| net | OpenCV {cv2.__version__} |"
    yield "|---|---|"
    with tempfile.TemporaryDirectory() as folder, log.suppress_info():
        for name in names:
            yield f"| {name} | {row(name, Path(folder))} |"


if __name__ == "__main__":
    if unknown := sorted(set(sys.argv[1:]) - set(NAMES)):
        sys.exit(
            f"no net for deployment in models/: {', '.join(unknown)}. Known: {', '.join(NAMES)}"
        )
    for line in rows(sys.argv[1:] or NAMES):
        print(line, flush=True)
