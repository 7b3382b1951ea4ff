"""minicaffe detect --crop_mode whole with nets of Faster R-CNN's and R-FCN's form."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicaffe.backends import get_backend
from minicaffe.cli.main import run_command
from minicaffe.data.image import read_image
from minicaffe.data.pixels.resizing import resize
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers, save_net
from minicaffe.prediction import ModelFiles, PixelValues, RegionSettings, open_image_model

TRUNK = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 50 dim: 70 } } }
layer { name: "im_info" type: "Input" top: "im_info" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {
  num_output: 5 kernel_size: 8 stride: 8 weight_filler { type: "gaussian" std: 0.002 } } }
layer { name: "rpn_score" type: "Convolution" bottom: "conv" top: "rpn_score" convolution_param {
  num_output: 12 kernel_size: 1 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "rpn_pred" type: "Convolution" bottom: "conv" top: "rpn_pred" convolution_param {
  num_output: 24 kernel_size: 1 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "proposal" type: "Python" bottom: "rpn_score" bottom: "rpn_pred" bottom: "im_info"
  top: "rois" python_param { module: "rpn.proposal_layer" layer: "ProposalLayer"
    param_str: "PROPOSALS" } }
layer { name: "pool" type: "ROIPooling" bottom: "conv" bottom: "rois" top: "pool"
  roi_pooling_param { pooled_h: 2 pooled_w: 2 spatial_scale: 0.125 } }
layer { name: "score" type: "InnerProduct" bottom: "pool" top: "score"
  inner_product_param { num_output: CLASSES weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "pred" type: "InnerProduct" bottom: "pool" top: "PRED"
  inner_product_param { num_output: CODES weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "prob" type: "Softmax" bottom: "score" top: "PROB" }
"""
PROPOSALS = r"""'feat_stride': 8\n'min_size': 3\n'scales': [1, 2]\n'post_nms_topn': 40"""
# R-FCN's outputs keep the axes of its pooling.
TRAILING_AXES = """
layer { name: "a" type: "Reshape" bottom: "p" top: "cls_prob"
  reshape_param { shape { dim: -1 dim: 3 dim: 1 dim: 1 } } }
layer { name: "b" type: "Reshape" bottom: "q" top: "bbox_pred"
  reshape_param { shape { dim: -1 dim: 8 dim: 1 dim: 1 } } }
"""
MEAN = 10.0, 20.0, 30.0
FLAGS = ("--mean_file=10,20,30", "--short_side=60", "--max_size=90")


def trunk(codes, prob="cls_prob", pred="bbox_pred"):
    named = TRUNK.replace("PROB", prob).replace("PRED", pred)
    named = named.replace("PROPOSALS", PROPOSALS)
    return named.replace("CLASSES", "3").replace("CODES", str(codes))


NETS = {
    "faster_rcnn": trunk(12),
    "rfcn": trunk(8, "p", "q") + TRAILING_AXES,
}


@pytest.fixture
def log(log):
    """Run in an empty folder with nets, their weights, and images of two sizes."""
    for name, text in NETS.items():
        Path(f"{name}.prototxt").write_text(text)
        save_net(Net(f"{name}.prototxt", "TEST", seed=3), f"{name}.caffemodel")
    Path("map.prototxt").write_text(
        'item { name: "bg" label: 0 } item { name: "cat" label: 1 } item { name: "dog" label: 2 }'
    )
    Path("in").mkdir()
    rng = np.random.default_rng(0)
    for name, size in (("a", (40, 50, 3)), ("b", (90, 30, 3))):
        Image.fromarray(rng.integers(0, 255, size, np.uint8)).save(f"in/{name}.png")
    log.clear()
    return log


def detect(*arguments, net="faster_rcnn"):
    flags = [f"--model_def={net}.prototxt", f"--pretrained_model={net}.caffemodel", *FLAGS]
    return run_command("detect", ["in", "out", "--crop_mode=whole", *flags, *arguments])


def found(net, image, stds=None):
    files = ModelFiles(
        f"{net}.caffemodel",
        f"{net}.prototxt",
        values=PixelValues(np.array(MEAN, np.float32)),
        regions=RegionSettings(60, 90, stds),
    )
    with closing(open_image_model(files, get_backend(), "detect")) as model:
        # Another image before it, of another size.
        paths = ["in/b.png" if image == "in/a.png" else "in/a.png", image]
        images = [model.prepare(Path(path).read_bytes(), path) for path in paths]
        return model.predict(images)[1].rows


def area(box):
    return (box[2] - box[0] + 1) * (box[3] - box[1] + 1)


def overlap(a, b):
    sides = [min(a[k + 2], b[k + 2]) - max(a[k], b[k]) + 1 for k in (0, 1)]
    common = max(sides[0], 0) * max(sides[1], 0)
    return common / (area(a) + area(b) - common)


def decoded(region, code, limits):
    width, height = region[2] - region[0] + 1, region[3] - region[1] + 1
    x = region[0] + width / 2 + code[0] * width
    y = region[1] + height / 2 + code[1] * height
    w, h = width * np.exp(code[2]), height * np.exp(code[3])
    corners = x - w / 2, y - h / 2, x + w / 2, y + h / 2
    return [min(max(c, 0), limits[k % 2] - 1) for k, c in enumerate(corners)]


def expected(name, image, size, scale, stds=(1, 1, 1, 1)):
    """Compute region by region what must be found; also the number of boxes before suppression."""
    net = Net(f"{name}.prototxt", "TEST")
    copy_trained_layers(net, f"{name}.caffemodel")
    pixels = read_image(image)
    values = resize(pixels, *size).astype(np.float64) - np.array(MEAN)[:, None, None]
    net.inputs[0].reshape((1, *values.shape))
    net.inputs[0].data.set(values[None].astype(np.float32))
    net.inputs[1].data.set(np.array([[*size, scale]], np.float32))
    net.reshape()
    net.forward()
    regions, scores, codes = (
        net.blobs[blob].data.get().astype(np.float64) for blob in ("rois", "cls_prob", "bbox_pred")
    )
    rows, columns = pixels.shape[1:]
    kept, total = [], 0
    for label in (1, 2):
        first = 4 if name == "rfcn" else 4 * label
        boxes = [
            (scores[k, label].item(), decoded(regions[k, 1:] / scale, code, (columns, rows)))
            for k, code in enumerate(codes.reshape(len(codes), -1)[:, first : first + 4] * stds)
        ]
        total += len(boxes)
        mine = []
        for score, box in sorted(boxes, key=lambda item: -item[0]):
            if all(overlap(box, other) <= 0.3 for _, other in mine):
                mine.append((score, box))
        kept += [[label, score, *box] for score, box in mine]
    return np.array(kept), total


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("stds", [None, (0.1, 0.1, 0.2, 0.2)])
def test_the_objects_are_those_of_py_faster_rcnn(log, name, stds):
    # The short side becomes 60, unless the long one would exceed 90.
    for image, size, scale in (("in/a.png", (60, 75), 1.5), ("in/b.png", (90, 30), 1.0)):
        want, total = expected(name, image, size, scale, stds or (1, 1, 1, 1))
        assert 4 < len(want) < total
        np.testing.assert_allclose(found(name, image, stds), want, rtol=1e-4, atol=1e-3)


def test_objects_are_printed_and_drawn(log, capsys):
    assert detect("--label_map_file=map.prototxt", "--min_score=0.4") == 0
    rows = found("faster_rcnn", "in/a.png")
    best = rows[rows[:, 1].argmax()]
    assert best[1] > 0.4
    lines = capsys.readouterr().out.splitlines()[1:]
    name = ("", "cat", "dog")[int(best[0])]
    corners = " ".join(f"{corner:.0f}" for corner in best[2:])
    assert lines[:2] == ["out/a.png", f"  {name} {best[1]:.2f}  {corners}"]
    n_shown = lines.index("out/b.png") - 1
    assert n_shown == (rows[:, 1] >= 0.4).sum() < len(rows)
    with Image.open("out/a.png") as image:
        assert image.size == (50, 40)


def test_all_objects_count_for_the_precision(log, capsys):
    """The truth of an image is what is found in it, below the least score that is drawn, too."""
    Path("truth").mkdir()
    for image, (w, h) in (("a", (50, 40)), ("b", (30, 90))):
        objects = "".join(
            f"<object><name>{('', 'cat', 'dog')[int(label)]}</name><bndbox>"
            f"<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2 + 1}</xmax><ymax>{y2 + 1}</ymax>"
            "</bndbox></object>"
            for label, _, x1, y1, x2, y2 in found("faster_rcnn", f"in/{image}.png").tolist()
        )
        Path(f"truth/{image}.xml").write_text(
            f"<annotation><size><width>{w}</width><height>{h}</height></size>{objects}</annotation>"
        )
    assert detect("--truth=truth", "--label_map_file=map.prototxt", "--min_score=1.1") == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "out/a.png",
        "out/b.png",
        "AP for cat = 1.0000",
        "AP for dog = 1.0000",
        "Mean AP = 1.0000",
    ]


def test_wrong_requests(log, capsys):
    for flag, message in (
        ("--bbox_stds=0.1,0.1,0.2", "--bbox_stds=0.1,0.1,0.2: must be 4 numbers above 0"),
        ("--bbox_stds=0.1,0.1,0.2,x", "must be 4 numbers above 0"),
        ("--bbox_stds=0.1,0.1,0.2,0", "must be 4 numbers above 0"),
        ("--short_side=0", "it must be at least 1"),
        ("--truth=truth", "--truth needs --label_map_file"),
        ("--crop_mode=list", "--short_side has no effect without --crop_mode whole"),
    ):
        assert detect(flag) == 2
        assert message in capsys.readouterr().err
    Path("truth").mkdir()
    assert detect("--truth=truth", "--label_map_file=map.prototxt") == 1
    assert "truth/a.xml: no such file (2 of 2 files are missing)" in log.messages[-1]
    assert not Path("out").exists()


def test_nets_of_another_form(log):
    Path("other.prototxt").write_text(trunk(11))
    save_net(Net("other.prototxt", "TEST"), "other.caffemodel")
    assert detect(net="other") == 1
    assert "bbox_pred (R, 4 K or 8), as Faster R-CNN and R-FCN have" in log.messages[-1]
    assert "inputs are data (1, 3, 50, 70), im_info (1, 3); the outputs are " in log.messages[-1]
