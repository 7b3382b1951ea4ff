"""minicaffe segment."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicaffe.cli.main import run_command
from minicaffe.data.image import read_label_image
from minicaffe.net import Net
from minicaffe.net.weights import save_net
from minicaffe.pictures.palette import class_palette

NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 4 dim: 3 dim: 6 dim: 10 } } }
layer { name: "score" type: "Convolution" bottom: "data" top: "score"
  convolution_param { num_output: 3 kernel_size: 1 } }
"""
ARG_MAX = (
    'layer { name: "best" type: "ArgMax" bottom: "score" top: "best" argmax_param { axis: 1 } }'
)


@pytest.fixture
def log(log):
    """Run in an empty folder with a net that finds the strongest of blue, green and red."""
    for name, text in (("net", NET), ("map", NET + ARG_MAX)):
        Path(f"{name}.prototxt").write_text(text)
    net = Net("net.prototxt", "TEST")
    net.layers[1].blobs[0].data.set(np.eye(3).reshape(3, 3, 1, 1))
    save_net(net, "w.caffemodel")
    Path("in").mkdir()
    Path("truth").mkdir()
    labels = np.zeros((12, 20), np.uint8)
    labels[:6, 4:], labels[6:, 10:] = 1, 2
    colours = np.array([[0, 0, 250], [0, 250, 0], [250, 0, 0]], np.uint8)  # of classes; red first
    Image.fromarray(colours[labels]).save("in/a.png")
    labels[:6, 12:] = 255
    labels[:2, 4:8] = 0
    Image.fromarray(labels).save("truth/a.png")
    log.clear()
    return log


def segment(*arguments, net="net.prototxt"):
    return run_command("segment", [net, "w.caffemodel", "in", "--output=out", *arguments])


@pytest.mark.parametrize("net", ["net.prototxt", "map.prototxt"])
def test_label_images_have_the_classes_and_a_palette(log, net):
    assert segment(net=net) == 0
    with Image.open("out/a.png") as image:
        assert (image.mode, image.size) == ("P", (20, 12))
        np.testing.assert_array_equal(
            np.reshape(image.getpalette(), (-1, 3))[:4], class_palette()[:4]
        )
    labels = read_label_image("out/a.png")[0]
    assert labels[:6, :4].max() == 0
    assert set(labels[:6, 4:].ravel()) == {1}
    assert set(labels[6:, 10:].ravel()) == {2}


def test_the_mean_is_subtracted(log):
    segment("--mean=0,255,255")
    assert read_label_image("out/a.png").max() == 0


def test_the_iou_of_each_class_is_printed(log, capsys):
    Path("names").write_text("sky\nroad\ncar\n")
    assert segment("--truth=truth", "--labels=names") == 0
    lines = capsys.readouterr().out.splitlines()
    # 240 pixels, 48 of them ignored, 8 of class 0 taken for class 1.
    assert lines == [
        "out/a.png",
        f"pixel accuracy = {184 / 192:.4f}",
        f"mean IoU = {(84 / 92 + 40 / 48 + 1) / 3:.4f}",
        f"  sky   {84 / 92:.4f}",
        f"  road  {40 / 48:.4f}",
        "  car   1.0000",
    ]


def test_the_palette_is_that_of_voc():
    palette = class_palette()
    assert palette.shape == (256, 3)
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 15: (192, 128, 128), 20: (0, 64, 128)}
    assert {label: tuple(palette[label].tolist()) for label in known} == known
    assert len(np.unique(palette, axis=0)) == 256


def test_wrong_requests(log, capsys):
    Path("vector.prototxt").write_text(
        NET + 'layer { name: "ip" type: "InnerProduct" bottom: "score" top: "ip" '
        "inner_product_param { num_output: 3 } }"
    )
    assert segment(net="vector.prototxt") == 1
    assert "needs one output of shape (1, classes, rows, columns)" in log.messages[-1]
    Image.fromarray(np.full((12, 20), 7, np.uint8)).save("truth/a.png")
    assert segment("--truth=truth") == 1
    assert "truth/a.png: label 7; the net tells 3 classes apart" in log.messages[-1]
    Image.fromarray(np.zeros((3, 4), np.uint8)).save("truth/a.png")
    assert segment("--truth=truth") == 1
    assert "truth/a.png: 3 x 4 labels for an image of 12 x 20 pixels" in log.messages[-1]
    Path("in/more").mkdir()
    Image.new("RGB", (4, 4)).save("in/more/a.jpg")
    assert segment() == 2
    assert "a.png would be written for several images" in capsys.readouterr().err
