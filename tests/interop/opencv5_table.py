"""Compare nets exported to ONNX in OpenCV 5's dnn module with minicaffe.

OpenCV 5 is not in the dev extra, whose OpenCV 4 reads Caffe's files; install it elsewhere:

    python -m venv /tmp/opencv5
    /tmp/opencv5/bin/pip install '.[onnx]' 'opencv-python-headless>=5'
    PYTHONPATH=.:tests /tmp/opencv5/bin/python -m interop.opencv5_table [NET...]
    PYTHONPATH=.:tests /tmp/opencv5/bin/python -m interop.opencv5_table --layers [TYPE...]

The first form prints a table of the nets of models/ in Markdown: the largest difference of the
outputs, relative to their largest value. A Softmax at the end is left out of a second file, because
its values hide differences. The second form runs the test cases of layer types, and prints those
that OpenCV does not load or computes otherwise.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from cases import CASES
from minicaffe.errors import NetError
from minicaffe.log import logger
from minicaffe.net import Net
from minicaffe.onnx_export import ExportSettings, export_net
from minicaffe.onnx_runtime import TOLERANCE, relative_difference
from minicaffe.schema import NetSource, parse_net, read_net
from onnx_export.exporting import drawn as drawn_case
from onnx_export.exporting import fill_case, net_of
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


def difference(
    source: NetSource,
    path: Path,
    fill: Callable[[Net], object] = fill_weights,
    given: Mapping[str, np.ndarray] | None = None,
) -> float:
    """Return the largest difference of any output; inputs are drawn unless they are given."""
    batch = 1 if given is None else None
    exported, graph = export_net(source, fill, path, ExportSettings(batch=batch))
    net = Net(exported, "TEST", seed=1)
    fill(net)
    peer = cv2.dnn.readNetFromONNX(str(path))
    rng = np.random.default_rng(0)
    for name, shape in graph.inputs.items():
        rule, values = graph.rules.get(name), rng.standard_normal(shape).astype(np.float32)
        values = values if rule is None else rule.sample_values(rng, shape)
        values = values if given is None else given[name]
        net.blobs[name].data.set(values)
        peer.setInput(values, name)
    net.forward()
    found = peer.forward(list(graph.outputs))
    expected = [net.blobs[name].data.get() for name in graph.outputs]
    if given is None and not all(np.isfinite(x).all() and x.any() for x in expected):
        raise ValueError(f"{source.path}: outputs are 0 or not finite, so they show nothing")
    pairs = zip(found, expected, strict=True)
    return max(np.inf if a is None else relative_difference(a, b) for a, b in pairs)


def verdict(results: Iterable[float]) -> str:
    """Return the comparison of one or more files in words."""
    try:
        found = list(results)
    except NetError as error:
        return f"refused by the export: {str(error).rpartition('to ONNX: ')[2]}"
    except cv2.error as error:
        return f"not loaded: {' '.join(str(error).split())}"
    word = "agrees" if max(found) <= TOLERANCE else "DIFFERS"
    return f"{word}, {' and '.join(f'{one:.1e}' for one in found)}"


def net_rows(names: Sequence[str], path: Path) -> Iterator[str]:
    """Yield a line for each net of models/."""
    for name in names or NAMES:
        source = read_net(deploy_file(name))
        files = filter(None, (without_softmax(source), source))
        yield f"| {name} | {verdict(difference(net, path) for net in files)} |"


def layer_rows(types: Sequence[str], path: Path) -> Iterator[str]:
    """Yield a line for each case of a layer type that the export accepts and OpenCV does not."""
    n_agreeing = 0
    for kind in types or sorted(CASES):
        for case in CASES[kind]:
            source = parse_net(net_of(kind, case), "net.prototxt")
            given = {name: drawn_case(kind, case, name, x) for name, x in case.bottoms.items()}
            fill = partial(fill_case, kind, case)
            found = verdict(difference(source, path, fill, given) for _ in range(1))
            n_agreeing += found.startswith("agrees")
            if not found.startswith(("agrees", "refused")):
                yield f"| {kind}, {case.name} | {found} |"
    yield f"| other cases | {n_agreeing} agree |"


def main(arguments: list[str]) -> None:
    """Print the table that the arguments ask for."""
    names = [name for name in arguments if name != "--layers"]
    known, rows = (NAMES, net_rows) if names == arguments else (sorted(CASES), layer_rows)
    if unknown := sorted(set(names) - set(known)):
        sys.exit(f"unknown: {', '.join(unknown)}. Known: {', '.join(known)}")
    print(f"| | OpenCV {cv2.__version__} |\n|---|---|")
    logger.setLevel(logging.ERROR)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    with tempfile.TemporaryDirectory() as folder:
        for line in rows(names, Path(folder) / "net.onnx"):
            print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
