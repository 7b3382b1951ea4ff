"""show filters and show activations."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicaffe.cli.main import run_command
from minicaffe.net import Net
from minicaffe.net.weights import save_net
from minicaffe.pictures import grid
from minicaffe.pictures.layer_values import activation_image, filter_image

NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 3 dim: 20 dim: 18 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 5 kernel_size: 4 weight_filler { type: "xavier" } } }
layer { name: "conv2" type: "Convolution" bottom: "conv" top: "conv2"
  convolution_param { num_output: 40 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv2" top: "ip"
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
"""


@pytest.fixture
def log(log):
    """Run in an empty folder with a net and its weights; the log's messages."""
    Path("net.prototxt").write_text(NET)
    save_net(Net("net.prototxt", "TEST", seed=1), "w.caffemodel")
    Image.new("RGB", (30, 30), (200, 100, 50)).save("x.png")
    log.clear()
    return log


TITLE, HEAD = 8 + 24, 15  # pixels above the first row of numbers, and of these


def test_filters_that_see_colours():
    kernels = np.zeros((4, 3, 2, 2), np.float32)
    kernels[1, 2] = 1  # red in channel order blue, green, red
    kernels[2] = -1
    image = np.asarray(filter_image("conv1", kernels))
    top, side = TITLE + HEAD, 2 * grid.enlargement(2, 2, 2)
    assert image[top + 1, 9].tolist() == [128, 128, 128]
    assert image[top + 1, 8 + side + 4].tolist() == [255, 128, 128]
    assert image[top + side + 3 + HEAD + 1, 9].tolist() == [0, 0, 0]


@pytest.mark.parametrize(("zoom", "side", "head"), [(None, 96, HEAD), (1, 12, 0), (20, 240, HEAD)])
def test_zoom_and_room_for_numbers(zoom, side, head):
    image = activation_image("b", np.zeros((1, 4, 12, 5), np.float32), zoom)
    assert image.height == TITLE + 2 * (side + 3 + head) + 8


def test_each_tile_has_its_number():
    image = np.asarray(activation_image("b", np.zeros((1, 2, 12, 12), np.float32)).convert("L"))
    for left in (8, 8 + 96 + 3):
        assert (image[TITLE : TITLE + HEAD, left : left + 20] < 200).any()


def test_tiles_are_large_but_fit_beside_each_other():
    assert grid.enlargement(5, 5, 5) == 20
    assert grid.enlargement(5, 5, 32) * 5 * 32 <= 1600
    assert grid.enlargement(500, 300, 32) == 1


def test_filters_of_a_file(log):
    assert run_command("show", ["filters", "--weights=w.caffemodel"]) == 0
    assert log.messages == ["Wrote filters.png"]
    args = ["filters", "--weights=w.caffemodel", "--layer=conv2", "--output=c.jpg"]
    assert run_command("show", args) == 0
    with Image.open("c.jpg") as image:
        assert image.height > 5 * image.width  # 32 filters below each other, 5 channels across


@pytest.mark.parametrize("blob", ["data", "conv", "ip"])
def test_activations(log, blob):
    args = ["activations", "--model=net.prototxt", "--weights=w.caffemodel", "--image=x.png"]
    assert run_command("show", [*args, f"--blob={blob}", "--mean=9", "--output=a.png"]) == 0
    with Image.open("a.png") as image:
        assert image.width > 100


def test_maps_are_tiles_and_vectors_are_bars():
    maps = np.zeros((1, 4, 30, 50), np.float32)
    maps[0, 3] = 1
    image = np.asarray(activation_image("b", maps).convert("L"))
    assert image[-20, 8 + 20] == 0  # the third map
    assert image[-20, 8 + 103 + 20] == 255
    bars = np.asarray(activation_image("b", np.array([[0.0, 2.0, 1.0]])).convert("RGB"))
    blue = (bars == [0x1F, 0x77, 0xB4]).all(axis=2).sum(axis=0)
    assert blue[8 + 24 + 10] == pytest.approx(2 * blue[8 + 48 + 10], abs=2)


@pytest.mark.parametrize("n", [1, 10, 1000, 5000])
def test_bars_for_any_number_of_values(n):
    assert grid.bar_chart(np.linspace(-1, 1, n), "caption").width >= 320


def test_values_that_are_no_numbers_are_black():
    pixels = grid.to_pixels(np.array([[np.nan, 0, 5, 9]]), 0, 5)
    np.testing.assert_array_equal(pixels, [[0, 0, 255, 255]])
    np.testing.assert_array_equal(grid.to_pixels(np.ones((1, 1)), 1, 1), [[0]])


@pytest.mark.parametrize("shape", [(2, 7), (2, 3, 4, 5)])
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_activations_of_a_net_that_has_diverged(shape, share):
    values = np.ones(shape, np.float32)
    values.flat[: int(values.size * share)] = np.nan
    values.flat[0] = np.inf
    assert activation_image("b", values).width > 0


def test_long_texts_are_wrapped_or_cut():
    lines = grid.wrapped("a long caption of many words " * 5, 200)
    assert len(lines) > 3
    assert " ".join(lines) == ("a long caption of many words " * 5).strip()
    short = grid.shortened("pictures/boots/00001234.png", 60)
    assert short.startswith("pi")
    assert short.endswith("ng")
    assert "..." in short
    assert grid.shortened("a long name", 1) == "..."
    assert grid.shortened("cat", 60) == "cat"


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["filters"], 2, "show filters needs trained weights: --weights=FILE"),
        (["augment"], 2, "show augment needs the net that is trained: show augment NET.prototxt"),
        (["augment", "net.prototxt", "--model=a.prototxt"], 2, "the net is given twice"),
        (["augment", "net.prototxt"], 1, "no layer of the training net reads images from files"),
        (["filters", "--weights=w.caffemodel", "--layer=conv3"], 1, 'no filters "conv3". Did you'),
        (["filters", "--weights=w.caffemodel", "--zoom=0"], 2, "--zoom: 0 is too small"),
        (["filters", "--weights=w.caffemodel", "--zoom=9999"], 2, "pixels, which is too large"),
        (["filters", "--weights=w.caffemodel", "--output=x.txt"], 1, "image type 'txt'"),
        (["activations", "--weights=w.caffemodel"], 2, "show activations needs a net and a blob"),
        (
            ["activations", "--weights=w.caffemodel", "--model=net.prototxt", "--blob=cov"],
            1,
            'net.prototxt: no blob "cov". Did you mean conv or conv2?',
        ),
        (
            ["activations", "--weights=w.caffemodel", "--model=net.prototxt", "--blob=conv"],
            2,
            "net.prototxt has no data layer; give an image with --image=FILE",
        ),
    ],
)
def test_messages(log, capsys, args, code, message):
    assert run_command("show", args) == code
    assert message in capsys.readouterr().err


AUGMENTED = """
layer { name: "data" type: "ImageData" top: "data" top: "label" include { phase: TRAIN }
  transform_param { TRANSFORM } image_data_param { source: "list.txt" batch_size: 9 } }
layer { name: "data" type: "Input" top: "data" include { phase: TEST }
  input_param { shape { dim: 2 dim: 3 dim: 20 dim: 18 } } }
"""


@pytest.fixture
def pictures(log):
    """Two pictures in a list: x.png is orange, y.png is blue and has a green left half."""
    picture = Image.new("RGB", (60, 40), (0, 0, 255))
    picture.paste((0, 255, 0), (0, 0, 30, 40))
    picture.save("y.png")
    Path("list.txt").write_text("x.png 0\ny.png 3\n")


def sheet_of(transform, *args):
    Path("augmented.prototxt").write_text(AUGMENTED.replace("TRANSFORM", transform))
    assert run_command("show", ["augment", "augmented.prototxt", "-o", "sheet.png", *args]) == 0
    return np.asarray(Image.open("sheet.png"))


def tiles(sheet, row, n):
    """Return the middles of the left and right halves of the versions in a row."""
    side = grid._SIDE_PX
    y = sheet.shape[0] - grid._MARGIN - (2 - row) * (side + 3 * grid._GAP) + side // 2
    lefts = [sheet.shape[1] - grid._MARGIN - (n - k) * (side + grid._GAP) for k in range(n)]
    return [(tuple(sheet[y, x + side // 4]), tuple(sheet[y, x + 3 * side // 4])) for x in lefts]


def test_augmented_images_are_drawn_without_mean_and_scale(pictures, log):
    sheet = sheet_of("mirror: true scale: 0.01 mean_value: 100", "--images=2", "--versions=6")
    assert set(tiles(sheet, 0, 6)) == {((200, 100, 50), (200, 100, 50))}
    plain = ((0, 255, 0), (0, 0, 255))
    assert set(tiles(sheet, 1, 6)) == {plain, plain[::-1]}
    assert not [r for r in log.records if r.levelname == "WARNING"]


def test_covered_parts_have_the_colour_of_the_mean(pictures):
    cutout = "cutout { probability: 1 min_area_ratio: 0.9 max_area_ratio: 0.9 min_aspect_ratio: 1 }"
    transform = f"crop_size: 20 random_resized_crop {{ }} mean_value: [10, 20, 30] {cutout}"
    sheet = sheet_of(transform, "--images=2", "--versions=3")
    assert {colour for pair in tiles(sheet, 1, 3) for colour in pair} == {(30, 20, 10)}


def test_mixed_images_are_drawn(pictures):
    sheet = sheet_of("crop_size: 20 mixup_alpha: 4", "--images=2", "--versions=6")
    colours = {pair[0] for row in (0, 1) for pair in tiles(sheet, row, 6)}
    assert len(colours) > 4


def test_channels_in_another_order_are_drawn_in_their_colours(pictures):
    sheet = sheet_of("bgr2rgb: true mirror: true", "--images=2", "--versions=2")
    assert tiles(sheet, 0, 2)[0][0] == (200, 100, 50)


def test_without_a_random_change_there_is_a_warning(pictures, log):
    sheet_of("scale: 0.5")
    assert any("all versions of an image are the same" in m for m in log.messages)


def test_layers_with_boxes_cannot_be_shown(log, capsys):
    Path("boxes.prototxt").write_text(
        'layer { name: "d" type: "WindowData" top: "d" top: "l" '
        'window_data_param { source: "windows.txt" batch_size: 2 crop_size: 9 } }'
    )
    Path("windows.txt").write_text("# 0\nx.png\n3\n30\n30\n1\n1 1 0 0 20 20\n")
    assert run_command("show", ["augment", "boxes.prototxt"]) == 1
    assert "boxes.prototxt:1, layer" in capsys.readouterr().err


def test_zoom_without_maps(log):
    args = ["activations", "--model=net.prototxt", "--weights=w.caffemodel", "--image=x.png"]
    assert run_command("show", [*args, "--blob=ip", "--zoom=3"]) == 0
    assert '--zoom has no effect on "ip", which has no maps. Remove it.' in log.messages


def test_weights_without_filters(log):
    Path("net.prototxt").write_text(
        'layer { name: "d" type: "Input" top: "d" input_param { shape { dim: 1 dim: 2 } } }'
        'layer { name: "ip" type: "InnerProduct" bottom: "d" top: "ip" '
        "inner_product_param { num_output: 2 } }"
    )
    save_net(Net("net.prototxt", "TEST"), "w.caffemodel")
    assert run_command("show", ["filters", "--weights=w.caffemodel"]) == 1
    assert log.messages[-1] == (
        "w.caffemodel: no layer has filters of more than one pixel. Give the weights of a net "
        "with convolutions."
    )
