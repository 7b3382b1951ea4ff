"""Exporting a net that is given as text, and running the file in onnxruntime."""

from __future__ import annotations

import math
import zlib

import numpy as np
import onnxruntime

from cases import Case
from cases.case import Values, normal
from minicaffe.net import Net
from minicaffe.onnx_export import ExportSettings, export_net
from minicaffe.onnx_export.graph import OnnxGraph
from minicaffe.schema import NetSource, parse_net


def net_of(layer_type: str, case: Case) -> str:
    """The prototxt of a net with one layer."""
    inputs = "".join(
        f'layer {{ name: "in_{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        f"{' '.join(f'dim: {size}' for size in values.shape)} }} }} }}\n"
        for name, values in case.bottoms.items()
    )
    bottoms = "".join(f' bottom: "{name}"' for name in case.bottoms)
    tops = "".join(f' top: "{name}"' for name in case.tops)
    return f'{inputs}layer {{ name: "l" type: "{layer_type}"{bottoms}{tops} {case.settings} }}'


def drawn(layer_type: str, case: Case, key: str, values: Values, shape=None) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(f"{layer_type}/{case.name}/{key}".encode()))
    return values.draw(rng, values.shape if shape is None else shape).astype(np.float32)


def fill_case(layer_type: str, case: Case, net: Net) -> None:
    """Write the parameters of the layer of `net_of`, which a net for deployment may lack."""
    layer = net.layers[-1]
    if layer.name != "l":
        return
    for k, blob in enumerate(layer.blobs):
        values = case.params[k] if k < len(case.params) else normal()
        blob.data.set(drawn(layer_type, case, f"param/{k}", values, blob.shape))


def export_text(text: str, path, fill=lambda net: None, **settings) -> tuple[NetSource, OnnxGraph]:
    source = parse_net(text, "net.prototxt")
    return export_net(source, fill, path, ExportSettings(**settings))


def run(path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs by name."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = {one.name for one in session.get_inputs()}
    given = {name: values for name, values in inputs.items() if name in names}
    outputs = [one.name for one in session.get_outputs()]
    return dict(zip(outputs, session.run(outputs, given), strict=True))


def set_normal(net: Net) -> None:
    """Fill parameters with normal values that depend on their names; statistics are positive.

    Weights have the deviation with which activations keep their size from layer to layer.
    """
    for layer in net.layers:
        for k, blob in enumerate(layer.blobs):
            rng = np.random.default_rng(zlib.crc32(f"{layer.name}/{k}".encode()))
            inputs = math.prod(blob.shape[1:]) if len(blob.shape) > 1 else 20
            values = math.sqrt(2 / inputs) * rng.standard_normal(blob.shape)
            is_statistic = layer.type in ("BatchNorm", "BN") and k > 0
            blob.data.set(1 + np.abs(values) if is_statistic else values)
