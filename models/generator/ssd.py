"""A small SSD for the scenes of data/fashion-mnist/write_scenes.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models.generator.draft import XAVIER, Draft
from models.generator.scenes import CLASSES, backbone, evaluate_boxes, scenes_with_boxes

_VARIANCES = (0.1, 0.1, 0.2, 0.2)  # of the centers and of the sizes


@dataclass(frozen=True)
class Source:
    """A blob from which boxes are predicted.

    Attributes
    ----------
    blob : str
    step : int
        Pixels of the input between the centers of two cells.
    smallest, largest : sequence of int
        Sides of the prior boxes, pixels of the input; each pair gives a square of a side between.
    ratios : sequence of int
        Aspect ratios of further boxes, with their inverses.
    """

    blob: str
    step: int
    smallest: Sequence[int]
    largest: Sequence[int]
    ratios: Sequence[int]

    @property
    def boxes(self) -> int:
        """The number of prior boxes of a cell."""
        return len(self.smallest) * (2 + 2 * len(self.ratios))


SOURCES = (
    Source("conv3_2", 8, (18, 28), (23, 34), (2, 3)),
    Source("conv4_2", 16, (40,), (50,), (2, 3)),
    Source("conv5_2", 32, (60,), (74,), (2,)),
)


def ssd_scenes(net: Draft) -> None:
    """Describe four poolings, boxes and classes at three scales, and what compares them."""
    backbone(net, scenes_with_boxes(net), stages=5)
    loc, conf, priors = _heads(net)
    if not net.deploy:
        net.layer(
            "MultiBoxLoss",
            "mbox_loss",
            [loc, conf, priors, "label"],
            include=[{"phase": "TRAIN"}],
            propagate_down=[True, True, False, False],
            loss_param={"normalization": "VALID"},
            multibox_loss_param={
                "num_classes": CLASSES,
                "code_type": "CENTER_SIZE",
                "mining_type": "MAX_NEGATIVE",
            },
        )
    _detect(net, loc, conf, priors)


def _heads(net: Draft) -> tuple[str, str, str]:
    """Add the convolutions that predict; return the blobs of locations, scores and priors."""
    for source in SOURCES:
        name = f"{source.blob}_mbox"
        for kind, values in (("loc", 4), ("conf", CLASSES)):
            x = net.conv(
                f"{name}_{kind}", source.blob, source.boxes * values, 3, pad=1, weights=XAVIER
            )
            x = net.layer(
                "Permute", f"{name}_{kind}_perm", x, permute_param={"order": [0, 2, 3, 1]}
            )
            net.layer("Flatten", f"{name}_{kind}_flat", x, flatten_param={"axis": 1})
        net.layer(
            "PriorBox",
            f"{name}_priorbox",
            [source.blob, "data"],
            prior_box_param={
                "min_size": source.smallest,
                "max_size": source.largest,
                "aspect_ratio": source.ratios,
                "flip": True,
                "clip": False,
                "variance": _VARIANCES,
                "step": source.step,
            },
        )
    for kind, axis in (("loc_flat", 1), ("conf_flat", 1), ("priorbox", 2)):
        net.layer(
            "Concat",
            f"mbox_{kind.removesuffix('_flat')}",
            [f"{source.blob}_mbox_{kind}" for source in SOURCES],
            concat_param={"axis": axis},
        )
    return "mbox_loc", "mbox_conf", "mbox_priorbox"


def _detect(net: Draft, loc: str, conf: str, priors: str) -> None:
    """Add what lists the objects of an image, in testing and in deployment."""
    test: dict[str, Any] = {} if net.deploy else {"include": [{"phase": "TEST"}]}
    shape = {"shape": {"dim": [0, -1, CLASSES]}}
    x = net.layer("Reshape", f"{conf}_reshape", conf, reshape_param=shape, **test)
    x = net.layer("Softmax", f"{conf}_softmax", x, softmax_param={"axis": 2}, **test)
    x = net.layer("Flatten", f"{conf}_flatten", x, flatten_param={"axis": 1}, **test)
    x = net.layer(
        "DetectionOutput",
        "detection_out",
        [loc, x, priors],
        detection_output_param={
            "num_classes": CLASSES,
            "code_type": "CENTER_SIZE",
            "confidence_threshold": 0.01,
            "nms_param": {"nms_threshold": 0.45, "top_k": 100},
            "keep_top_k": 50,
        },
        **test,
    )
    if not net.deploy:
        evaluate_boxes(net, x)
