"""The scripts that write the data of the example nets: scenes and lines of characters."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import h5py
import numpy as np
import pytest

from example_scripts import run_script, write_scenes
from minicaffe.data.image import read_image, read_label_image
from zoo import ROOT

N_TRAIN, N_TEST = 6, 3


def files_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def scenes(tmp_path):
    """A function that writes scenes to a new folder and returns it."""

    def write(name="scenes", *options):
        write_scenes(tmp_path / name, "--train", N_TRAIN, "--test", N_TEST, *options)
        return tmp_path / name

    return write


def test_scenes_are_the_same_each_time(scenes):
    first, second = files_of(scenes("a")), files_of(scenes("b"))
    assert first == second
    assert len(first) == 3 * (N_TRAIN + N_TEST) + 2 * 4 + 2
    pictures = {content for path, content in first.items() if path.suffix == ".jpg"}
    assert len(pictures) == N_TRAIN + N_TEST


def test_boxes_enclose_the_masks(scenes):
    folder = scenes()
    classes = (folder / "classes.txt").read_text().split()
    seen = set()
    for line in (folder / "train_boxes.txt").read_text().splitlines():
        picture, annotation = line.split()
        assert read_image(folder / picture).shape == (3, 120, 120)
        (mask,) = read_label_image(folder / f"SegmentationClass/{Path(picture).stem}.png")
        inside = np.zeros_like(mask)
        objects = ElementTree.parse(folder / annotation).findall("object")
        assert 1 <= len(objects) <= 5
        for thing in objects:
            label = classes.index(thing.findtext("name"))
            left, top, right, bottom = (
                int(thing.findtext(f"bndbox/{corner}"))
                for corner in ("xmin", "ymin", "xmax", "ymax")
            )
            assert 1 <= left < right <= 120
            assert 1 <= top < bottom <= 120
            part = np.s_[top - 1 : bottom, left - 1 : right]
            assert (mask[part] == label).sum() > 0.1 * mask[part].size
            inside[part] = 1
            seen.add(label)
        assert (mask[inside == 0] == 0).all()
    assert len(seen) > 3


def test_a_mask_has_no_holes_and_no_square_frame(scenes):
    folder = scenes("bags", "--classes", "bag", "sandal")
    for path in (folder / "SegmentationClass").iterdir():
        mask = read_label_image(path)
        assert set(np.unique(mask)) <= {0, 1, 2}
        assert 0.005 < (mask > 0).mean() < 0.5
    assert (folder / "classes.txt").read_text() == "background\nbag\nsandal\n"
    assert 'name: "sandal"\n  label: 2' in (folder / "labelmap.prototxt").read_text()


def test_lines_of_characters(tmp_path):
    script = ROOT / "data" / "glyphs" / "write_lines.py"
    options = ["--train", N_TRAIN, "--test", N_TEST, "--characters", "0123AB", "--width", 100]
    for name in ("a", "b"):
        run_script(script, tmp_path / name, *options)
    first, second = tmp_path / "a", tmp_path / "b"
    assert (first / "train.txt").read_text() == (second / "train.txt").read_text()
    assert (first / "characters.txt").read_text().split() == list("0123AB")
    with h5py.File(first / "train.h5") as file, h5py.File(second / "train.h5") as again:
        np.testing.assert_array_equal(file["data"][:], again["data"][:])
        assert file["data"].shape == (N_TRAIN, 1, 32, 100)
        lines = [line.split() for line in (first / "train.txt").read_text().splitlines()]
        for (path, text), data, label in zip(lines, file["data"], file["label"], strict=True):
            assert 3 <= len(text) <= 8
            numbers = ["0123AB".index(character) + 1 for character in text]
            assert label.tolist() == numbers + [0] * (8 - len(text))
            grey = read_image(first / path, color=False) / np.float32(255)
            np.testing.assert_array_equal(data, grey)
            assert grey.std() > 0.05
