"""Facts about layer types: only the layers themselves name a type."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from cases import CASES
from minicaffe.layers import LAYERS, role_of, summary_of
from minicaffe.schema import LayerParameter
from probe import REFERENCE, Probe, make_backend

CODE = Path(__file__).parents[2] / "minicaffe"
# Where type names belong: the layers, the pass that inserts Split, the upgrade of old files, and
# pycaffe modules whose interface names types.
EXEMPT = (
    "layers/",
    "schema/",
    "net/splits.py",
    "net/spec.py",  # "Parameter" ends the names of messages
    "pycaffe/coord_map.py",
    "pycaffe/draw.py",
    "pycaffe/layer.py",
    "backends/cuda/driver/cudnn_legacy.py",  # the library's own "Convolution" and "Activation"
    "onnx_export/",  # ONNX's own operators: "Concat", "Softmax", ...
    *("onnx_import/", "torchvision_import/"),  # they write nets
)


def names_of_types(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    return [
        f"{path.relative_to(CODE)}:{node.lineno} {node.value!r}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and node.value in LAYERS
    ]


def test_no_module_outside_the_layers_names_a_layer_type():
    files = [
        path for path in CODE.rglob("*.py") if not str(path.relative_to(CODE)).startswith(EXEMPT)
    ]
    assert len(files) > 200
    assert [name for path in files for name in names_of_types(path)] == []


# Their weights are read once a value, not multiplied as matrices.
WITHOUT_PRODUCTS = {
    *("APL", "BN", "BatchNorm", "Bias", "CenterLoss", "Embed", "Normalize", "PReLU", "Parameter"),
    "Scale",
}


@pytest.mark.parametrize("layer_type", sorted(CASES))
def test_layers_with_weights_count_their_multiply_adds(layer_type):
    probe = Probe(layer_type, CASES[layer_type][0], make_backend(REFERENCE))
    counted = probe.layer.multiply_adds(probe.step.bottom, probe.step.top)
    has_products = bool(probe.layer.blobs) and layer_type not in WITHOUT_PRODUCTS
    assert (counted > 0) == has_products


# Losses whose names do not end in Loss.
OTHER_LOSSES = {
    "GaussianYolov3",
    "SmoothL1LossOHEM",
    "SoftmaxWithLossOHEM",
    "YoloSeg",
    "Yolov3",
}


def test_losses_have_the_role_of_a_loss():
    losses = {name for name, cls in LAYERS.items() if cls.role == "loss"}
    assert losses == {n for n in LAYERS if n.endswith("Loss") or n in OTHER_LOSSES}
    assert (role_of("WarpCTCLoss"), role_of("Warp")) == ("loss", "other")
    assert summary_of(LayerParameter(type="Warp")) == ""
