"""minicaffe new --task=segment: a project from images and label images."""

import re
import shlex
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from minicaffe.net import Net
from minicaffe.schema import read_net

SCREEN = 24  # lines
NAMES = ("background", "동그라미", "square")


def make_scenes(n, folders=("images", "labels"), root="scenes"):
    """Write images of a circle and a square, and label images with the classes 1 and 2."""
    rng = np.random.default_rng(4)
    images, labels = (Path(root, name) for name in folders)
    images.mkdir(parents=True)
    labels.mkdir()
    for k in range(n):
        image = Image.new("RGB", (40, 32), tuple(int(c) for c in rng.integers(150, 256, 3)))
        classes = Image.new("L", image.size, 0)
        for label in (1, 2):
            r = int(rng.integers(5, 8))
            x, y = (int(rng.integers(r, side - r)) for side in image.size)
            ink = tuple(int(c) for c in rng.integers(0, 90, 3))
            for picture, colour in ((image, ink), (classes, label)):
                pen = ImageDraw.Draw(picture)
                draw = pen.ellipse if label == 1 else pen.rectangle
                draw((x - r, y - r, x + r, y + r), fill=colour)
        image.save(images / f"{k:03d}.png")
        classes.save(labels / f"{k:03d}.png")
    Path(root, "classes.txt").write_text("\n".join(NAMES))


@pytest.mark.slow
def test_the_printed_steps_lead_to_label_images(command, monkeypatch):
    make_scenes(60)
    made = command("new", "shapes", "scenes", "--task=segment", "--size=32")
    assert (made.code, made.err) == (0, "")
    assert len(made.out.splitlines()) <= SCREEN
    assert "shapes: 60 images, 48 for training and 12 for validation" in made.out
    steps = [shlex.split(line) for line in made.out.partition("Next")[2].splitlines()[1:]]
    (_, folder), train, segment = steps
    monkeypatch.chdir(folder)
    assert Path("labels.txt").read_text("utf-8").split() == list(NAMES)
    trained = command(*train[1:], "--max_iter=200")
    assert trained.code == 0
    measures = re.findall(r"Test net output #(\d): accuracy = (\S+)", trained.err)
    assert [int(k) for k, _ in measures[:3]] == [0, 1, 2]
    accuracy, _, iou = (float(value) for _, value in measures[-3:])
    assert accuracy > 0.9
    assert iou > 0.55  # of a net that sees background only: 0.26
    words = [word if word != segment[4] else "../scenes/images" for word in segment[1:]]
    result = command(*words, "--truth=../scenes/labels", "--labels=labels.txt")
    assert result.code == 0
    assert len(list(Path("predicted").iterdir())) == 60
    assert re.search(r"background +0\.9", result.out)


def test_nets_have_the_classes_and_the_size(command, monkeypatch):
    make_scenes(10, ("JPEGImages", "SegmentationClass"))
    assert command("new", "p", "scenes", "--task=segment", "--split=1/1").code == 0
    monkeypatch.chdir("p")
    for name, phase in (("train_val", "TRAIN"), ("train_val", "TEST"), ("deploy", "TEST")):
        with closing(Net(f"{name}.prototxt", phase)) as net:
            assert net.blobs["data"].shape[1:] == (3, 128, 128)
            assert net.blobs["scores"].shape[1:] == (3, 128, 128)
    lists = [Path(name).read_text().splitlines() for name in ("train.txt", "val.txt")]
    assert [len(one) for one in lists] == [5, 5]
    assert not set(lists[0]) & set(lists[1])
    mean = read_net("train_val.prototxt").param.layer[0].transform_param.mean_value
    pixels = [np.asarray(Image.open(f"../scenes/{line.split()[0]}")) for line in lists[0]]
    np.testing.assert_allclose(mean, np.mean(pixels, axis=(0, 1, 2))[::-1], rtol=1e-3)
    assert Path("train_val.prototxt").read_text().count("#") >= 20


def test_a_list_gives_the_pairs(command):
    make_scenes(4)
    lines = [f"scenes/images/{k:03d}.png scenes/labels/{k:03d}.png\n" for k in range(4)]
    Path("pairs.txt").write_text("".join(lines))
    result = command("new", "p", "pairs.txt", "--task=segment")
    assert result.code == 0
    assert "class 2" in result.out
    listed = Path("p/train.txt").read_text() + Path("p/val.txt").read_text()
    assert sorted(listed.splitlines(keepends=True)) == lines


def test_pairs_that_cannot_be_used_are_left_out_with_a_reason(command):
    make_scenes(6)
    Image.open("scenes/labels/000.png").resize((10, 8)).save("scenes/labels/000.png")
    Path("scenes/labels/001.png").write_text("no image")
    Path("scenes/labels/002.png").unlink()
    result = command("new", "p", "scenes", "--task=segment")
    assert result.code == 0
    assert "scenes/labels/000.png (32 x 40 pixels, its labels 8 x 10)" in result.err
    assert "scenes/labels/001.png: not an image" in result.err
    assert "have no label image in scenes/labels: scenes/images/002.png" in result.err
    assert "p: 3 images, 2 for training and 1 for validation" in result.out


def white_objects():
    for path in Path("scenes/labels").iterdir():
        Image.open(path).point(lambda value: 255 * (value > 0)).save(path)


def missing_class():
    for path in Path("scenes/labels").iterdir():
        Image.open(path).point(lambda value: 0 if value == 1 else value).save(path)


def spaces():
    for folder in ("images", "labels"):
        Path(f"scenes/{folder}/000.png").rename(f"scenes/{folder}/0 0.png")


@pytest.mark.parametrize(
    ("change", "words", "code", "message"),
    [
        (white_objects, (), 1, "have the values 0, 255; pixels have the number of their class"),
        (missing_class, (), 0, "the labels go up to 2, but no pixel has 1"),
        (spaces, (), 1, "0 0.png: the list of a net that segments separates its paths by spaces"),
        (
            lambda: shutil.rmtree("scenes/labels"),
            (),
            1,
            "has the folders images; images are in a",
        ),
        (lambda: Path("scenes/classes.txt").write_text("a\nb"), (), 1, "2 names, but the label"),
        (lambda: None, ("--size=30",), 2, "--size=30: must be a multiple of 4"),
        (lambda: None, ("--net=lenet",), 2, "--gray are for --task=classify only"),
        (lambda: shutil.rmtree("scenes"), (), 1, "scenes: no such folder or list"),
    ],
)
def test_wrong_input(command, change, words, code, message):
    make_scenes(3)
    change()
    result = command("new", "p", "scenes", "--task=segment", *words)
    assert result.code == code
    assert message in result.err
    assert Path("p").exists() == (code == 0)
