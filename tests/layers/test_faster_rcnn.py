"""The Python layers of py-faster-rcnn that are built in, over a folder as PASCAL VOC has it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicaffe.errors import DataError, MinicaffeError
from minicaffe.layers.faster_rcnn.roi_data_layer import RoIDataLayer
from minicaffe.layers.faster_rcnn.rpn_layers import ProposalLayer
from minicaffe.layers.python_layer import Python
from oracles.rois.boxes import anchor_labels, anchor_sizes, code, overlap
from probe import REFERENCE, make_backend, net_from_text

ANNOTATION = """<annotation><size><width>{w}</width><height>{h}</height><depth>3</depth></size>
{objects}</annotation>"""
OBJECT = """<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>
<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"""
# Name, difficult, x1, y1, x2, y2, pixels from 1.
IMAGES = {
    "a": ((60, 80), [("cat", 0, 1, 1, 40, 30), ("dog", 0, 31, 21, 80, 60)]),
    "b": ((90, 50), [("dog", 0, 11, 21, 30, 80), ("cat", 1, 1, 1, 9, 9)]),
    "c": ((64, 64), []),
}
SETTINGS = "'num_classes': 3\\n'classes': 'cat dog'\\n'scales': [120]\\n'max_size': 150"


@pytest.fixture
def voc(tmp_path):
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (tmp_path / folder).mkdir(parents=True)
    for k, (name, ((h, w), objects)) in enumerate(IMAGES.items()):
        pixels = np.full((h, w, 3), 40 * k + 20, np.uint8)
        pixels[:, : w // 2] += 100
        Image.fromarray(pixels).save(tmp_path / "JPEGImages" / f"{name}.png")
        text = "".join(
            OBJECT.format(name=n, difficult=d, x1=x1, y1=y1, x2=x2, y2=y2)
            for n, d, x1, y1, x2, y2 in objects
        )
        (tmp_path / "Annotations" / f"{name}.xml").write_text(
            ANNOTATION.format(w=w, h=h, objects=text)
        )
    names = "\n".join(IMAGES) + "\n"
    for image_set in ("trainval", "test"):
        (tmp_path / "ImageSets" / "Main" / f"{image_set}.txt").write_text(names)
    return tmp_path


def data_net(folder, phase, settings=SETTINGS, tops="data im_info gt_boxes", **options):
    names = " ".join(f'top: "{name}"' for name in tops.split())
    return net_from_text(
        f"""layer {{ name: "input-data" type: "Python" {names} python_param {{
          module: "roi_data_layer.layer" layer: "RoIDataLayer"
          param_str: "{settings}\\n'source': '{folder}'" }} }}""",
        phase,
        **options,
    )


def batch(net):
    net.forward()
    return [net.blobs[name].data.get() for name in ("data", "im_info", "gt_boxes")]


def test_a_test_reads_the_list_in_order(voc):
    net = data_net(voc, "TEST")
    image, info, boxes = batch(net)
    # 60 x 80: the short side would be 120, but the long one is limited to 150.
    np.testing.assert_allclose(info, [[112, 150, 1.875]])
    assert image.shape == (1, 3, 112, 150)
    want = np.array([[0, 0, 39, 29], [30, 20, 79, 59]]) * 1.875
    np.testing.assert_allclose(boxes, np.column_stack([want, [1, 2]]), rtol=1e-5)
    want = 120 - np.array([102.9801, 115.9465, 122.7717])
    np.testing.assert_allclose(image[0, :, 5, 5], want, rtol=1e-5)
    _, info, boxes = batch(net)
    np.testing.assert_allclose(info, [[150, 83, 150 / 90]], rtol=1e-6)
    assert boxes.shape == (1, 5)  # the other object is difficult
    assert batch(net)[2].shape == (0, 5)
    assert batch(net)[1][0, 1] == 150


def test_training_draws_an_order_and_mirrors(voc):
    net = data_net(voc, "TRAIN")
    firsts, found = [], []
    for _ in range(2):
        batches = [batch(net) for _ in range(6)]
        found.append(batches)
        firsts.append([image[0, 0, 5, 5] for image, _, _ in batches])
    # Each image twice: the left half is brighter, or in a mirrored one the right half.
    assert sorted(firsts[0]) == sorted(firsts[1])
    assert len(set(firsts[0])) == 6
    assert firsts[0] != firsts[1]
    for _, info, boxes in found[0]:
        assert (boxes[:, :4] >= 0).all()
        assert (boxes[:, 2] < info[0, 1]).all()
        assert (boxes[:, 2] > boxes[:, 0]).all()


def test_a_resumed_net_continues(voc):
    net = data_net(voc, "TRAIN", seed=5)
    for _ in range(4):
        net.forward()
    state = net.state()
    want = [batch(net)[0] for _ in range(5)]
    other = data_net(voc, "TRAIN", seed=6)
    other.forward()
    other.restore(state)
    for values in want:
        np.testing.assert_array_equal(batch(other)[0], values)


RPN = """
layer { name: "rpn_conv" type: "Convolution" bottom: "data" top: "map"
  convolution_param { num_output: 4 kernel_size: 16 stride: 16
    weight_filler { type: "gaussian" std: 0.001 } } }
layer { name: "rpn_cls_score" type: "Convolution" bottom: "map" top: "rpn_cls_score"
  convolution_param { num_output: 6 kernel_size: 1 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "rpn_bbox_pred" type: "Convolution" bottom: "map" top: "rpn_bbox_pred"
  convolution_param { num_output: 12 kernel_size: 1 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "reshape" type: "Reshape" bottom: "rpn_cls_score" top: "rpn_cls_score_reshape"
  reshape_param { shape { dim: 0 dim: 2 dim: -1 dim: 0 } } }
layer { name: "rpn-data" type: "Python" bottom: "rpn_cls_score" bottom: "gt_boxes"
  bottom: "im_info" bottom: "data" top: "rpn_labels" top: "rpn_bbox_targets"
  top: "rpn_bbox_inside_weights" top: "rpn_bbox_outside_weights"
  python_param { module: "rpn.anchor_target_layer" layer: "AnchorTargetLayer"
    param_str: "{'feat_stride': 16, 'scales': (2,), 'batch_size': 20}" } }
layer { name: "rpn_loss_cls" type: "SoftmaxWithLoss" bottom: "rpn_cls_score_reshape"
  bottom: "rpn_labels" propagate_down: 1 propagate_down: 0 top: "rpn_cls_loss" loss_weight: 1
  loss_param { ignore_label: -1 normalize: true } }
layer { name: "rpn_loss_bbox" type: "SmoothL1Loss" bottom: "rpn_bbox_pred"
  bottom: "rpn_bbox_targets" bottom: "rpn_bbox_inside_weights" bottom: "rpn_bbox_outside_weights"
  top: "rpn_loss_bbox" loss_weight: 1 smooth_l1_loss_param { sigma: 3 } }
layer { name: "rpn_cls_prob" type: "Softmax" bottom: "rpn_cls_score_reshape" top: "prob" }
layer { name: "rpn_cls_prob_reshape" type: "Reshape" bottom: "prob" top: "rpn_cls_prob_reshape"
  reshape_param { shape { dim: 0 dim: 6 dim: -1 dim: 0 } } }
layer { name: "proposal" type: "Python" bottom: "rpn_cls_prob_reshape" bottom: "rpn_bbox_pred"
  bottom: "im_info" top: "rpn_rois"
  python_param { module: "rpn.proposal_layer" layer: "ProposalLayer"
    param_str: "'feat_stride': 16\\n'scales': !!python/tuple [2]\\n'min_size': 4" } }
layer { name: "roi-data" type: "Python" bottom: "rpn_rois" bottom: "gt_boxes" top: "rois"
  top: "labels" top: "bbox_targets" top: "bbox_inside_weights" top: "bbox_outside_weights"
  python_param { module: "rpn.proposal_target_layer" layer: "ProposalTargetLayer"
    param_str: "'num_classes': 3\\n'batch_size': 12" } }
layer { name: "pool" type: "ROIPooling" bottom: "map" bottom: "rois" top: "pool"
  roi_pooling_param { pooled_w: 2 pooled_h: 2 spatial_scale: 0.0625 } }
layer { name: "cls_score" type: "InnerProduct" bottom: "pool" top: "cls_score"
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "bbox_pred" type: "InnerProduct" bottom: "pool" top: "bbox_pred"
  inner_product_param { num_output: 12 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss_cls" type: "SoftmaxWithLoss" bottom: "cls_score" bottom: "labels"
  propagate_down: 1 propagate_down: 0 top: "loss_cls" loss_weight: 1 }
layer { name: "loss_bbox" type: "SmoothL1Loss" bottom: "bbox_pred" bottom: "bbox_targets"
  bottom: "bbox_inside_weights" bottom: "bbox_outside_weights" top: "loss_bbox" loss_weight: 1 }
"""
DATA = """layer {{ name: "input-data" type: "Python" top: "data" top: "im_info" top: "gt_boxes"
  python_param {{ module: "roi_data_layer.layer" layer: "RoIDataLayer"
    param_str: "{settings}\\n'source': '{folder}'" }} }}"""


def test_a_faster_rcnn_trains(voc, backend):
    text = DATA.format(settings=SETTINGS, folder=voc) + RPN
    net = net_from_text(text, "TRAIN", backend=backend)
    net.fill()
    for _ in range(6):
        net.clear_param_diffs()
        net.forward()
        net.backward()
        blobs = {name: blob.data.get() for name, blob in net.blobs.items()}
        n = len(blobs["labels"])
        assert n <= 12
        assert set(blobs["labels"]) <= {0, 1, 2}
        rows = blobs["bbox_inside_weights"].reshape(n, 3, 4)
        for label, weights in zip(blobs["labels"].astype(int), rows, strict=True):
            assert weights.sum() == (4 if label else 0)
            assert weights[label].all() == bool(label)
        counts = blobs["rpn_labels"] >= 0
        assert 0 < counts.sum() <= 20
        np.testing.assert_allclose(blobs["rpn_bbox_outside_weights"].sum() / 4, 1, rtol=1e-5)
        for name in ("rpn_cls_loss", "rpn_loss_bbox", "loss_cls", "loss_bbox"):
            assert np.isfinite(blobs[name])
        diff = net.layers[net.layer_index("rpn_conv")].blobs[0].diff.get()
        assert np.isfinite(diff).all()
        assert diff.any()


def python_layer(module, layer, settings, bottoms, **options):
    """Return a net with inputs and one built-in layer; its tops are called y0, y1, ..."""
    inputs = "".join(
        f'layer {{ name: "in_{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {n}" for n in values.shape)
        + " } } }\n"
        for name, values in bottoms.items()
    )
    wires = " ".join(f'bottom: "{name}"' for name in bottoms)
    n = {"AnchorTargetLayer": 4, "ProposalTargetLayer": 5}[layer]
    tops = " ".join(f'top: "y{k}"' for k in range(n))
    net = net_from_text(
        f"""{inputs}layer {{ name: "a" type: "Python" {wires} {tops} python_param {{
        module: "{module}" layer: "{layer}" param_str: "{settings}" }} }}""",
        **options,
    )
    for name, values in bottoms.items():
        net.blobs[name].data.set(values)
    net.forward()
    return [net.blobs[f"y{k}"].data.get() for k in range(n)]


TRUTHS = np.array([[10.0, 12, 45, 40, 2], [30, 5, 62, 61, 1], [3, 50, 20, 66, 2]])


def test_anchors_have_the_labels_of_a_loop(backend):
    rows, columns, size = 5, 6, (80, 96)
    bottoms = {
        "scores": np.zeros((1, 12, rows, columns)),
        "truths": TRUTHS,
        "info": np.array([[*size, 1.0]]),
    }
    settings = (
        "{'scales': [1, 2], 'positive_overlap': 0.5, 'negative_overlap': 0.2, 'batch_size': 999}"
    )
    got = python_layer(
        "rpn.anchor_target_layer", "AnchorTargetLayer", settings, bottoms, backend=backend
    )
    sizes = list(anchor_sizes(16, [0.5, 1, 2], [1, 2]))
    anchors = [
        [
            16 * j + 7.5 - (w - 1) / 2,
            16 * i + 7.5 - (h - 1) / 2,
            16 * j + 7.5 + (w - 1) / 2,
            16 * i + 7.5 + (h - 1) / 2,
        ]
        for i in range(rows)
        for j in range(columns)
        for w, h in sizes
    ]
    labels, codes = anchor_labels(anchors, TRUTHS[:, :4].tolist(), size, 0.2, 0.5)
    maps = np.reshape(labels, (rows, columns, 6)).transpose(2, 0, 1)
    assert set(labels) == {-1, 0, 1}
    np.testing.assert_array_equal(got[0].reshape(maps.shape), maps)
    want = np.reshape(codes, (rows, columns, 24)).transpose(2, 0, 1)
    np.testing.assert_allclose(got[1][0], want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(got[2][0], np.repeat(maps == 1, 4, 0))
    n = (maps >= 0).sum()
    np.testing.assert_allclose(got[3][0], np.repeat(maps >= 0, 4, 0) / n, rtol=1e-5)


@pytest.mark.parametrize("classes", [3, 2])
def test_regions_have_the_targets_of_a_loop(classes, backend):
    rois = np.array(
        [[0, 8, 14, 40, 44], [0, 60, 5, 70, 20], [0, 28, 9, 66, 55], [0, 0, 40, 90, 79]]
    )
    settings = f"{{'num_classes': {classes}, 'batch_size': -1}}"
    got = python_layer(
        "rpn.proposal_target_layer",
        "ProposalTargetLayer",
        settings,
        {"rois": rois, "truths": TRUTHS},
        backend=backend,
    )
    candidates = [roi[1:] for roi in rois] + [t[:4] for t in TRUTHS]
    best = [max((overlap(c, t), k) for k, t in enumerate(TRUTHS[:, :4])) for c in candidates]
    objects = [k for k, (near, _) in enumerate(best) if near >= 0.5]
    others = [k for k, (near, _) in enumerate(best) if near < 0.5]
    assert objects[0] == 0
    assert others
    assert len(got[0]) == 7
    np.testing.assert_array_equal(got[0][:, 1:], [candidates[k] for k in objects + others])
    for row, k in enumerate(objects + others):
        truth = TRUTHS[best[k][1]]
        label = int(truth[4]) if k in objects else 0
        assert got[1][row] == label
        want, weights = np.zeros((2, classes, 4))
        if label:
            group = min(label, classes - 1)
            want[group], weights[group] = code(candidates[k], truth) / [0.1, 0.1, 0.2, 0.2], 1
        np.testing.assert_allclose(got[2][row].reshape(classes, 4), want, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(got[3][row].reshape(classes, 4), weights)
        np.testing.assert_array_equal(got[4][row].reshape(classes, 4), weights)


def test_no_true_box_gives_background_only():
    bottoms = {
        "scores": np.zeros((1, 6, 5, 6)),
        "truths": np.zeros((0, 5)),
        "info": np.array([[80, 96, 1.0]]),
    }
    settings = "{'scales': [2], 'batch_size': 30}"
    labels, *_ = python_layer("rpn.anchor_target_layer", "AnchorTargetLayer", settings, bottoms)
    assert (labels == 0).sum() == 30
    assert not (labels == 1).any()
    bottoms = {"rois": np.array([[0, 8, 14, 40, 44.0]]), "truths": np.zeros((0, 5))}
    rois, labels, *rest = python_layer(
        "rpn.proposal_target_layer", "ProposalTargetLayer", "", bottoms
    )
    assert (len(rois), labels.tolist()) == (1, [0])
    assert not any(values.any() for values in rest)


@pytest.fixture
def without_modules():
    """Forget the modules that a test imports."""
    yield
    for name in ("rpn", "rpn.proposal_layer"):
        sys.modules.pop(name, None)


def test_the_users_module_comes_first(tmp_path, monkeypatch, without_modules):
    text = """layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 } } }
    layer { name: "p" type: "Python" bottom: "x" top: "y"
            python_param { module: "rpn.proposal_layer" layer: "ProposalLayer" } }"""
    (tmp_path / "rpn").mkdir()
    (tmp_path / "rpn" / "proposal_layer.py").write_text(
        "import caffe\nclass ProposalLayer(caffe.Layer):\n"
        "    def setup(self, bottom, top): pass\n"
        "    def reshape(self, bottom, top): top[0].reshape(7)\n"
        "    def forward(self, bottom, top): top[0].data[...] = 5\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    net = net_from_text(text)
    assert isinstance(net.layers[1], Python)
    assert net.blobs["y"].shape == (7,)
    # Files from elsewhere may not run it, but the built-in layer.
    monkeypatch.setenv("MINICAFFE_NO_PYTHON_LAYERS", "1")
    with pytest.raises(MinicaffeError, match=r'layer "p" \(Python\): has 1 bottom'):
        net_from_text(text)


def test_proposals_of_both_phases():
    text = """
    layer { name: "in" type: "Input" top: "s" top: "d" top: "i" input_param {
      shape { dim: 1 dim: 18 dim: 3 dim: 4 } shape { dim: 1 dim: 36 dim: 3 dim: 4 }
      shape { dim: 1 dim: 3 } } }
    layer { name: "p" type: "Python" bottom: "s" bottom: "d" bottom: "i" top: "rois" top: "scores"
            python_param { module: "rpn.proposal_layer" layer: "ProposalLayer"
                           param_str: "'feat_stride': 16" } }"""
    for phase, before, after in (("TRAIN", 12000, 2000), ("TEST", 6000, 300)):
        layer = net_from_text(text, phase, backend=make_backend(REFERENCE)).layers[1]
        assert isinstance(layer, ProposalLayer)
        assert (layer.kernel.op.before, layer.kernel.op.after) == (before, after)


def test_no_box_at_all_gives_the_whole_image(backend):
    text = """
    layer { name: "in" type: "Input" top: "s" top: "d" top: "i" input_param {
      shape { dim: 1 dim: 18 dim: 1 dim: 1 } shape { dim: 1 dim: 36 dim: 1 dim: 1 }
      shape { dim: 1 dim: 3 } } }
    layer { name: "p" type: "Python" bottom: "s" bottom: "d" bottom: "i" top: "rois"
            python_param { module: "rpn.proposal_layer" layer: "ProposalLayer"
                           param_str: "'min_size': 500" } }"""
    net = net_from_text(text, "TEST", backend=backend)
    net.blobs["i"].data.set([[40, 60, 1]])
    net.forward()
    np.testing.assert_array_equal(net.blobs["rois"].data.get(), [[0, 0, 0, 59, 39]])


@pytest.mark.parametrize(
    ("settings", "tops", "message"),
    [
        ("'num_classes': 4\\n'classes': 'cat dog'", "d i g", "must be 1, for the background, more"),
        ("'scale': 3", "d i g", 'unknown setting "scale". Did you mean "?scales'),
        ("'scales': 600", "d i g", r"scales: 600 must be a list, such as \[600\]"),
        ("no key", "d i g", "cannot be read"),
        (SETTINGS + "\\n'image_set': 'val'", "d i g", "val.txt"),
        (SETTINGS, "data rois labels", None),
        (
            SETTINGS,
            "data rois labels targets inside outside",
            "there are 6 tops; this layer gives",
        ),
    ],
)
def test_refusals_of_the_data_layer(voc, settings, tops, message):
    if message is None:
        data_net(voc, "TRAIN", settings, tops)
        return
    with pytest.raises(MinicaffeError, match=message):
        data_net(voc, "TRAIN", settings, tops)


def test_a_missing_image_names_the_layer_and_the_file(voc):
    (Path(voc) / "JPEGImages" / "b.png").unlink()
    net = data_net(voc, "TEST")
    net.forward()
    with pytest.raises(DataError, match=r'layer "input-data" \(Python\): .*b\.jpg'):
        net.forward()
    assert isinstance(net.layers[0], RoIDataLayer)
