"""test --confusion: counts, tables, images."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicaffe.analysis.confusion import Confusion, Mistake, MostConfident, confusion_report
from minicaffe.cli.main import run_command
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.net import Net
from minicaffe.net.weights import save_net
from minicaffe.pictures.confusion import draw_confusion, pool_matrix
from minicaffe.pictures.figure import save_figure
from minicaffe.schema import parse_net
from minicaffe.text_width import display_width

# Images of one colour each; the net answers 0 for blue, 1 for green, 2 for red.
NET = """
layer { name: "data" type: "Data" top: "data" top: "label"
  data_param { source: "db" batch_size: 4 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 3 bias_term: false } }
layer { name: "top2" type: "Accuracy" bottom: "ip" bottom: "label" top: "top2"
  accuracy_param { top_k: 2 } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy" }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
COLOURS, LABELS = [0, 0, 1, 1, 2, 2, 2, 0], [0, 1, 1, 1, 2, 0, 0, 0]


@pytest.fixture
def log(log):
    """Run in an empty folder with a database, a net and its weights; the log's messages."""
    with create_database("db", "lmdb") as database:
        for k, (colour, label) in enumerate(zip(COLOURS, LABELS, strict=True)):
            image = np.zeros((3, 2, 3), np.uint8)
            image[colour] = 10 + k
            database.put(b"%d" % k, encode_datum(image, label))
    Path("net.prototxt").write_text(NET)
    net = Net("net.prototxt", "TEST")
    net.layers[net.layer_index("ip")].blobs[0].data.set(np.repeat(np.eye(3), 6, axis=1) / 60)
    save_net(net, "w.caffemodel")
    net.close()
    log.clear()
    return log


ARGS = ["--model=net.prototxt", "--weights=w.caffemodel", "--iterations=2", "--confusion=out"]


def rows(path):
    with Path(path).open() as file:
        return list(csv.reader(file))


def score(value):
    """Return the largest probability for the scores (value, 0, 0), as the table has it."""
    return pytest.approx(np.exp(value) / (np.exp(value) + 2), abs=2e-5)


@pytest.mark.parametrize("flags", [[], ["--optimize_memory"]])
def test_tables_and_images(log, capsys, flags):
    Path("names.txt").write_text("sky\ngrass\nrose\n")
    assert run_command("test", [*ARGS, "--labels=names.txt", *flags]) == 0
    assert rows("out/confusion.csv") == [
        ["", "sky", "grass", "rose"],
        ["sky", "2", "0", "2"],
        ["grass", "1", "2", "0"],
        ["rose", "0", "0", "1"],
    ]
    assert rows("out/per_class.csv")[1] == ["0", "sky", "4", "2", "0.5000", "rose", "2"]
    head, *mistakes = rows("out/mistakes.csv")
    assert head == ["key", "true class", "predicted class", "score"]
    assert [[*row[:3], float(row[3])] for row in mistakes] == [
        ["6", "sky", "rose", score(1.6)],
        ["5", "sky", "rose", score(1.5)],
        ["1", "grass", "sky", score(1.1)],
    ]
    out = capsys.readouterr().out
    assert out.startswith("5 of 8 right (0.6250)\n\nrows: what they are; columns: what they were")
    assert "  0.5000  sky (2 of 4), most often taken for rose (2)\n" in out
    assert "      2  sky, taken for rose\n      1  grass, taken for sky\n" in out
    for name in ("confusion", "mistakes"):
        with Image.open(f"out/{name}.png") as image:
            assert min(image.size) > 100
    assert "accuracy = 0.625" in log.messages


def test_mistakes_of_a_second_epoch_are_not_repeated(log):
    assert run_command("test", [*ARGS[:2], "--iterations=5", "--confusion=out"]) == 0
    assert [row[0] for row in rows("out/mistakes.csv")[1:]] == ["6", "5", "1"]
    assert sum(int(n) for row in rows("out/confusion.csv")[1:] for n in row[1:]) == 20


def test_only_the_most_confident_mistakes_are_kept():
    kept = MostConfident(2)
    for k, confidence in enumerate((0.5, 0.9, 0.7, 0.9)):
        kept.add_mistake(Mistake(confidence, -k, 0, 1, "", None))
    assert [(m.confidence, m.number) for m in kept.ordered()] == [(0.9, -1), (0.9, -3)]


def test_files_of_an_image_list_name_the_mistakes(log):
    Image.new("RGB", (3, 2), (90, 0, 0)).save("빨강 red.png")
    Path("list.txt").write_text("빨강 red.png 0\n" * 4)
    source = 'type: "ImageData" top: "data" top: "label" image_data_param { source: "list.txt"'
    Path("list.prototxt").write_text(
        NET.replace('type: "Data" top: "data" top: "label"', source + " batch_size: 4 }").replace(
            'data_param { source: "db" batch_size: 4 backend: LMDB } }', "}"
        )
    )
    assert run_command("test", ["--model=list.prototxt", *ARGS[1:]]) == 0
    assert [row[:3] for row in rows("out/mistakes.csv")[1:]] == [["빨강 red.png", "0", "2"]]


def test_mistakes_are_sorted_by_confidence(log):
    net = Net("net.prototxt", "TEST")
    net.layers[net.layer_index("ip")].blobs[0].data.set(np.repeat(np.eye(3), 6, axis=1) / 60)
    confusion = Confusion(net)
    for _ in range(2):
        net.forward()
        confusion.add_batch()
    found = confusion.mistakes.ordered()
    assert [(m.label, m.predicted) for m in found] == [(0, 2), (0, 2), (1, 0)]
    assert [int(m.image.max()) for m in found] == [16, 15, 11]
    e = np.exp(1.6)
    assert found[0].confidence == pytest.approx(e / (e + 2), rel=1e-5)
    net.close()


@pytest.mark.parametrize(
    ("scorer", "ignored"),
    [
        ('type: "Accuracy" accuracy_param { ignore_label: 1 }', True),
        ('type: "SoftmaxWithLoss" loss_param { ignore_label: 1 }', True),
        ('type: "SoftmaxWithLoss"', False),
    ],
)
def test_scores_of_every_pixel_and_ignored_labels(scorer, ignored):
    source = parse_net(
        'layer { name: "s" type: "Input" top: "s" '
        "input_param { shape { dim: 2 dim: 3 dim: 2 dim: 2 } } }"
        'layer { name: "l" type: "Input" top: "l" '
        "input_param { shape { dim: 2 dim: 2 dim: 2 } } }"
        f'layer {{ name: "x" bottom: "s" bottom: "l" top: "x" {scorer} }}'
    )
    net = Net(source, "TEST")
    scores = np.random.default_rng(0).normal(size=(2, 3, 2, 2))
    labels = np.array([0, 1, 2, 2, 1, 0, 0, 2])
    net.blobs["s"].data.set(scores)
    net.blobs["l"].data.set(labels.reshape(2, 2, 2))
    net.forward()
    confusion = Confusion(net)
    confusion.add_batch()
    expected = np.zeros((3, 3), int)
    for label, answer in zip(labels, scores.argmax(axis=1).ravel(), strict=True):
        expected[label, answer] += not (ignored and label == 1)
    np.testing.assert_array_equal(confusion.counts, expected)
    mistakes = confusion.mistakes.ordered()
    assert len(mistakes) == expected.sum() - np.trace(expected)
    assert all(m.image is None and not m.key for m in mistakes)


@pytest.mark.parametrize("n", [1, 2, 25, 40, 1000])
def test_figures_and_reports_of_any_number_of_classes(n, tmp_path):
    counts = np.eye(n, dtype=np.int64) * 5
    counts[0, n - 1] += 7
    names = [f"n{k:08} a rather long name of a class" for k in range(n)]
    if n in (1, 1000):
        save_figure(draw_confusion(counts, names), tmp_path / "x.png")
    lines = confusion_report(counts, names)
    assert len(lines) < 50
    assert (lines[-1].startswith("      7  n00000000")) is (n > 1)


def test_wide_names_are_cut_to_their_width_and_get_room():
    counts = np.eye(2, dtype=np.int64)
    wide = draw_confusion(counts, ["아주 긴 이름을 가진 어떤 동물의 종류", "말"])
    name = wide.axes[0].get_yticklabels()[0].get_text()
    assert "..." in name
    assert display_width(name) <= 24
    assert (wide.get_size_inches() > draw_confusion(counts, ["소", "말"]).get_size_inches()).all()


def test_long_names_keep_both_ends():
    counts = np.eye(2, dtype=np.int64)
    figure = draw_confusion(counts, [f"a rather long name of class {k}" for k in range(2)])
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == [
        *("a rather lo...of class 0", "a rather lo...of class 1")
    ]


def test_bars_are_as_high_as_the_rows_of_the_matrix():
    for n in (2, 7, 40):
        figure = draw_confusion(np.eye(n, dtype=np.int64), [f"a class {k}" for k in range(n)])
        figure.draw_without_rendering()
        matrix, bars = (axis.get_window_extent() for axis in figure.axes[:2])
        assert (matrix.y0, matrix.y1) == pytest.approx((bars.y0, bars.y1), abs=2)


def test_large_matrices_keep_single_cells():
    shares = np.zeros((1000, 1000))
    shares[999, 0] = 1
    cells, block = pool_matrix(shares)
    assert (cells.shape, block) == ((250, 250), 4)
    assert cells[249, 0] == 1


def test_a_class_without_samples():
    counts = np.array([[3, 0], [0, 0]])
    assert confusion_report(counts, ["a", "b"])[-1] == "  1.0000  a (3 of 3)"
    draw_confusion(counts, ["a", "b"])


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (
            [*ARGS[:3], "--labels=x"],
            2,
            "--labels has an effect with --confusion=FOLDER only,",
        ),
        ([*ARGS, "--labels=x"], 1, "x: 2 labels, but the net tells 3 classes apart"),
        ([*ARGS[:3], "--confusion=x"], 1, "x: cannot be created: File exists."),
        (
            ["--model=no.prototxt", *ARGS[1:]],
            1,
            "no layer of type Accuracy, SegAccuracy, SoftmaxWithLoss or VoxelSoftmaxLoss",
        ),
    ],
)
def test_messages(log, capsys, args, code, message):
    Path("x").write_text("a\nb\n")
    Path("no.prototxt").write_text(NET.split('layer { name: "top2"')[0])
    assert run_command("test", args) == code
    # Usage errors are printed without a log prefix, others are logged; both go to stderr.
    assert message in "\n".join([*log.messages, capsys.readouterr().err])
