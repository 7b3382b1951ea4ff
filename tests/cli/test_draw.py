"""draw and draw_net: content and position of the nodes, and that the files can be read."""

import re
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicaffe.cli.main import run_command
from minicaffe.pictures.graph_layout import DIRECTIONS, isotonic_regression, lay_out_graph
from minicaffe.pictures.net_graph import short_number

MODELS = Path(__file__).parents[2] / "models"
SVG = "{http://www.w3.org/2000/svg}"


def texts(path):
    return [node.text for node in ET.parse(path).iter(f"{SVG}text")]


def test_lenet(log):
    net = str(MODELS / "lenet" / "lenet_train_test.prototxt")
    assert run_command("draw", [net, "--input_shape=1,28,28"]) == 0
    found = texts("lenet_train_test.svg")
    assert found[:6] == [
        "mnist (TRAIN)",
        "Data",
        "1 x 28 x 28",
        "mnist (TEST)",
        "Data",
        "1 x 28 x 28",
    ]
    conv2 = found.index("conv2")
    assert found[conv2 : conv2 + 5] == [
        *("conv2", "Convolution 50 x 5x5", "50 x 8 x 8", "25.1K parameters", "1.6M mult-adds")
    ]
    assert found[found.index("relu1: ReLU") + 1] == "ip2"
    arrows = list(ET.parse("lenet_train_test.svg").iter(f"{SVG}polygon"))
    assert len(arrows) == 5 + 2 + 3 + 2  # chain, into conv1, labels, into loss and accuracy
    assert log.messages[-1] == "Wrote lenet_train_test.svg"


@pytest.mark.parametrize(("phase", "accuracy"), [("train", False), ("TEST", True)])
def test_one_phase(log, phase, accuracy):
    net = str(MODELS / "lenet" / "lenet_train_test.prototxt")
    assert run_command("draw_net", [net, "l.svg", f"--phase={phase}"]) == 0
    found = texts("l.svg")
    assert ("accuracy (TEST)" in found) is accuracy
    assert sum(text.startswith("mnist") for text in found) == 1
    assert "288K mult-adds" not in found
    assert log.messages[0].startswith("shapes are left out: ")


def test_learning_rates(log):
    net = str(MODELS / "alexnet" / "train_val.prototxt")
    assert run_command("draw_net", [net, "a.svg", "--display_lrm"]) == 0
    assert texts("a.svg").count("lr_mult 1, 2") == 8


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_directions(log, direction):
    net = str(MODELS / "lenet" / "deploy.prototxt")
    assert run_command("draw", [net, "l.png", f"--rankdir={direction.lower()}"]) == 0
    with Image.open("l.png") as image:
        assert (image.width > image.height) is (direction in ("LR", "RL"))


@pytest.mark.parametrize("model", ["googlenet/train_val", "resnet50/deploy"])
def test_large_nets(log, model):
    assert run_command("draw", [str(MODELS / f"{model}.prototxt"), "n.svg"]) == 0
    width = int(ET.parse("n.svg").getroot().get("width"))
    assert width < 1600


DIAMOND = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3), (3, 4), (0, 4)]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_nodes_do_not_overlap_and_arrows_meet_them(direction):
    sizes = [(100, 40), (60, 80), (90, 20), (50, 50), (120, 30)]
    plan = lay_out_graph(sizes, DIAMOND, direction)
    boxes = [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        for (x, y), (w, h) in zip(plan.centres, sizes, strict=True)
    ]
    for i, a in enumerate(boxes):
        assert a[0] > 0
        assert a[1] > 0
        assert a[2] < plan.width
        assert a[3] < plan.height
        for b in boxes[i + 1 :]:
            assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
    axis = 0 if direction in ("LR", "RL") else 1
    for (start, end), path in zip(DIAMOND, plan.paths, strict=True):
        for point, box in ((path[0], start), (path[-1], end)):
            offset = abs(point[axis] - plan.centres[box][axis])
            assert offset == pytest.approx(sizes[box][axis] / 2)
        sign = -1 if direction in ("BT", "RL") else 1
        assert all(sign * (q[axis] - p[axis]) > 0 for p, q in pairwise(path))


def test_a_chain_is_straight():
    plan = lay_out_graph([(50, 20), (90, 20), (30, 20)], [(0, 1), (1, 2)], "TB")
    assert len({round(x, 6) for x, _ in plan.centres}) == 1


def test_ascending_sequence_of_least_squares():
    assert isotonic_regression([1, 3, 2, 4], [1, 1, 1, 1]) == [1, 2.5, 2.5, 4]
    assert isotonic_regression([3, 0], [1, 2]) == [1, 1]


@pytest.mark.parametrize(
    ("value", "text"),
    [(999, "999"), (1000, "1K"), (431_080, "431K"), (999_600, "1M"), (7.24e8, "724M")],
)
def test_short_numbers(value, text):
    assert short_number(value) == text


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("x.jpg", "x.jpg: unknown type of drawing; the extension must be .svg or .png"),
        ("no/x.svg", "no/x.svg can"),
    ],
)
def test_messages(log, capsys, output, message):
    net = str(MODELS / "lenet" / "deploy.prototxt")
    assert run_command("draw", [net, output]) != 0
    # Usage errors are printed without a log prefix, others are logged; both go to stderr.
    assert message in "\n".join([*log.messages, capsys.readouterr().err])


def contrast(first, second):
    """Return the ratio of the luminances of two colours, 1 to 21 (WCAG 2.1, relative luminance)."""
    luminances = []
    for colour in (first, second):
        rgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)]) / 255
        linear = np.where(rgb <= 0.03928, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        luminances.append(float(linear @ [0.2126, 0.7152, 0.0722]) + 0.05)
    return max(luminances) / min(luminances)


def test_every_colour_has_a_dark_one_that_can_be_read(log):
    net = str(MODELS / "googlenet" / "train_val.prototxt")
    assert run_command("draw", [net, "n.svg"]) == 0
    root = ET.parse("n.svg").getroot()
    style = root.find(f"{SVG}style").text
    assert style.startswith("@media (prefers-color-scheme: dark){")
    dark = dict(re.findall(r"\.(\w+-\w+)\{\w+:(#\w+)\}", style))
    painted = [
        (kind, element.get(kind), element.get("class").split())
        for element in root.iter()
        for kind in ("fill", "stroke")
        if element.get(kind, "none") != "none"
    ]
    assert len({colour for _, colour, _ in painted}) >= 8
    for kind, colour, classes in painted:
        assert f"{kind}-{colour[1:]}" in classes
        assert f"{kind}-{colour[1:]}" in dark
    boxes = {e.get("fill") for e in root.iter(f"{SVG}rect")}
    inks = {e.get("fill") for e in root.iter(f"{SVG}text")}
    for ink in inks:
        assert min(contrast(ink, box) for box in boxes) > 4.5
        assert (
            min(contrast(dark[f"fill-{ink[1:]}"], dark[f"fill-{box[1:]}"]) for box in boxes) > 4.5
        )
