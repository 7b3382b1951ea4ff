"""The nets of models/, and what can be counted in them."""

from __future__ import annotations

import math
from pathlib import Path

from minicaffe.layers import LAYERS
from minicaffe.net import Net
from minicaffe.schema import read_net

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "models"
NAMES = sorted(path.parent.name for path in MODELS.glob("*/deploy.prototxt"))


def deploy_file(name: str) -> Path:
    return MODELS / name / "deploy.prototxt"


def training_file(name: str) -> Path:
    return (
        MODELS / name / ("lenet_train_test.prototxt" if name == "lenet" else "train_val.prototxt")
    )


def solver_files() -> list[Path]:
    return sorted(MODELS.glob("*/*solver.prototxt"))


def missing_types(path: Path) -> list[str]:
    """Layer types of a net that are not registered."""
    return sorted({layer.type for layer in read_net(path).param.layer} - set(LAYERS))


def n_parameters(net: Net) -> int:
    """Learnt values: everything but the running statistics of BatchNorm."""
    return sum(
        math.prod(blob.shape)
        for layer in net.layers
        for blob in layer.blobs
        if layer.type != "BatchNorm"
    )


def n_multiply_adds(net: Net) -> int:
    """Multiply-adds of convolutions and inner products in a forward pass."""
    return sum(
        math.prod(step.top[0].shape) * math.prod(step.layer.blobs[0].shape[1:])
        for step in net.steps
        if step.layer.type in ("Convolution", "InnerProduct")
    )
