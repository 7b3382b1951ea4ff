"""convert_annoset: SSD's tool (4817bf8b) wrote the databases of tests/golden/annotated."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from minicaffe.cli.main import run_command
from minicaffe.data.annotations.annotated_datum import read_annotated_datum
from minicaffe.data.db import open_database

FILES = Path(__file__).parents[1] / "golden" / "annotated"
NAMES = f"--label_map_file={FILES}/labelmap.prototxt"
NUMBERS = f"--label_map_file={FILES}/jsonmap.prototxt"
DETECTION = "--anno_type=detection"


def records(path):
    with open_database(str(path), "LMDB") as db:
        return [(key, bytes(value)) for key, value in db.items()]


def fails_with(log, message, *words):
    """Return whether the command fails, and logs a line that matches."""
    code = run_command("convert_annoset", list(words))
    return code == 1 and any(re.search(message, line) for line in log.messages)


def convert(*flags, root=FILES, names="list_xml.txt"):
    return run_command("convert_annoset", [DETECTION, *flags, f"{root}/", str(names), "db"])


@pytest.mark.parametrize(
    ("golden", "names", "flags"),
    [
        ("db_xml_png", "list_xml.txt", [NAMES, "--encoded", "--encode_type=png"]),
        ("db_xml_jpg", "list_xml.txt", [NAMES, "--encode_type=jpg"]),
        ("db_txt_png", "list_txt.txt", ["--label_type=txt", "--encoded"]),
        ("db_xml_resized", "list_xml.txt", [NAMES, "--resize_height=32", "--resize_width=40"]),
    ],
)
def test_databases_equal_those_of_ssd(log, golden, names, flags):
    assert convert(*flags, names=FILES / names) == 0
    assert records("db") == records(FILES / golden)
    assert "A total of 6 images." in log.messages


def test_json_and_images_that_may_be_enlarged(log):
    """The golden images were encoded anew, by another encoder."""
    flags = [NUMBERS, "--label_type=json", "--encoded", "--min_dim=30", "--max_dim=90"]
    assert convert(*flags, names=FILES / "list_json.txt") == 0
    for (key, value), (other, expected) in zip(
        records("db"), records(FILES / "db_json_mindim"), strict=True
    ):
        assert key == other
        (image, rows), (want, want_rows) = (
            read_annotated_datum(each, key) for each in (value, expected)
        )
        assert (image.shape, image.label, image.is_encoded) == (want.shape, -1, True)
        np.testing.assert_array_equal(image.decode(None, key), want.decode(None, key))
        np.testing.assert_array_equal(rows, want_rows)


@pytest.mark.parametrize(
    ("flags", "shape"),
    [
        (["--min_dim=96"], (96, 128)),
        (["--max_dim=32"], (24, 32)),
        (["--min_dim=96", "--max_dim=64"], (48, 64)),
    ],
)
def test_limits_of_the_sides(log, flags, shape):
    Path("list.txt").write_text("im0.png im0.xml\n")
    assert convert(NAMES, *flags, names="list.txt") == 0
    image, _ = read_annotated_datum(records("db")[0][1], "")
    assert image.shape == (3, *shape)


def test_classification_stores_labels(log):
    Path("list.txt").write_text("im0.png 7\n")
    assert run_command("convert_annoset", ["--gray", f"{FILES}/", "list.txt", "db"]) == 0
    image, rows = read_annotated_datum(records("db")[0][1], "")
    assert (image.label, image.shape, rows) == (7, (1, 48, 64), None)


def test_a_class_without_label_ends_the_conversion(log):
    Path("map.prototxt").write_text('item { name: "dogs" label: 1 }')
    message = r'im0\.xml: the class "car" has no item in the label map'
    words = ["--label_map_file=map.prototxt", f"{FILES}/", f"{FILES}/list_xml.txt", "db"]
    assert fails_with(log, message, DETECTION, *words)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.xml", "<annotation><object>", r"a\.xml: the boxes cannot be read \(ParseError: no el"),
        (
            "a.xml",
            "<annotation><object><name>cat</name></object></annotation>",
            r"could not convert string to float.*an XML file has PASCAL VOC's size, object, name",
        ),
        (
            "a.json",
            '{"image": 3}',
            r"a\.json: the boxes cannot be read \(TypeError.*a JSON file has",
        ),
        ("a.txt", "1 2 3 4", r"a\.txt: .*4 numbers in a line\); a line of a text file is label"),
    ],
)
def test_damaged_annotations_are_skipped(log, name, text, message):
    Path(name).write_text(text)
    Path("list.txt").write_text(f"{FILES}/im0.png {name}\n")
    kind = f"--label_type={Path(name).suffix[1:]}"
    assert fails_with(log, message, DETECTION, NAMES, kind, "", "list.txt", "db")
    assert "none of the 1 images could be read" in log.messages[-1]


def test_an_inconsistent_size_is_logged(log):
    Path("a.json").write_text(
        json.dumps(
            {
                "image": {"height": 96, "width": 128},
                "annotation": [{"category_id": 2, "iscrowd": 1, "bbox": [32, 24, 64, 192]}],
            }
        )
    )
    Path("list.txt").write_text(f"{FILES}/im0.png a.json\n")
    flags = [DETECTION, NUMBERS, "--label_type=json", "", "list.txt", "db"]
    assert run_command("convert_annoset", flags) == 0
    _, rows = read_annotated_datum(records("db")[0][1], "")
    np.testing.assert_array_equal(rows, [[2, 0, 0.25, 0.25, 0.75, 2.25, 1]])
    size = "inconsistent image size: 96 x 128 (rows x columns), the image has 48 x 64"
    assert any(size in m for m in log.messages)
    assert "a.json: a box exceeds the image." in log.messages


@pytest.mark.parametrize(
    ("text", "flags", "message"),
    [
        ("", [], r'the label map is empty; write item { name: "\.\.\." label: 1 }'),
        ('item { name: "a" }', [], "an item lacks its label"),
        ("name: 3", [], r'has no field "name".*A label map is a prototxt with an item'),
        (
            'item { name: "a" label: 1 } item { name: "b" label: 1 }',
            ["--check_label"],
            "label 1 occurs more than once",
        ),
    ],
)
def test_label_maps_that_cannot_be_used(log, text, flags, message):
    Path("map.prototxt").write_text(text)
    words = ["--label_map_file=map.prototxt", f"{FILES}/", f"{FILES}/list_xml.txt", "db"]
    assert fails_with(log, message, DETECTION, *flags, *words)


def test_what_is_missing(log, capsys):
    assert convert(names=FILES / "list_xml.txt") == 2
    assert "--label_map_file is missing: --label_type=xml gives names" in capsys.readouterr().err
    Path("list.txt").write_text("im0.png\n")
    message = r"list\.txt:1: 'im0\.png'; a line of a list is the path of an image, a space"
    assert fails_with(log, message, DETECTION, NAMES, f"{FILES}/", "list.txt", "db")
