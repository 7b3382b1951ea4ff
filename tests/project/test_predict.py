"""minicaffe predict: what it prints, and that images are prepared as in training."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from class_folders import make_pictures
from minicaffe.net import Net
from minicaffe.net.weights import save_net

TRAIN_VAL = """layer { name: "data" type: "DATA" top: "data" top: "label"
  transform_param { TRANSFORM } PARAM { source: "SOURCE" batch_size: 8 MORE } }
layer { name: "scores" type: "InnerProduct" bottom: "data" top: "scores"
  inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 0.001 } } }
layer { name: "accuracy" type: "Accuracy" bottom: "scores" bottom: "label" top: "accuracy" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scores" bottom: "label" top: "loss" }
"""
TRANSFORM = "mean_value: 90 mean_value: 110 mean_value: 130 scale: 0.1 crop_size: 15 mirror: true"


def write_net(transform=TRANSFORM, kind="Data", source="lmdb", more="backend: LMDB"):
    param = "data_param" if kind == "Data" else "image_data_param"
    text = TRAIN_VAL.replace("DATA", kind).replace("TRANSFORM", transform).replace("PARAM", param)
    Path("train_val.prototxt").write_text(text.replace("SOURCE", source).replace("MORE", more))


def save_weights():
    net = Net("train_val.prototxt", "TEST", seed=3)
    save_net(net, "w.caffemodel")
    net.close()


@pytest.fixture
def trained(command):
    """The command, in a folder with pictures, list.txt, lmdb, train_val.prototxt and weights."""
    make_pictures("in", 4)
    Image.open("in/circle/001.png").convert("L").save("in/circle/001.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn
    Image.open("in/cross/002.png").save("in/cross/002.jpg", exif=turned)
    Path("in/cross/002.png").unlink()
    names = sorted(Path("in").rglob("*.*"))
    lines = [f"{path.relative_to('in')} {int(path.parent.name == 'cross')}\n" for path in names]
    Path("list.txt").write_text("".join(lines))
    size = ("--resize_height=18", "--resize_width=22")
    assert command("convert_imageset", "in/", "list.txt", "lmdb", *size).code == 0
    write_net()
    save_weights()
    Path("labels.txt").write_text("circle\ncross\n")
    return command


def scores_in_training():
    """The probabilities of class 1 as the training net computes them from its own data."""
    net = Net("train_val.prototxt", "TEST", seed=3)
    net.forward()
    scores = net.blobs["scores"].data.get()
    net.close()
    return 1 / (1 + np.exp(scores[:, 0] - scores[:, 1]))


def predicted(result):
    rows = [row for row in csv.DictReader(io.StringIO(result.out)) if row["class"] == "cross"]
    return np.array([float(row["score"]) for row in rows])


@pytest.mark.parametrize(
    ("kind", "source", "more"),
    [
        ("Data", "lmdb", "backend: LMDB"),
        ("ImageData", "list.txt", 'root_folder: "in/" new_height: 18 new_width: 22'),
        ("ImageData", "list.txt", 'root_folder: "in/"'),  # the crop of images of any size
        (
            "ImageData",
            "list.txt",
            'root_folder: "in/" new_height: 18 new_width: 22 is_color: false',
        ),
    ],
)
def test_values_are_those_of_the_training(trained, kind, source, more):
    transform = TRANSFORM.replace(" mirror: true", "")  # which is random in TEST, too
    if "false" in more:
        transform = "mean_value: 90 scale: 0.1"
    write_net(transform, kind, source, more)
    save_weights()
    expected = scores_in_training()
    if kind == "Data":
        write_net(transform + " mirror: true")
    result = trained("predict", "w.caffemodel", "in", "--format=csv")
    assert (result.code, result.err) == (0, "")
    np.testing.assert_allclose(predicted(result), expected, rtol=1e-4)
    assert np.ptp(expected) > 1e-3


def test_a_mean_file_gives_the_size_if_the_data_are_gone(trained):
    assert trained("compute_image_mean", "lmdb", "mean.binaryproto").code == 0
    write_net('mean_file: "mean.binaryproto" scale: 0.1')
    save_weights()
    expected = scores_in_training()
    Path("lmdb").rename("elsewhere")
    result = trained("predict", "w.caffemodel", "in", "--format=csv")
    np.testing.assert_allclose(predicted(result), expected, rtol=1e-4)


def test_without_data_the_size_must_be_given(trained):
    Path("lmdb").rename("elsewhere")
    result = trained("predict", "w.caffemodel", "in")
    assert result.code == 1
    assert "lmdb: no such database" in result.err
    assert "Give it with --size ROWS,COLUMNS." in result.err
    assert trained("predict", "w.caffemodel", "in", "--size=18,22").code == 0


def test_accuracy_is_that_of_the_test_command(trained):
    result = trained("predict", "w.caffemodel", "list.txt", "--root=in", "--format=csv", "--top=1")
    labels = [line.split()[-1] for line in Path("list.txt").read_text().splitlines()]
    found = [row["label"] for row in csv.DictReader(io.StringIO(result.out))]
    accuracy = np.mean([one == other for one, other in zip(labels, found, strict=True)])
    write_net(TRANSFORM.replace(" mirror: true", ""))
    words = ("--model=train_val.prototxt", "--weights=w.caffemodel", "--iterations=1")
    assert f"accuracy = {accuracy:g}" in trained("test", *words).err


def test_files_of_the_training_are_found_from_another_folder(trained, monkeypatch):
    expected = trained("predict", "w.caffemodel", "in/cross").out
    monkeypatch.chdir("in")
    result = trained("predict", "../w.caffemodel", "cross")
    assert (result.code, result.err) == (0, "")
    assert result.out == expected.replace("in/", "")


def test_text_names_the_classes_with_their_scores(trained):
    lines = trained("predict", "w.caffemodel", "in").out.splitlines()
    assert len(lines) == 8
    path, _, classes = lines[0].partition(": ")
    assert path == "in/circle/000.png"
    (first, high), (second, low) = (one.split() for one in classes.split(", "))
    assert {first, second} == {"circle", "cross"}
    assert float(high) >= float(low)
    assert float(high) + float(low) == pytest.approx(1, abs=2e-4)


def test_json(trained):
    found = json.loads(trained("predict", "w.caffemodel", "in", "--format=json", "--top=1").out)
    assert [one["image"] for one in found][:1] == ["in/circle/000.png"]
    assert all(len(one["predictions"]) == 1 for one in found)
    assert set(found[0]["predictions"][0]) == {"label", "class", "score"}


def test_a_contact_sheet_has_a_tile_for_each_image(trained):
    assert trained("predict", "w.caffemodel", "in", "--sheet=sheet.png").code == 0
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 6 * 128
        assert 2 * 128 < sheet.height < 4 * 128


def test_unreadable_images_are_reported_and_the_others_predicted(trained):
    Path("bad 그림.png").write_bytes(b"no image")
    result = trained("predict", "w.caffemodel", "bad 그림.png", "missing.png", "in/cross/000.png")
    assert result.code == 1
    assert result.out.startswith("in/cross/000.png: ")
    assert len(result.out.splitlines()) == 1
    assert "bad 그림.png: not an image that can be decoded" in result.err
    assert "missing.png: the image cannot be read" in result.err
    assert "2 of 3 images could not be read" in result.err


def test_the_log_is_there_on_request(trained):
    assert "Computing with" in trained("predict", "w.caffemodel", "in", "--minloglevel=0").err


def test_names_that_do_not_fit_are_not_used(trained):
    Path("labels.txt").write_text("circle\ncross\nline\n")
    result = trained("predict", "w.caffemodel", "in/cross/000.png", "--top=1")
    assert result.out.split()[1] in ("0", "1")
    assert "3 labels, but the net tells 2 classes apart" in result.err
    assert "The classes are given as numbers" in result.err
    assert trained("predict", "w.caffemodel", "in", "--labels=labels.txt").code == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--net=labels.txt",), "labels.txt:1"),
        (("--output=scores",), 'no output "scores". Known: prob.'),
        (("--size=3,4,5",), "--size=3,4,5: must be rows and columns"),
        (("--labels=no.txt",), "no.txt: the labels cannot be read"),
        (("--sheet=sheet.xyz",), "image type 'xyz': not one that can be written"),
    ],
)
def test_wrong_flags(trained, words, message):
    result = trained("predict", "w.caffemodel", "in", *words)
    assert result.code in (1, 2)
    assert message in result.err


def test_a_net_is_asked_for_if_none_or_several_fit(trained):
    Path("other.prototxt").write_text(Path("train_val.prototxt").read_text())
    result = trained("predict", "w.caffemodel", "in")
    assert result.code == 1
    assert "several training nets" in result.err
    assert "Choose one with --net FILE" in result.err
    assert trained("predict", "w.caffemodel", "in", "--net=other.prototxt").code == 0
    for name in ("other", "train_val"):
        Path(f"{name}.prototxt").unlink()
    result = trained("predict", "w.caffemodel", "in")
    assert "no training net fits it" in result.err
    assert "--net TRAIN_VAL.prototxt" in result.err


def test_the_net_of_a_solver_beside_the_weights_is_taken(trained):
    Path("nets").mkdir()
    Path("train_val.prototxt").rename("nets/train_val.prototxt")
    Path("solver.prototxt").write_text('net: "nets/train_val.prototxt"\n')
    result = trained("predict", "w.caffemodel", "in")
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ('type: "ReLU" bottom: "data" top: "maps"', "is 8 x 3 x 15 x 15; the scores of classes"),
        ('type: "Reduction" bottom: "data" top: "one"', "the scores of classes are one row"),
    ],
)
def test_nets_that_classify_no_images_are_refused(trained, layer, message):
    text = Path("train_val.prototxt").read_text().split('layer { name: "scores"')[0]
    Path("train_val.prototxt").write_text(f'{text}\nlayer {{ name: "last" {layer} }}')
    result = trained("predict", "w.caffemodel", "in", "--net=train_val.prototxt")
    assert result.code == 1
    assert message in result.err


SOLVER = """net: "train_val.prototxt" test_iter: 1 test_interval: 1 max_iter: 1
base_lr: 0.001 lr_policy: "fixed" snapshot_prefix: "snapshots/s" random_seed: 2
"""


@pytest.mark.parametrize("tests", [True, False])
def test_a_run_gives_weights_net_and_names(trained, monkeypatch, tests):
    solver = SOLVER if tests else SOLVER.replace("test_iter: 1 test_interval: 1 ", "")
    Path("solver.prototxt").write_text(solver)
    assert trained("train", "solver.prototxt").code == 0
    expected = trained("predict", "snapshots/s_iter_1.caffemodel", "in").out
    assert expected.startswith("in/circle/000.png: c")
    for run in ("runs/solver-1", "runs/solver-1/last"):
        result = trained("predict", run, "in")
        assert (result.code, result.err, result.out) == (0, "", expected)
    monkeypatch.chdir("in")
    assert trained("predict", "../runs/solver-1", "circle").out == "".join(
        line.removeprefix("in/") for line in expected.splitlines(keepends=True) if "/circle" in line
    )


def test_root_without_a_list_has_no_effect(trained):
    result = trained("predict", "w.caffemodel", "in", "--root=in")
    assert result.code == 0
    assert "--root=in has no effect: no list (.txt) is given" in result.err


def test_a_net_for_pixels_is_refused(trained):
    text = """layer { name: "data" type: "DenseImageData" top: "data" top: "label"
      dense_image_data_param { source: "list.txt" batch_size: 1 } }"""
    Path("other.prototxt").write_text(text)
    result = trained("predict", "w.caffemodel", "in", "--net=other.prototxt")
    assert result.code == 1
    assert 'other.prototxt:1, layer "data" (DenseImageData): predict takes nets' in result.err
    assert "segment for classes of pixels" in result.err


def test_a_run_without_weights_is_reported(trained):
    Path("runs/x-1").mkdir(parents=True)
    Path("runs/x-1/run.json").write_text("{}")
    result = trained("predict", "runs/x-1", "in")
    assert result.code == 1
    assert "the run runs/x-1 has no best" in result.err
