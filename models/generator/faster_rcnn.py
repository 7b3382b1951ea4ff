"""A small Faster R-CNN for the scenes of data/fashion-mnist/write_scenes.py."""

from __future__ import annotations

from typing import Any

from models.generator.draft import MSRA, Draft, Fields
from models.generator.scenes import CLASSES, FOLDER, evaluate_boxes

SIZE = 192  # rows and columns of the input
STRIDE = 16  # pixels of the input between two cells of the shared map
RATIOS = (0.5, 1, 2)  # heights to widths of the anchors
SCALES = (2, 3, 5)  # sides of the square anchors, in units of STRIDE
ANCHORS = len(RATIOS) * len(SCALES)
_SMALL: Fields = {"type": "gaussian", "std": 0.01}
_SMALLER: Fields = {"type": "gaussian", "std": 0.001}
_CHANNELS = {1: 32, 2: 64, 3: 96, 4: 128}
_POOLED = 6  # rows and columns of the features of a region
# Of the loss of boxes: as if targets were divided by 1 / 7.
_SIGMA = 7
_SETTINGS = f"'feat_stride': {STRIDE}\n'scales': !!python/tuple {list(SCALES)}"
_DATA = (
    f"'source': '{FOLDER}'\n'image_set': 'train'\n'num_classes': {CLASSES}\n"
    "'classes': 'tshirt trouser pullover sandal bag boot'\n"
    f"'scales': [{SIZE}]\n'max_size': {SIZE}\n'pixel_means': [120, 120, 120]"
)


def faster_rcnn_scenes(net: Draft) -> None:
    """Describe a shared map, a network that proposes regions and one that classifies them."""
    x = _images(net)
    for stage, channels in _CHANNELS.items():
        for number in (1, 2)[: min(stage, 2)]:
            x = net.conv(f"conv{stage}_{number}", x, channels, 3, pad=1, weights=MSRA)
            x = net.relu(f"relu{stage}_{number}", x)
        x = net.pool(f"pool{stage}", x, "MAX", 2, 2)
    scores, deltas = _proposal_network(net, x)
    rois = _regions(net, scores, deltas)
    classes, boxes = _classify(net, x, rois)
    if net.deploy:
        net.layer("Softmax", "cls_prob", classes)
    else:
        _losses(net, classes, boxes)
        _evaluate(net, classes, boxes, rois)


def _only(phase: str) -> dict[str, Any]:
    return {"include": [{"phase": phase}]}


def _python(net: Draft, name: str, bottom: list[str], tops: list[str], **param: str) -> None:
    net.net.layer.add(
        name=name, type="Python", bottom=bottom, top=tops, python_param=param, **_only("TRAIN")
    )


def _images(net: Draft) -> str:
    """Add what reads images and, in training, true boxes; return the blob of the images."""
    if net.deploy:
        for name, shape in (("data", [1, 3, SIZE, SIZE]), ("im_info", [1, 3])):
            net.layer("Input", name, [], input_param={"shape": [{"dim": shape}]})
    else:
        _python(
            net, "input-data", [], ["data", "im_info", "gt_boxes"],
            module="roi_data_layer.layer", layer="RoIDataLayer", param_str=_DATA,
        )  # fmt: skip
        net.net.layer.add(
            name="data",
            type="AnnotatedData",
            top=["data", "label"],
            transform_param={
                "mean_value": [120],
                "resize_param": [{"height": SIZE, "width": SIZE}],
            },
            data_param={"source": f"{FOLDER}/test_lmdb", "batch_size": 1, "backend": "LMDB"},
            annotated_data_param={"anno_type": "BBOX"},
            **_only("TEST"),
        )
        for name, value, n in (("size", SIZE, 2), ("scale", 1, 1)):
            net.layer(
                "DummyData", name, [],
                dummy_data_param={
                    "shape": [{"dim": [1, n]}],
                    "data_filler": [{"type": "constant", "value": value}],
                },
                **_only("TEST"),
            )  # fmt: skip
        net.layer("Concat", "im_info", ["size", "scale"], **_only("TEST"))
    return net.layer("Power", "input", "data", power_param={"scale": 0.02})


def _proposal_network(net: Draft, x: str) -> tuple[str, str]:
    """Add scores and deltas of the anchors; return the blobs."""
    x = net.conv("rpn_conv/3x3", x, 128, 3, pad=1, weights=MSRA, top="rpn/output")
    x = net.relu("rpn_relu/3x3", x)
    scores = net.conv("rpn_cls_score", x, 2 * ANCHORS, 1, weights=_SMALL)
    deltas = net.conv("rpn_bbox_pred", x, 4 * ANCHORS, 1, weights=_SMALL)
    shape = {"shape": {"dim": [0, 2, -1, 0]}}
    pairs = net.layer("Reshape", "rpn_cls_score_reshape", scores, reshape_param=shape)
    if not net.deploy:
        names = ["labels", "bbox_targets", "bbox_inside_weights", "bbox_outside_weights"]
        targets = [f"rpn_{name}" for name in names]
        _python(
            net, "rpn-data", [scores, "gt_boxes", "im_info", "data"], targets,
            module="rpn.anchor_target_layer", layer="AnchorTargetLayer", param_str=_SETTINGS,
        )  # fmt: skip
        net.layer(
            "SoftmaxWithLoss", "rpn_loss_cls", [pairs, targets[0]],
            propagate_down=[True, False],
            loss_weight=[1],
            loss_param={"ignore_label": -1, "normalize": True},
            **_only("TRAIN"),
        )  # fmt: skip
        net.layer(
            "SmoothL1Loss", "rpn_loss_bbox", [deltas, *targets[1:]],
            loss_weight=[1],
            smooth_l1_loss_param={"sigma": 3},
            **_only("TRAIN"),
        )  # fmt: skip
    pairs = net.layer("Softmax", "rpn_cls_prob", pairs)
    shape = {"shape": {"dim": [0, 2 * ANCHORS, -1, 0]}}
    return net.layer("Reshape", "rpn_cls_prob_reshape", pairs, reshape_param=shape), deltas


def _regions(net: Draft, scores: str, deltas: str) -> str:
    """Add what proposes regions and, in training, chooses some; return their blob."""
    names = {"module": "rpn.proposal_layer", "layer": "ProposalLayer"}
    n = {"TRAIN": 300, "TEST": 100}
    for phase in ("TEST",) if net.deploy else ("TRAIN", "TEST"):
        net.net.layer.add(
            name="proposal",
            type="Python",
            bottom=[scores, deltas, "im_info"],
            top=["rpn_rois" if phase == "TRAIN" else "rois"],
            python_param={**names, "param_str": f"{_SETTINGS}\n'post_nms_topn': {n[phase]}"},
            **({} if net.deploy else _only(phase)),
        )
    if not net.deploy:
        names = ["labels", "bbox_targets", "bbox_inside_weights", "bbox_outside_weights"]
        _python(
            net, "roi-data", ["rpn_rois", "gt_boxes"], ["rois", *names],
            module="rpn.proposal_target_layer", layer="ProposalTargetLayer",
            param_str=f"'num_classes': {CLASSES}\n'batch_size': 64\n'target_stds': [1, 1, 1, 1]",
        )  # fmt: skip
    return "rois"


def _classify(net: Draft, x: str, rois: str) -> tuple[str, str]:
    """Add the layers that see one region each; return the blobs of scores and boxes."""
    x = net.layer(
        "ROIPooling", "roi_pool", [x, rois],
        roi_pooling_param={
            "pooled_h": _POOLED, "pooled_w": _POOLED, "spatial_scale": 1 / STRIDE,
        },
    )  # fmt: skip
    x = net.inner_product("fc6", x, 256, weights=MSRA)
    x = net.relu("relu6", x)
    scores = net.inner_product("cls_score", x, CLASSES, weights=_SMALL)
    return scores, net.inner_product("bbox_pred", x, 4 * CLASSES, weights=_SMALLER)


def _losses(net: Draft, classes: str, boxes: str) -> None:
    """Add the losses of the regions that were chosen."""
    net.layer(
        "SoftmaxWithLoss", "loss_cls", [classes, "labels"],
        propagate_down=[True, False],
        loss_weight=[1],
        **_only("TRAIN"),
    )  # fmt: skip
    weights = [f"bbox_{kind}_weights" for kind in ("inside", "outside")]
    net.layer(
        "SmoothL1Loss", "loss_bbox", [boxes, "bbox_targets", *weights],
        loss_weight=[1],
        smooth_l1_loss_param={"sigma": _SIGMA},
        **_only("TRAIN"),
    )  # fmt: skip


def _evaluate(net: Draft, classes: str, boxes: str, rois: str) -> None:
    """List the objects of an image with SSD's layers, the regions as prior boxes, and compare."""
    test = _only("TEST")
    net.net.layer.add(
        name="rois_corners",
        type="Slice",
        bottom=[rois],
        top=["rois_image", "rois_corners"],
        slice_param={"axis": 1, "slice_point": [1]},
        **test,
    )
    net.net.layer.add(name="rois_silence", type="Silence", bottom=["rois_image"], **test)
    x = net.layer("Power", "rois_scaled", "rois_corners", power_param={"scale": 1 / SIZE}, **test)
    x = net.layer("Reshape", "rois_row", x, reshape_param={"shape": {"dim": [1, 1, -1]}}, **test)
    # The second row holds variances in SSD, and is not used here.
    priors = net.layer("Concat", "rois_priors", [x, x], concat_param={"axis": 1}, **test)
    found = []
    for name, values in (
        ("cls", net.layer("Softmax", "cls_prob", classes, **test)),
        ("bbox", boxes),
    ):
        shape = {"shape": {"dim": [1, -1]}}
        found.append(net.layer("Reshape", f"{name}_row", values, reshape_param=shape, **test))
    x = net.layer(
        "DetectionOutput", "detection_out", [found[1], found[0], priors],
        detection_output_param={
            "num_classes": CLASSES,
            "share_location": False,
            "code_type": "CENTER_SIZE",
            "variance_encoded_in_target": True,
            "confidence_threshold": 0.01,
            "nms_param": {"nms_threshold": 0.3},
            "keep_top_k": 50,
        },
        **test,
    )  # fmt: skip
    evaluate_boxes(net, x)
