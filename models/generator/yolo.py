"""A small YOLO v3 for the scenes of data/fashion-mnist/write_scenes.py."""

from __future__ import annotations

from typing import Any

from models.generator.draft import MSRA, Draft
from models.generator.scenes import (
    CLASSES,
    backbone,
    evaluate_boxes,
    normalised_conv,
    scenes_with_boxes,
)

_OBJECTS = CLASSES - 1  # YOLO has no class for the background
# Widths and heights, pixels of the input: centers of six clusters of the training scenes' boxes.
ANCHORS = ((14, 32), (32, 19), (25, 30), (24, 51), (41, 35), (50, 54))
# Of each map, the pixels of the input between two cells and the anchors that it predicts.
MAPS = {"yolo16": (16, (3, 4, 5)), "yolo8": (8, (0, 1, 2))}
_VALUES = 5 + _OBJECTS  # of a box: place and size, objectness, classes


def yolo_scenes(net: Draft) -> None:
    """Describe three poolings, boxes at two scales, and what compares them."""
    coarse = backbone(net, scenes_with_boxes(net, yolo_data_type=1, yolo_data_jitter=0), stages=4)
    x = normalised_conv(net, "conv5", coarse, 64, kernel=1)
    x = net.layer("Upsample", "upsample5", x, upsample_param={"scale": 2})
    x = net.layer("Concat", "concat5", [x, "conv3_2"])
    fine = normalised_conv(net, "conv6", x, 128)
    for (name, (_, mask)), source in zip(MAPS.items(), (coarse, fine), strict=True):
        net.conv(name, source, len(mask) * _VALUES, 1, weights=MSRA)
    if not net.deploy:
        _losses(net)
    _detect(net)


def _losses(net: Draft) -> None:
    """Add the loss of each map."""
    for name, (step, mask) in MAPS.items():
        net.layer(
            "Yolov3",
            f"{name}_loss",
            [name, "label"],
            include=[{"phase": "TRAIN"}],
            yolov3_param={
                "num_class": _OBJECTS,
                "num": len(mask),
                "mask": mask,
                "biases": _biases(),
                "anchors_scale": step,
                "thresh": 0.5,
                "coord_scale": 1,
            },
        )


def _detect(net: Draft) -> None:
    """Add what lists the objects of an image, in testing and in deployment."""
    test: dict[str, Any] = {} if net.deploy else {"include": [{"phase": "TEST"}]}
    found = net.layer(
        "Yolov3DetectionOutput",
        "detection_out",
        list(MAPS),
        yolov3_detection_output_param={
            "num_classes": _OBJECTS,
            "num_box": len(ANCHORS) // len(MAPS),
            "mask": [anchor for _, mask in MAPS.values() for anchor in mask],
            "biases": _biases(),
            "anchors_scale": [step for step, _ in MAPS.values()],
            "confidence_threshold": 0.01,
            "nms_threshold": 0.45,
        },
        **test,
    )
    if not net.deploy:
        evaluate_boxes(net, found)


def _biases() -> list[int]:
    return [side for anchor in ANCHORS for side in anchor]
