"""minicaffe new --task=detect: a project from images and the boxes of their objects."""

import re
import shlex
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from example_scripts import write_scenes
from minicaffe.data.annotations.label_map import read_label_map
from minicaffe.net import Net
from minicaffe.schema import read_net, read_solver

SCREEN = 24  # lines
CLASSES = ("bag", "boot")


def make_scenes(n):
    write_scenes(Path("scenes"), "--train", n, "--test", 0, "--classes", *CLASSES)


@pytest.mark.slow
def test_the_printed_steps_lead_to_boxes(command, monkeypatch):
    make_scenes(12)
    made = command("new", "objects", "scenes", "--task=detect", "--split=2/1")
    assert (made.code, made.err) == (0, "")
    assert len(made.out.splitlines()) <= SCREEN
    assert "objects: 12 images, 8 for training and 4 for validation" in made.out
    (_, folder), train, detect = (
        shlex.split(line) for line in made.out.partition("Next")[2].splitlines()[1:]
    )
    monkeypatch.chdir(folder)
    trained = command(*train[1:], "--max_iter=30", "--set", "test_interval=15")
    assert trained.code == 0
    losses = [float(loss) for loss in re.findall(r"mbox_loss = (\S+) \(", trained.err)]
    assert losses[-1] < 0.8 * losses[0]
    assert len(re.findall(r"output #0: detection_eval = \S+", trained.err)) == 3
    result = command(*detect[1:], "--min_score=0.01")
    assert result.code == 0
    assert len(list(Path("boxes").glob("*.png"))) == 1


def test_nets_have_the_classes_of_the_boxes(command, monkeypatch):
    make_scenes(6)
    assert command("new", "p", "scenes", "--task=detect").code == 0
    monkeypatch.chdir("p")
    items = {item.name: item.label for item in read_label_map("labelmap.prototxt")}
    assert items == {"none_of_the_above": 0, "bag": 1, "boot": 2}
    for name, phase in (("train_val", "TRAIN"), ("train_val", "TEST"), ("deploy", "TEST")):
        with closing(Net(f"{name}.prototxt", phase)) as net:
            assert net.blobs["data"].shape[1:] == (3, 128, 128)
            scores = net.blobs["mbox_conf"].shape[1]
            assert scores == 3 * net.blobs["mbox_loc"].shape[1] // 4
    net = read_net("train_val.prototxt").param
    mean = net.layer[0].transform_param.mean_value
    lines = [line.split() for line in Path("train.txt").read_text().splitlines()]
    pixels = [np.asarray(Image.open(f"../scenes/{image}")) for image, _ in lines]
    np.testing.assert_allclose(mean, np.mean(pixels, axis=(0, 1, 2))[::-1], rtol=1e-3)
    solver = read_solver("solver.prototxt").param
    assert (solver.eval_type, solver.keep_best) == ("detection", "detection_eval")


def test_images_that_cannot_be_used_are_left_out_with_a_reason(command):
    make_scenes(6)
    boxes = sorted(Path("scenes/Annotations").iterdir())
    boxes[0].write_text("no XML")
    boxes[1].unlink()
    boxes[2].write_text("<annotation><object></object></annotation>")
    sorted(Path("scenes/JPEGImages").iterdir())[3].write_text("no image")
    result = command("new", "p", "scenes", "--task=detect")
    assert result.code == 0
    assert f"{boxes[0]}: no XML: " in result.err
    lonely = f"scenes/JPEGImages/{boxes[1].stem}.jpg"
    assert f"have no file of boxes (.xml) in scenes/Annotations: {lonely}" in result.err
    assert f"{boxes[2]}: an object has no name" in result.err
    assert "not an image that can be decoded" in result.err
    assert "p: 2 images, 1 for training and 1 for validation" in result.out


def no_objects():
    for path in Path("scenes/Annotations").iterdir():
        path.write_text("<annotation></annotation>")


@pytest.mark.parametrize(
    ("change", "words", "code", "message"),
    [
        (no_objects, (), 1, "scenes: 3 usable images with 0 objects; at least two"),
        (lambda: shutil.rmtree("scenes/Annotations"), (), 1, "called annotations or boxes"),
        (lambda: shutil.rmtree("scenes"), (), 1, "scenes: no such folder"),
        (lambda: None, ("--size=64",), 2, "--size=64: the net takes images of 128 x 128 pixels"),
        (lambda: None, ("--weights=w",), 2, "--gray are for --task=classify only"),
    ],
)
def test_wrong_input(command, change, words, code, message):
    make_scenes(3)
    change()
    result = command("new", "p", "scenes", "--task=detect", *words)
    assert result.code == code
    assert message in result.err
    assert not Path("p").exists()
