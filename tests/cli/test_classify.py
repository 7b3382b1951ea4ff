"""classify, detect and resize_and_crop_images."""

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import no_card
from minicaffe.cli.commands.resize_and_crop_images import resize_and_crop
from minicaffe.cli.main import run_command
from minicaffe.net import Net
from minicaffe.net.weights import save_net
from minicaffe.pycaffe import session

NET = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
FLAGS = ["--model_def=net.prototxt", "--pretrained_model=w.caffemodel"]


@pytest.fixture
def log(log):
    """Run in an empty folder with a net, weights and images; the log's messages."""
    Path("net.prototxt").write_text(NET)
    save_net(Net("net.prototxt", "TEST", seed=1), "w.caffemodel")
    Path("in").mkdir()
    random = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        pixels = random.integers(0, 256, (12, 12, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(f"in/{name}.png")
    log.clear()
    return log


def scores(pixels):
    """Scores of images, uint8 RGB of 8 x 8, with BGR order and a mean of 9, 8, 7."""
    net = Net("net.prototxt", "TEST")
    weights = Net("net.prototxt", "TEST", seed=1).layers[1].blobs
    for mine, trained in zip(net.layers[1].blobs, weights, strict=True):
        mine.data.set(trained.data.get())
    found = []
    for one in pixels:
        bgr = one[:, :, ::-1].transpose(2, 0, 1) - np.array([9, 8, 7])[:, None, None]
        net.inputs[0].data.set(np.stack([bgr, bgr]))
        net.forward()
        found.append(net.outputs[0].data.get()[0])
    return np.array(found)


def image(name):
    with Image.open(f"in/{name}.png") as image:
        return np.asarray(image)


def test_centres_of_a_folder(log, capsys):
    flags = ["--center_only", "--images_dim=12,12", "--ext=png", "--mean_file=9,8,7"]
    Path("labels.txt").write_text("".join(f"class {k}\n" for k in range(6)))
    args = ["in", "out.npy", *FLAGS, *flags, "--labels=labels.txt"]
    assert run_command("classify", args) == 0
    expected = scores(image(name)[2:10, 2:10] for name in "abc")
    np.testing.assert_allclose(np.load("out.npy"), expected, rtol=1e-4)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["CPU mode", "Loading folder: in", "Classifying 3 inputs."]
    assert lines[4] == "Saving results into out.npy"
    best = expected[0].argmax()
    assert lines[5] == "---------- Prediction for in/a.png ----------"
    assert lines[6] == f'{expected[0][best]:.4f} - "class {best}"'


def test_ten_crops_of_a_image_and_of_an_array(log, capsys):
    flags = [*FLAGS, "--images_dim=12,12", "--mean_file=9,8,7"]
    assert run_command("classify", ["in/b.png", "one.npy", *flags]) == 0
    pixels = image("b")
    corners = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]
    crops = [pixels[y : y + 8, x : x + 8] for y, x in corners]
    expected = scores([*crops, *(crop[:, ::-1] for crop in crops)]).mean(axis=0)
    np.testing.assert_allclose(np.load("one.npy")[0], expected, rtol=1e-4)
    np.save("array.npy", (pixels / 255).astype(np.float32)[None])
    assert run_command("classify", ["array.npy", "two.npy", *flags]) == 0
    np.testing.assert_allclose(np.load("two.npy"), np.load("one.npy"), rtol=1e-5)
    assert "Loading file: array.npy" in capsys.readouterr().out


def test_on_a_gpu(log, capsys, monkeypatch, emulated_device):
    no_card.install(monkeypatch, [emulated_device])
    monkeypatch.setattr(session, "_session", session._Session())
    flags = [*FLAGS, "--images_dim=12,12", "--mean_file=9,8,7", "--ext=png"]
    assert run_command("classify", ["in", "cpu.npy", *flags]) == 0
    assert not emulated_device.launches
    assert run_command("classify", ["in", "gpu.npy", *flags, "--gpu"]) == 0
    assert emulated_device.launches
    np.testing.assert_allclose(np.load("gpu.npy"), np.load("cpu.npy"), rtol=1e-4)
    assert capsys.readouterr().out.count("GPU mode") == 1


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["in", "o.npy"], 2, "missing: --model_def=FILE (deploy net"),
        (["in", "o.npy", *FLAGS, "--images_dim=9"], 2, "--images_dim=9: must be 2 integers"),
        (
            ["in", "o.npy", *FLAGS, "--channel_swap=2,1"],
            2,
            "--channel_swap=2,1: must be 3 integers",
        ),
        (["in", "o.npy", *FLAGS], 1, "in: the folder has no file that ends in .jpg; see --ext"),
        (["no.png", "o.npy", *FLAGS], 1, "no.png: an image cannot be read: "),
        (["no.npy", "o.npy", *FLAGS], 1, "no.npy: cannot be read as a NumPy array: "),
        (["flat.npy", "o.npy", *FLAGS], 1, "flat.npy: has shape (3,); must be N x rows"),
        (
            ["in", "o.npy", *FLAGS, "--mean_file=flat2.npy"],
            1,
            "flat2.npy: has shape (2, 2); a mean",
        ),
        (["in", "o.npy", *FLAGS, "--gpu"], 1, "no GPU can be used"),
    ],
)
def test_messages_of_classify(log, capsys, args, code, message):
    np.save("flat.npy", np.zeros(3))
    np.save("flat2.npy", np.zeros((2, 2)))
    assert run_command("classify", args) == code
    assert message in capsys.readouterr().err
    assert not Path("o.npy").exists()


# --- detect ---

WINDOWS = "filename,ymin,xmin,ymax,xmax\nin/a.png,0,0,8,8\nin/b.png,4,3,12,11\n"


@pytest.fixture
def windows(log):
    """The flags that take windows as they are."""
    Path("windows.csv").write_text(WINDOWS)
    return [*FLAGS, "--crop_mode=list", "--context_pad=0", "--mean_file=9,8,7"]


def test_windows_to_csv(windows, capsys):
    assert run_command("detect", ["windows.csv", "out.csv", *windows]) == 0
    with Path("out.csv").open() as file:
        head, *rows = csv.reader(file)
    assert head == ["filename", "ymin", "xmin", "ymax", "xmax", *(f"class{k}" for k in range(6))]
    assert rows[1][:5] == ["in/b.png", "4", "3", "12", "11"]
    expected = scores([image("a")[:8, :8], image("b")[4:12, 3:11]])
    np.testing.assert_allclose(np.array([row[5:] for row in rows], float), expected, rtol=1e-4)
    assert "Processed 2 windows in " in capsys.readouterr().out


def test_windows_to_hdf5_and_surroundings(windows):
    np.save("mean.npy", np.full((3, 8, 8), 7.0))
    flags = [*windows[:3], "--context_pad=2", "--mean_file=mean.npy"]
    assert run_command("detect", ["windows.csv", "out.h5", *flags]) == 0
    with h5py.File("out.h5") as file:
        assert file["df/prediction"].shape == (2, 6)
        assert file["df/filename"].asstr()[1] == "in/b.png"
        assert file["df/xmax"][:].tolist() == [8, 11]


def test_windows_that_a_spreadsheet_saved(windows):
    """They begin with a byte order mark, and are not always in UTF-8."""
    Path("windows.csv").write_bytes(b"\xef\xbb\xbf" + WINDOWS.encode())
    assert run_command("detect", ["windows.csv", "out.csv", *windows]) == 0


@pytest.mark.parametrize(
    ("text", "output", "code", "message"),
    [
        (WINDOWS, "o.txt", 2, "o.txt: unknown type of file; the extension must be .csv or .h5"),
        ("filename,ymin\n", "o.csv", 1, "windows.csv: no column xmin, ymax, xmax; the first line"),
        (WINDOWS[:29], "o.csv", 1, "windows.csv: has no window; write one per row"),
        (
            WINDOWS + "x,1,2,y,4\n",
            "o.csv",
            1,
            "windows.csv:4: a window is four numbers; found 1, 2, y, 4",
        ),
        ("\udcfc", "o.csv", 1, "windows.csv: not UTF-8 text; save it in that encoding."),
    ],
)
def test_messages_of_detect(windows, capsys, text, output, code, message):
    Path("windows.csv").write_text(text, encoding="utf-8", errors="surrogateescape")
    assert run_command("detect", ["windows.csv", output, *windows]) == code
    assert message in capsys.readouterr().err


def test_selective_search_is_refused(windows, log):
    Path("images.txt").write_text("in/a.png\n\nin/b.png\n")
    args = ["images.txt", "o.csv", *FLAGS, "--context_pad=0", "--crop_mode=selective_search"]
    assert run_command("detect", args) == 1
    assert "detect_selective_search on 2 images" in log.messages[-1]


# --- resize_and_crop_images ---


@pytest.mark.parametrize(("height", "width"), [(6, 12), (12, 6), (9, 9), (3, 2)])
def test_squares_are_the_centre(height, width):
    ramp = np.broadcast_to(np.arange(width, dtype=np.uint8) * 20, (1, height, width))
    square = resize_and_crop(ramp, 6)
    assert square.shape == (1, 6, 6)
    middle = float(ramp.mean())
    assert float(square.mean()) == pytest.approx(middle, abs=1)


def test_folders(log):
    Path("in/deep").mkdir()
    Image.new("L", (30, 10), 7).save("in/deep/x.jpg")
    Path("in/broken.png").write_bytes(b"no image")
    args = ["--input_folder=in", "--output_folder=out", "--output_side_length=5"]
    assert run_command("resize_and_crop_images", args) == 0
    sizes = {}
    for file in Path("out").rglob("*.*"):
        with Image.open(file) as image:
            sizes[str(file)] = image.size
    assert sizes == dict.fromkeys(["out/a.png", "out/b.png", "out/c.png", "out/deep/x.jpg"], (5, 5))
    assert "skipped: in/broken.png: not an image that can be decoded" in log.text
    assert log.messages[-1] == "Processed 4 files."


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--input_folder=in"], 2, "missing: --output_folder=FOLDER"),
        (["--input_folder=no", "--output_folder=o"], 1, "no: no such folder"),
        (
            ["--input_folder=in", "--output_folder=o", "--image_lib=skimage"],
            2,
            "--image_lib: invalid choice: 'skimage'",
        ),
        (
            ["--input_folder=in", "--output_folder=o", "--output_side_length=0"],
            2,
            "--output_side_length: 0 is too small; it must be at least 1",
        ),
    ],
)
def test_messages_of_resize_and_crop(log, capsys, args, code, message):
    assert run_command("resize_and_crop_images", args) == code
    assert message in capsys.readouterr().err
