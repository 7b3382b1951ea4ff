"""The nets of models/, values for their parameters, and their sizes."""

from __future__ import annotations

import math
import zlib
from pathlib import Path

import numpy as np

from minicaffe.net import Net
from minicaffe.schema import LayerParameter, NetSource, read_net

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "models"
NAMES = sorted(path.parent.name for path in MODELS.glob("*/deploy.prototxt"))


def deploy_file(name: str) -> Path:
    return MODELS / name / "deploy.prototxt"


def training_file(name: str) -> Path:
    return (
        MODELS / name / ("lenet_train_test.prototxt" if name == "lenet" else "train_val.prototxt")
    )


def training_net(name: str, batch: int) -> NetSource:
    """Return the training net on constant images, so that it needs no database."""
    source = read_net(training_file(name))
    image = read_net(deploy_file(name)).param.layer[0].input_param.shape[0].dim
    channels = 2 if name == "siamese" else image[1]
    for layer in source.param.layer:
        if layer.type == "Data":
            feed_constants(layer, (batch, channels, *image[2:]), (batch,))
        elif layer.type == "DenseImageData":
            feed_constants(layer, (batch, channels, *image[2:]), (batch, 1, *image[2:]))
        elif layer.type == "HDF5Data":
            feed_constants(layer, (batch, channels, *image[2:]), (batch, 8))
        elif layer.type == "ContinuationIndicator":
            layer.continuation_indicator_param.batch_size = batch
        elif layer.type == "AnnotatedData":
            feed_constants(layer, (batch, channels, *image[2:]), (1, 1, 1, 8))
        elif layer.python_param.layer == "RoIDataLayer":
            feed_constants(layer, (1, channels, *image[2:]), (1, 3), (1, 5))
    return source


def feed_constants(layer: LayerParameter, *shapes: tuple[int, ...]) -> None:
    """Turn a data layer into one that needs no files."""
    layer.type = "DummyData"
    for field in (
        *("data_param", "dense_image_data_param", "annotated_data_param", "hdf5_data_param"),
        "transform_param",
        "python_param",
    ):
        layer.ClearField(field)
    for size in shapes[: len(layer.top)]:
        layer.dummy_data_param.shape.add(dim=size)


def solver_files() -> list[Path]:
    return sorted(MODELS.glob("*/*solver.prototxt"))


def drawn(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """The values of parameter LAYER/INDEX: number 0 is scaled by its fan-in, others small."""
    values = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape, np.float32)
    if not key.endswith("/0"):
        return values * np.float32(0.05)
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else 1
    return values * np.float32(np.sqrt(2.0 / fan_in))


def n_parameters(net: Net) -> int:
    """Learnt values."""
    return n_values(net) - n_running_statistics(net)


def n_running_statistics(net: Net) -> int:
    """Values that BatchNorm and BN layers gather: means, variances, and how many batches."""
    learnt = sum(
        math.prod(blob.shape)
        for layer in net.layers
        if layer.type == "BN"
        for blob in layer.blobs[:2]
    )
    return n_values(net, "BatchNorm") + n_values(net, "BN") - learnt


def n_values(net: Net, layer_type: str = "") -> int:
    """Values in the blobs of layers, of one type or of all."""
    layers = [layer for layer in net.layers if layer_type in ("", layer.type)]
    return sum(math.prod(blob.shape) for layer in layers for blob in layer.blobs)


def n_multiply_adds(net: Net) -> int:
    """Multiply-adds of convolutions and inner products in a forward pass."""
    return sum(
        math.prod(step.top[0].shape) * math.prod(step.layer.blobs[0].shape[1:])
        for step in net.steps
        if step.layer.type in ("Convolution", "InnerProduct")
    )
