"""What the detectors of the scenes of data/fashion-mnist/write_scenes.py share."""

from __future__ import annotations

from typing import Any

from models.generator.draft import MSRA, Draft

CLASSES = 7  # six kinds of objects and the background
SIZE = 128  # rows and columns of the input
FOLDER = "data/fashion-mnist/scenes"
_STATISTICS = {"moving_average_fraction": 0.99}


def scenes_with_boxes(net: Draft, **train: Any) -> str:
    """Add the data layers and return the images' blob.

    `train` has further fields of annotated_data_param, for training only.
    """
    if net.deploy:
        shape = {"dim": [1, 3, SIZE, SIZE]}
        return net.layer("Input", "data", [], input_param={"shape": [shape]})
    resize = {"height": SIZE, "width": SIZE}
    for phase, part, batch in (("TRAIN", "train", 16), ("TEST", "test", 50)):
        is_training = phase == "TRAIN"
        mirror: dict[str, Any] = {"mirror": True} if is_training else {}
        net.net.layer.add(
            name="data",
            type="AnnotatedData",
            top=["data", "label"],
            include=[{"phase": phase}],
            transform_param={
                "scale": 0.02,
                "mean_value": [120],
                "resize_param": [resize],
                **mirror,
            },
            data_param={
                "source": f"{FOLDER}/{part}_lmdb",
                "batch_size": batch,
                "backend": "LMDB",
            },
            annotated_data_param={"anno_type": "BBOX", **(train if is_training else {})},
        )
    return "data"


def backbone(net: Draft, x: str, stages: int) -> str:
    """Add convolutions with a pooling between two stages; return the last one's blob.

    Stage n ends with conv<n>_2, with one cell for 2^n pixels; conv1 is a stage of its own.
    """
    x = normalised_conv(net, "conv1", x, 32, kernel=5, stride=2)
    for stage in range(2, stages + 1):
        x = net.pool(f"pool{stage - 1}", x, "MAX", 2, 2)
        for number in (1, 2):
            channels = 64 if stage == 2 else 128
            x = normalised_conv(net, f"conv{stage}_{number}", x, channels)
    return x


def normalised_conv(
    net: Draft, name: str, bottom: str, channels: int, kernel: int = 3, stride: int = 1
) -> str:
    """Add a convolution, its normalisation and a ReLU."""
    x = net.conv(
        name, bottom, channels, kernel, pad=kernel // 2, stride=stride, weights=MSRA, bias=None
    )
    net.batch_norm(f"{name}/bn", f"{name}/scale", x, param=_STATISTICS)
    return net.relu(f"{name}/relu", x)


def evaluate_boxes(net: Draft, found: str) -> None:
    """Compare the boxes that a net found with the true ones, in testing."""
    net.layer(
        "DetectionEvaluate",
        "detection_eval",
        [found, "label"],
        detection_evaluate_param={"num_classes": CLASSES, "overlap_threshold": 0.5},
        include=[{"phase": "TEST"}],
    )
