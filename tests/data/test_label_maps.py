"""Data layers with a label for each pixel: DenseImageData, ImageSegData, ImageLabelmapData."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicaffe.data.records.label_maps import LabelKind, read_label_map_list
from minicaffe.errors import DataError, NetError
from minicaffe.net import Net
from minicaffe.schema import parse_net

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDER = GOLDEN / "files" / "seg"
CASES = ("dense_plain", "dense_resized", "imgseg_crop", "imgseg_image", "imgseg_pad")


def net_of(layer_type, settings, transform="", phase="TEST", seed=1, tops=2):
    field = "dense_image_data_param" if layer_type == "DenseImageData" else "image_data_param"
    names = " ".join(f'top: "{name}"' for name in ("data", "label", "size")[:tops])
    if "root_folder" not in settings:
        settings += f' root_folder: "{FOLDER}/"'
    text = (
        f'layer {{ name: "data" type: "{layer_type}" {names} transform_param {{ {transform} }} '
        f"{field} {{ {settings} }} }}"
    )
    return Net(parse_net(text, "net.prototxt"), phase, seed=seed)


def batch(net):
    net.forward()
    return {name: blob.data.get() for name, blob in net.blobs.items()}


def listed(name="list.txt"):
    return f'source: "{FOLDER / name}"'


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_the_forks(name):
    """Resized images may be one grey level off in 1 % of the values; labels never."""
    with np.load(GOLDEN / "data" / f"{name}.npz") as golden:
        text = str(golden["prototxt"]).replace("FILES", str(FOLDER))
        net = Net(parse_net(text, "net.prototxt"), "TEST")
        level = 0.01 if "scale: 0.01" in text else 1
        for i in range(sum(key.endswith(".data") for key in golden)):
            got = batch(net)
            for blob, values in got.items():
                want = golden[f"batch.{i}.{blob}"]
                assert values.shape == want.shape
                off = np.abs(values - want)
                if blob == "data" and "new_height" in text:
                    assert off.max() <= 1.01 * level
                    assert (off > 1e-3 * level).mean() <= 0.01
                else:
                    np.testing.assert_allclose(values, want, atol=1e-4)
        net.close()


@pytest.fixture
def coded(tmp_path):
    """A list of images whose blue channel is the label and whose labels differ in every pixel."""
    labels = np.arange(11 * 13, dtype=np.uint8).reshape(11, 13)
    rgb = np.stack([labels * 0 + 7, labels * 0 + 9, labels], axis=2)
    Image.fromarray(rgb).save(tmp_path / "image.png")
    Image.fromarray(labels).save(tmp_path / "labels.png")
    (tmp_path / "list.txt").write_text("image.png labels.png\n" * 3)
    return f'source: "{tmp_path}/list.txt" root_folder: "{tmp_path}/"'


@pytest.mark.parametrize("layer_type", ["DenseImageData", "ImageSegData"])
@pytest.mark.parametrize(
    "transform", ["crop_size: 6 mirror: true", "crop_height: 5 crop_width: 20 mirror: true"]
)
def test_labels_move_with_their_pixels(layer_type, transform, coded):
    kind = "label_type: PIXEL" if layer_type == "ImageSegData" else ""
    net = net_of(layer_type, f"batch_size: 3 {coded} {kind}", transform, phase="TRAIN")
    corners = set()
    for _ in range(8):
        data, label = batch(net).values()
        inside = label != 255
        np.testing.assert_array_equal(data[:, :1][inside], label[inside])
        assert (data[:, 1][~inside[:, 0]] == 0).all()
        corners.update(label[:, 0, 0, 0].tolist())
    assert len(corners) > 5
    net.close()


def test_the_crop_is_in_the_middle_in_test(coded):
    data, label = batch(net_of("DenseImageData", coded + " batch_size: 1", "crop_size: 5")).values()
    rows, columns = np.mgrid[3:8, 4:9]
    np.testing.assert_array_equal(label[0, 0], 13 * rows + columns)
    assert data.shape == (1, 3, 5, 5)


def test_own_fields_of_dense_image_data_have_an_effect(coded):
    net = net_of(
        "DenseImageData", f"{coded} batch_size: 1 crop_height: 3 crop_width: 4 mirror: true"
    )
    firsts = {batch(net)["label"][0, 0, 0, 0] for _ in range(12)}
    assert firsts == {4 * 13 + 4, 4 * 13 + 7}
    net.close()


def test_label_divide_factor_keeps_every_nth_label(coded):
    settings = f"{coded} batch_size: 1 new_height: 22 new_width: 26 label_divide_factor: 2"
    got = batch(net_of("DenseImageData", settings))
    assert got["data"].shape == (1, 3, 22, 26)
    np.testing.assert_array_equal(got["label"][0, 0], np.arange(143).reshape(11, 13))


def test_scale_factors_scale_images_and_labels_in_training():
    settings = f"{listed()} batch_size: 4 label_type: PIXEL"
    transform = "scale_factors: 0.5 scale_factors: 1.25 crop_size: 64"
    sizes = set()
    net = net_of("ImageSegData", settings, transform, phase="TRAIN", tops=3)
    for _ in range(4):
        got = batch(net)
        sizes.update(map(tuple, got["size"].reshape(-1, 2).tolist()))
        for label, size in zip(got["label"], got["size"], strict=True):
            rows, columns = map(int, size.ravel())
            assert (label[0, rows:] == 255).all()
            assert (label[0, :, columns:] == 255).all()
    net.close()
    assert sizes == {(18, 24), (45, 60)}
    got = batch(net_of("ImageSegData", settings, transform, tops=3))
    assert set(map(tuple, got["size"].reshape(-1, 2).tolist())) == {(36, 48)}


def test_without_labels_all_are_ignored():
    settings = f"{listed()} batch_size: 1 label_type: NONE ignore_label: 21"
    assert (batch(net_of("ImageSegData", settings))["label"] == 21).all()


def test_a_palette_gives_the_indices_of_its_colours(tmp_path):
    labels = np.array([[0, 3], [255, 1]], np.uint8)
    mask = Image.fromarray(labels, "P")
    mask.putpalette([200 - k % 200 for k in range(768)])
    mask.save(tmp_path / "mask.png")
    Image.new("RGB", (2, 2)).save(tmp_path / "image.png")
    (tmp_path / "list").write_text("image.png mask.png")
    settings = f'source: "{tmp_path}/list" root_folder: "{tmp_path}/" batch_size: 1'
    np.testing.assert_array_equal(batch(net_of("DenseImageData", settings))["label"][0, 0], labels)


def test_edges_are_grey_values_from_128(tmp_path):
    Image.fromarray(np.array([[0, 127], [128, 255]], np.uint8)).save(tmp_path / "edges.png")
    Image.new("RGB", (2, 2), (1, 2, 3)).save(tmp_path / "image.png")
    (tmp_path / "list").write_text("image.png edges.png")
    settings = f'source: "{tmp_path}/list" root_folder: "{tmp_path}/" batch_size: 1'
    got = batch(net_of("ImageLabelmapData", settings))
    assert got["label"].tolist() == [[[[0, 0], [1, 1]]]]
    assert got["data"][0, :, 0, 0].tolist() == [3, 2, 1]


def test_a_restored_layer_continues_with_the_same_batches():
    settings = f"{listed()} batch_size: 3 label_type: PIXEL shuffle: true"
    transform = "crop_size: 20 mirror: true scale_factors: 0.75 scale_factors: 1.5"
    net = net_of("ImageSegData", settings, transform, phase="TRAIN", seed=3)
    for _ in range(5):
        batch(net)
    state = json.loads(json.dumps(net.layers[0].state()))
    wanted = [batch(net) for _ in range(3)]
    other = net_of("ImageSegData", settings, transform, phase="TRAIN", seed=8)
    batch(other)
    other.layers[0].restore(state)
    for want in wanted:
        got = batch(other)
        for name, values in want.items():
            np.testing.assert_array_equal(got[name], values)
    net.close()
    other.close()


REFUSED = [
    ("DenseImageData", "batch_size: 1", "", NetError, r"source \} is missing"),
    ("DenseImageData", 'source: "x"', "", NetError, "batch_size is missing or 0"),
    ("DenseImageData", f"{listed()} batch_size: 1 new_height: 3", "", NetError, "both or neither"),
    (
        "DenseImageData",
        f"{listed()} batch_size: 1",
        "crop_size: 3 crop_height: 4 crop_width: 4",
        NetError,
        "give one of them",
    ),
    ("DenseImageData", f"{listed()} batch_size: 1", "crop_height: 4", NetError, "give one of them"),
    (
        "DenseImageData",
        f"{listed()} batch_size: 1 label_divide_factor: 2",
        "crop_size: 5",
        NetError,
        "label_divide_factor: 2 must divide the crop, 5 x 5",
    ),
    (
        "ImageSegData",
        f"{listed()} batch_size: 1 label_type: PIXEL",
        'crop_size: 5 mean_file: "mean.binaryproto"',
        NetError,
        "mean_file cannot be used with a crop",
    ),
    (
        "ImageSegData",
        f"{listed()} batch_size: 1 label_type: PIXEL",
        "scale_factors: 0",
        NetError,
        "scale_factors: 0; they must be positive",
    ),
    (
        "ImageSegData",
        f"{listed()} batch_size: 1 ignore_label: -1",
        "",
        NetError,
        "ignore_label: -1 is no value of a pixel",
    ),
    (
        "ImageSegData",
        f"{listed()} batch_size: 1",
        "",
        NetError,
        r"list.txt:1: 'im0.png lab0.png'; a line of the list is the path of an image, a space and "
        "its label, 0 to 255.",
    ),
    (
        "DenseImageData",
        f"{listed('list_class.txt')} batch_size: 1",
        "",
        NetError,
        r"seg/1: the image cannot be read: .* Is '1' a path below the same root_folder",
    ),
    ("DenseImageData", f"{listed('list_mixed.txt')} batch_size: 6", "", DataError, "has one size"),
]


@pytest.mark.parametrize(("layer_type", "settings", "transform", "kind", "message"), REFUSED)
def test_bad_settings_and_lists_are_refused(layer_type, settings, transform, kind, message):
    with pytest.raises(kind, match=message):
        batch(net_of(layer_type, settings, transform))


def test_labels_of_another_size_are_refused(tmp_path):
    (tmp_path / "list").write_text("im0.png lab4.png\n")
    with pytest.raises(NetError, match=r"labels are 30 x 40 and the image .* is 36 x 48"):
        batch(net_of("DenseImageData", f'source: "{tmp_path}/list" batch_size: 1'))


def test_labels_in_a_jpeg_file_are_refused(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "labels.jpg")
    (tmp_path / "list").write_text("labels.jpg labels.jpg")
    settings = f'source: "{tmp_path}/list" root_folder: "{tmp_path}/" batch_size: 1'
    with pytest.raises(NetError, match=r"labels\.jpg: a JPEG file changes the values"):
        net_of("DenseImageData", settings)


def test_lists(tmp_path):
    path = tmp_path / "list"
    path.write_text("a.png\tb.png\r\n\n  c.png d.png \n")
    found = read_label_map_list(str(path), LabelKind.LABELS)
    assert [(image.name, image.labels, image.line) for image in found] == [
        ("a.png", "b.png", 1),
        ("c.png", "d.png", 3),
    ]
    path.write_text("a 1\nb 256\nc\nd 1 2\n")
    with pytest.raises(DataError) as error:
        read_label_map_list(str(path), LabelKind.NUMBER)
    assert re.findall(r"list:(\d)", str(error.value)) == ["2", "3", "4"]
    path.write_text("\n")
    with pytest.raises(DataError, match="the list is empty; a line of the list is the path of an"):
        read_label_map_list(str(path), LabelKind.NOTHING)


def test_fields_without_effect_are_named(caplog_minicaffe):
    net = net_of("DenseImageData", f"{listed()} batch_size: 1", "max_rotation_angle: 3")
    net.close()
    assert any(
        "transform_param.max_rotation_angle has no effect" in m for m in caplog_minicaffe.messages
    )
