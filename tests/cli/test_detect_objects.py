"""minicaffe detect --crop_mode whole."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicaffe.cli.main import run_command
from minicaffe.net import Net
from minicaffe.net.weights import save_net
from minicaffe.pictures.palette import class_palette

# One prior box in the middle, a quarter of the width and half of the height. The color of the whole
# image gives its class: green background, blue 1, red 2.
NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 3 dim: 16 dim: 32 } } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean"
  pooling_param { pool: AVE global_pooling: true } }
layer { name: "prior" type: "PriorBox" bottom: "mean" bottom: "data" top: "prior"
  prior_box_param { min_size: 8 } }
layer { name: "loc" type: "InnerProduct" bottom: "mean" top: "loc"
  inner_product_param { num_output: 4 } }
layer { name: "score" type: "InnerProduct" bottom: "mean" top: "score"
  inner_product_param { num_output: 3 bias_term: false } }
layer { name: "conf" type: "Softmax" bottom: "score" top: "conf" }
"""
DETECTION = """
layer { name: "found" type: "DetectionOutput" bottom: "loc" bottom: "conf" bottom: "prior"
  top: "found" detection_output_param { num_classes: 3 nms_param { nms_threshold: 0.5 } } }
"""
LABELS = 'item { name: "s" label: 1 display_name: "sea" } item { name: "fire" label: 2 }'
BLUE, GREY = (0, 0, 255), (90, 90, 90)
CORNERS = "24 12 40 36"


@pytest.fixture
def log(log):
    """Run in an empty folder with a net, weights, a label map and an image of 64 x 48 pixels."""
    Path("net.prototxt").write_text(NET + DETECTION)
    Path("scores.prototxt").write_text(NET)
    Path("map.prototxt").write_text(LABELS)
    net = Net("net.prototxt", "TEST")
    of_colours = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    net.layers[net.layer_index("score")].blobs[0].data.set(of_colours)
    save_net(net, "w.caffemodel")
    Path("in").mkdir()
    Image.new("RGB", (64, 48), BLUE).save("in/a.png")
    log.clear()
    return log


def detect(*arguments, net="net.prototxt"):
    flags = [f"--model_def={net}", "--pretrained_model=w.caffemodel", "--crop_mode=whole"]
    return run_command("detect", ["in", "out", *flags, *arguments])


def drawn():
    with Image.open("out/a.png") as image:
        return np.asarray(image)


def test_boxes_have_the_colours_and_names_of_their_classes(log, capsys):
    assert detect("--label_map_file=map.prototxt") == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["out/a.png", f"  sea 1.00  {CORNERS}"]
    pixels = drawn()
    assert pixels.shape == (48, 64, 3)
    for row, column in ((36, 30), (30, 24), (30, 40)):
        np.testing.assert_array_equal(pixels[row, column], class_palette()[1])
    for row, column in ((30, 32), (41, 32), (30, 50)):
        np.testing.assert_array_equal(pixels[row, column], BLUE)


def test_small_scores_are_not_drawn(log, capsys):
    Image.new("RGB", (64, 48), GREY).save("in/a.png")
    assert detect("--mean_file=") == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["out/a.png"]
    assert (drawn() == GREY).all()
    assert detect("--mean_file=", "--min_score=0.3") == 0
    lines = [f"  class {label} 0.33  {CORNERS}" for label in (2, 1)]
    assert capsys.readouterr().out.splitlines()[2:] == lines


def test_the_mean_is_subtracted(log, capsys):
    assert detect("--mean_file=255,0,-9") == 0
    assert f"class 2 1.00  {CORNERS}" in capsys.readouterr().out


def test_objects_are_compared_with_the_truth(log, capsys):
    Path("truth").mkdir()
    # The corners are those of the prior box, as VOC's files have them.
    Path("truth/a.xml").write_text(
        "<annotation><size><width>64</width><height>48</height></size><object><name>s</name>"
        "<bndbox><xmin>24</xmin><ymin>12</ymin><xmax>40</xmax><ymax>36</ymax></bndbox></object>"
        "</annotation>"
    )
    assert detect("--label_map_file=map.prototxt", "--truth=truth", "--min_score=2") == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "out/a.png",
        "AP for sea = 1.0000",
        "AP for fire: no true objects",
        "Mean AP = 1.0000",
    ]
    Path("truth/a.xml").write_text(Path("truth/a.xml").read_text().replace(">s<", ">sun<"))
    assert detect("--label_map_file=map.prototxt", "--truth=truth") == 1
    assert 'truth/a.xml: the class "sun" has no item in the label map' in log.messages[-1]


def test_wrong_requests(log, capsys):
    assert detect("--short_side=300") == 2
    message = "--short_side has no effect on net.prototxt, which lists objects itself"
    assert message in capsys.readouterr().err
    assert detect(net="scores.prototxt") == 1
    assert "scores.prototxt: needs one input for images, and one output of 7" in log.messages[-1]
    Image.new("RGB", (4, 4)).save("in/a.jpg")
    assert detect() == 2
    assert "a.png would be written for several images" in capsys.readouterr().err
