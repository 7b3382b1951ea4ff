"""Korean, Japanese and Chinese names in drawings, with an installed font and without one."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicaffe.cli.main import run_command
from minicaffe.pictures import font as fonts
from minicaffe.pictures.confusion import draw_confusion
from minicaffe.pictures.figure import save_figure
from minicaffe.pictures.grid import contact_sheet, image_grid, shortened, wrapped

CAFFES = Path(__file__).parents[1] / "golden" / "lenet" / "train.log"
ADVICE = "apt install fonts-noto-cjk"
NAMES = ("고양이", "강아지")  # as wide as each other: without a font they would be the same boxes
NET = """
layer { name: "NAME" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 7 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 3 } }
"""


def draw_matrix(name, path):
    save_figure(draw_confusion(np.array([[5, 2], [1, 7]]), [name, "b"]), path)


def draw_histories(name, path):
    Path(name).mkdir()
    (Path(name) / "train.log").write_bytes(CAFFES.read_bytes())
    (Path(name) / "other.log").write_bytes(CAFFES.read_bytes())
    logs = [f"{name}/train.log", f"{name}/other.log", str(CAFFES)]
    assert run_command("plot", [*logs, f"--output={path}"]) == 0


def draw_graph(name, path):
    Path("net.prototxt").write_text(NET.replace("NAME", name), encoding="utf-8")
    assert run_command("draw", ["net.prototxt", path]) == 0


def draw_mistakes(name, path):
    tile = np.zeros((9, 9), np.uint8)
    contact_sheet([tile], [(f"is {name}", "taken for b")], f"{name}: mistakes").save(path)


def draw_grid(name, path):
    image_grid([np.zeros((9, 9), np.uint8)], 1, f"{name}: 1 filter").save(path)


DRAWINGS = [draw_matrix, draw_histories, draw_graph, draw_mistakes, draw_grid]


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    monkeypatch.setattr(fonts, "_warned", [])
    for function in (fonts.font_file, fonts._candidates):
        function.cache_clear()
    yield
    for function in (fonts.font_file, fonts._candidates):
        function.cache_clear()


@pytest.fixture
def korean_font():
    if fonts.font_file("고양이강아지") is None:
        if os.environ.get("CI"):
            pytest.fail("CI installs a font: apt install fonts-nanum")
        pytest.skip("no font with Hangul is installed")


@pytest.fixture
def no_font(monkeypatch):
    monkeypatch.setattr(fonts, "font_folders", list)


def pixels(path):
    return np.asarray(Image.open(path).convert("L"))


@pytest.mark.usefixtures("korean_font")
@pytest.mark.parametrize("draw", DRAWINGS)
def test_names_are_drawn_in_an_installed_font(draw, log):
    for name in NAMES:
        draw(name, f"{name}.png")
    first, second = (pixels(f"{name}.png") for name in NAMES)
    assert first.shape != second.shape or (first != second).any()
    assert ADVICE not in log.text


@pytest.mark.usefixtures("no_font")
@pytest.mark.parametrize("draw", DRAWINGS)
def test_without_a_font_one_warning_names_a_package(draw, log):
    for name in NAMES:  # a warning of matplotlib would be an error
        draw(name, f"{name}.png")
    assert log.text.count(ADVICE) == 1
    assert pixels("고양이.png").size


@pytest.mark.usefixtures("no_font")
def test_an_svg_needs_no_font_and_has_room_for_wide_names(log):
    draw_graph("고양이" * 9, "wide.svg")
    draw_graph("abc" * 9, "narrow.svg")
    assert ADVICE not in log.text
    widths = [int(Path(p).read_text().split('width="')[1].split('"')[0]) for p in ("wide.svg",)]
    assert widths[0] > 27 * 12


def test_latin_texts_are_drawn_in_pillows_font():
    assert fonts.font_file("conv1: 20 filters") is None
    assert wrapped("one two", 1) == ["one", "two"]
    assert "a...a" in shortened("a" * 90, 60)


def test_regular_weights_are_preferred():
    files = [Path(f"NotoSansCJK-{w}.ttc") for w in ("Black", "Bold", "Regular", "Thin")]
    assert min(files, key=fonts._heaviness).stem == "NotoSansCJK-Regular"
    files = [Path(f"NanumGothic{w}.ttf") for w in ("Light", "Bold", "")]
    assert sorted(files, key=fonts._heaviness)[0].stem == "NanumGothic"


def test_a_damaged_font_is_passed_over(monkeypatch, tmp_path):
    (tmp_path / "NotoSansCJK-Regular.ttc").write_bytes(b"no font")
    monkeypatch.setattr(fonts, "font_folders", lambda: [tmp_path])
    assert fonts.font_file("한") is None
