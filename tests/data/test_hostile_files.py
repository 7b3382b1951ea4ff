"""Files that unpack to much, and damaged ones: an error that names the file, nothing else."""

import base64
import gzip
import io
import random
import struct
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from minicaffe.data import image as images
from minicaffe.data.idx import read_images, read_set, write_idx
from minicaffe.data.image import decode_image, read_image
from minicaffe.data.mean import parse_mean
from minicaffe.data.npy import read_npy, write_npy
from minicaffe.data.records.hdf5 import Hdf5Rows
from minicaffe.data.records.image_list import ImageFiles, ImageListRecords, read_image_list
from minicaffe.data.records.window_file import read_window_file
from minicaffe.errors import DataError, SnapshotError
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers
from minicaffe.pycaffe.images import load_image
from minicaffe.schema import parse_net, read_net_weights, read_solver_state
from minicaffe.schema.unpacked_size import VARIABLE

# 13000 x 13000 pixels.
WEBP = base64.b64decode("UklGRhoAAABXRUJQVlA4TA4AAAAvx/KxDAcQEf0PRET/Aw==")


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def png_header(width, height):
    """A PNG without pixels."""
    chunks = b""
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"")),
        (b"IEND", b""),
    ):
        check = struct.pack(">I", zlib.crc32(kind + data))
        chunks += struct.pack(">I", len(data)) + kind + data + check
    return b"\x89PNG\r\n\x1a\n" + chunks


# --- images ---


@pytest.mark.parametrize("color", [True, False, None])
@pytest.mark.parametrize("content", [png_header(9000, 8000), png_header(13000, 13000), WEBP])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_of_too_many_pixels(content, color):
    with pytest.raises(
        DataError,
        match=r"a\.png: the image has \d+000 x \d+000 pixels; at most 67,108,864 are",
    ):
        decode_image(content, color, "a.png")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_of_too_many_pixels_for_pycaffe():
    Path("a.webp").write_bytes(WEBP)
    with pytest.raises(DataError, match=r"a\.webp: the image has 13000 x 13000 pixels"):
        load_image("a.webp")


def test_the_limit_of_pixels_is_a_setting(monkeypatch):
    file = io.BytesIO()
    Image.new("L", (30, 20)).save(file, "PNG")
    monkeypatch.setenv("MINICAFFE_MAX_IMAGE_PIXELS", "599")
    with pytest.raises(DataError, match=r"30 x 20 pixels; at most 599 are read"):
        decode_image(file.getvalue(), True, "a.png")
    monkeypatch.setenv("MINICAFFE_MAX_IMAGE_PIXELS", "600")
    assert decode_image(file.getvalue(), True, "a.png").shape == (3, 20, 30)
    monkeypatch.delenv("MINICAFFE_MAX_IMAGE_PIXELS")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)  # as programs set it
    with (
        pytest.warns(Image.DecompressionBombWarning),
        pytest.raises(DataError, match="at most 400 are read"),
    ):
        decode_image(file.getvalue(), True, "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr(images, "_MOST_PIXELS", 1)
    assert decode_image(file.getvalue(), True, "a.png").shape == (3, 20, 30)


@pytest.mark.parametrize(
    "error", [NotImplementedError("DDS"), RuntimeError("AVIF"), MemoryError(), KeyError("x")]
)
def test_any_error_of_a_decoder_names_the_file(monkeypatch, error):
    def fail(*_):
        raise error

    Image.new("L", (3, 2)).save("a.png")
    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(DataError, match=r"a\.png: not an image that can be decoded"):
        read_image("a.png")
    with pytest.raises(OSError, match=r"a\.png: not an image that can be decoded"):
        load_image("a.png")


def test_what_is_no_image_stays_an_error_of_pillow_in_pycaffe():
    Path("a.png").write_text("text")
    with pytest.raises(UnidentifiedImageError):
        load_image("a.png")


@pytest.mark.parametrize(
    ("dtype", "kind"), [("float32", "32-bit floats"), ("int32", "32-bit or signed integers")]
)
@pytest.mark.parametrize("color", [True, False, None])
def test_images_of_32_bits_are_refused(dtype, kind, color):
    Image.fromarray((np.mgrid[0:8, 0:8][1] * 0.9).astype(dtype)).save("f.tif")
    with pytest.raises(DataError, match=rf"f\.tif: the image has values of {kind}, which do"):
        decode_image(Path("f.tif").read_bytes(), color, "f.tif")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_images_of_16_bits_are_read(kind):
    values = np.arange(0, 65536, 1111, np.uint16)[:56].reshape(7, 8)
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    np.testing.assert_array_equal(decode_image(file.getvalue(), False, "a")[0], values >> 8)


def test_a_path_with_a_nul_byte():
    with pytest.raises(DataError, match=r"a\\x00b\.png: the image cannot be read: embedded null"):
        read_image("a\0b.png")


# --- IDX ---


def gzip_of_zeros(header, n_mebibytes):
    return gzip.compress(np.array(header, ">i4").tobytes()) + n_mebibytes * gzip.compress(
        bytes(1 << 20)
    )


def test_counts_of_idx_files_are_compared_before_unpacking(monkeypatch):
    Path("images").write_bytes(gzip_of_zeros([2051, 8, 512, 512], 2))
    Path("labels").write_bytes(write_idx(np.zeros(9, np.uint8)))
    monkeypatch.setattr("minicaffe.data.idx.read_images", None)
    with pytest.raises(DataError, match=r"images holds 8 images, labels 9 labels"):
        read_set("images", "labels")


def test_idx_files_that_unpack_to_too_much(monkeypatch):
    Path("images").write_bytes(gzip_of_zeros([2051, 40 << 10, 256, 256], 1))
    with pytest.raises(
        DataError,
        match=r"images: its header says that 2,684,354,560 bytes are to be read from a file of "
        r"1,\d+; at most 1,073,741,824 are allowed\. .* MINICAFFE_MAX_UNPACKED_BYTES",
    ):
        read_images("images")
    Path("images").write_bytes(gzip_of_zeros([2051, 2, 512, 512], 4))
    with pytest.raises(DataError, match=r"images: holds more than 524288 values; its header"):
        read_images("images")
    monkeypatch.setenv(VARIABLE, "524287")
    with pytest.raises(DataError, match=r"at most 524,287 are allowed"):
        read_images("images")


@pytest.mark.parametrize("size", range(4, 16))
def test_idx_files_shorter_than_their_header(size):
    Path("images").write_bytes(write_idx(np.ones((1, 2, 3), np.uint8))[:size])
    with pytest.raises(DataError, match=rf"images: has {size} bytes, less than the header of"):
        read_images("images")


# --- HDF5 ---


def test_hdf5_data_that_unpack_to_too_much():
    with h5py.File("bomb.h5", "w") as file:
        file.create_dataset("data", shape=(1 << 20, 64, 64), dtype="f4", chunks=(1024, 64, 64))
    Path("list").write_text("bomb.h5\n")
    with pytest.raises(
        DataError, match=r"bomb\.h5: its header says that 17,179,869,184 bytes are to be read"
    ):
        Hdf5Rows("list", ["data"])


NET = """
input: "x" input_shape { dim: 2 dim: 3 }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 4 } }
"""


def test_hdf5_weights_are_compared_before_they_are_read():
    net = Net(parse_net(NET, "net"), "TEST")
    with h5py.File("w.caffemodel.h5", "w") as file:
        for name in ("data/ip/0", "data/other/0"):
            file.create_dataset(name, shape=(1 << 16, 1 << 16), dtype="f4", chunks=(1024, 1024))
        file["data/ip/1"] = np.ones(4)
    with pytest.raises(SnapshotError, match=r"is \(4, 3\) in the net and \(65536, 65536\) in"):
        copy_trained_layers(net, "w.caffemodel.h5")
    with pytest.raises(SnapshotError, match=r"says that 34,359,738,384 bytes are to be read"):
        read_net_weights("w.caffemodel.h5")
    with h5py.File("w.caffemodel.h5", "a") as file:
        del file["data/ip/0"]
        file["data/ip/0"] = np.full((4, 3), 5)
    copy_trained_layers(net, "w.caffemodel.h5")
    np.testing.assert_array_equal(net.layers[1].blobs[0].data.get(), np.full((4, 3), 5))


@pytest.mark.parametrize("size", [0, 3, 1 << 20])
def test_an_hdf5_chunk_of_another_size_than_its_table_says(size):
    """The HDF5 library reads beyond its buffer then, which ended the process (SIGSEGV)."""
    with h5py.File("q.h5", "w") as file:
        options = {"compression": "gzip", "fletcher32": True, "chunks": (3, 2)}
        address = file.create_dataset("data", data=np.ones((7, 2)), **options).id
        address = address.get_chunk_info(1).byte_offset
    data = bytearray(Path("q.h5").read_bytes())
    at = data.index(address.to_bytes(8, "little")) - 8 - 8 * 3  # size, mask, 3 offsets, address
    data[at : at + 4] = size.to_bytes(4, "little")
    Path("q.h5").write_bytes(data)
    Path("list").write_text("q.h5\n")
    with pytest.raises(DataError, match=r'q\.h5: dataset "/data" has a damaged table of chunks'):
        Hdf5Rows("list", ["data"])


def test_hdf5_datasets_of_all_filters_are_read():
    values = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    noise = np.random.default_rng(0).bytes(400)  # which gzip cannot make smaller
    with h5py.File("q.h5", "w") as file:
        file.create_dataset("a", data=values, chunks=(3, 2), compression="gzip", fletcher32=True)
        file.create_dataset("b", data=values, chunks=(7, 4), fletcher32=True, shuffle=True)
        file.create_dataset("c", data=values, compression="lzf")
        file.create_dataset("d", data=values, chunks=(64, 5), maxshape=(None, 5))
        file.create_dataset("e", shape=(40, 5), dtype="f4", maxshape=(None, 5))
        bytes_ = np.frombuffer(noise, np.uint8).reshape(40, 10)
        file.create_dataset("f", data=bytes_, chunks=(40, 10), compression="gzip")
    Path("list").write_text("q.h5\n")
    rows = Hdf5Rows("list", list("abcdef")).take(40)
    for array in rows[:4]:
        np.testing.assert_array_equal(array, values)
    assert not rows[4].any()
    np.testing.assert_array_equal(rows[5], bytes_)


def write_weights():
    with h5py.File("q.h5", "w") as file:
        file.create_dataset("data/c/0", data=np.ones((2, 3, 3)), chunks=(1, 3, 3), shuffle=True)
        file["data/c/1"] = np.ones(2)


def write_state():
    with h5py.File("q.h5", "w") as file:
        file["iter"], file["current_step"] = np.array([3]), np.array([0])
        file["learned_net"] = np.array(b"x.caffemodel", "S13")
        file["history/0"] = np.ones((2, 3), np.float32)


def write_rows():
    with h5py.File("q.h5", "w") as file:
        file.create_dataset("data", data=np.ones((7, 2)), chunks=(3, 2), compression="gzip")
    Path("list").write_text("q.h5\n")


@pytest.mark.parametrize(
    ("write", "read", "kind"),
    [
        (write_weights, lambda: read_net_weights("q.h5"), SnapshotError),
        (write_state, lambda: read_solver_state("q.h5"), SnapshotError),
        (write_rows, lambda: Hdf5Rows("list", ["data"]), DataError),
    ],
)
def test_damaged_hdf5_files_are_named(write, read, kind):
    """h5py raises OSError, RuntimeError, KeyError, TypeError and others for them."""
    write()
    whole, rng, messages = Path("q.h5").read_bytes(), random.Random(3), []
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(3):
            data[8 + int(rng.random() ** 3 * (len(data) - 8))] = rng.choice((0, 255, 7, 128))
        Path("q.h5").write_bytes(data)
        try:
            read()
        except kind as error:
            messages.append(str(error))
    assert len(messages) > 30
    assert all("q.h5: " in message for message in messages)


@pytest.mark.parametrize(
    "error", [OSError("a"), RuntimeError("a"), KeyError("a"), TypeError("a"), OverflowError("a")]
)
def test_every_error_of_h5py_names_the_file(monkeypatch, error):
    def fail(*_, **__):
        raise error

    write_rows()
    monkeypatch.setattr(h5py.Dataset, "__array__", fail)
    with pytest.raises(DataError, match=r"list:1: q\.h5: cannot be read as HDF5: a\. Paths"):
        Hdf5Rows("list", ["data"])


# --- .npy ---


def test_npy_files_come_back():
    for array in (np.ones((3, 2), np.float32), np.arange(6).reshape(2, 3, order="F"), np.zeros(0)):
        with Path("a.npy").open("wb") as file:
            write_npy(file, array)
        assert Path("a.npy").stat().st_size > array.nbytes
        np.testing.assert_array_equal(np.load("a.npy"), array)
        np.testing.assert_array_equal(read_npy("a.npy"), array)


def test_npy_files_on_a_full_disk():
    with pytest.raises(OSError, match="No space left"), Path("/dev/full").open("wb") as file:
        write_npy(file, np.ones(30))


def test_mean_files_of_numpy_that_are_damaged():
    np.savez("m.npy.npz", a=np.ones(3))
    Path("m.npy.npz").rename("m.npy")
    with pytest.raises(DataError, match=r"m\.npy: an archive of arrays \(\.npz\)"):
        parse_mean("m.npy")
    np.save("m.npy", np.array(["a"]))
    with pytest.raises(DataError, match=r"m\.npy: holds <U1; an array of numbers is needed"):
        parse_mean("m.npy")
    np.save("m.npy", np.ones((3, 4, 5), np.float32))
    whole, rng = Path("m.npy").read_bytes(), random.Random(1)
    Path("m.npy").write_bytes(whole[:-3])
    with pytest.raises(DataError, match=r"holds 237 bytes of values; its header, shape \(3, 4"):
        parse_mean("m.npy")
    refused = 0
    for _ in range(300):
        data = bytearray(whole)
        data[rng.randrange(90)] = rng.randrange(256)
        Path("m.npy").write_bytes(data[: rng.choice((None, rng.randrange(200)))])
        try:
            parse_mean("m.npy")
        except DataError as error:
            refused += "m.npy" in str(error)
    assert refused > 200


# --- lists ---


@pytest.mark.parametrize("label", ["++1", "+-1", "-", "1.5", "²", "nan", "\uff11" * 5000])
def test_labels_that_are_no_whole_numbers(label):
    Path("list").write_text(f"a.png 0\nb.png {label}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"^list:2: 'b\.png .*'; a line is a path, a space"):
        read_image_list("list")


@pytest.mark.parametrize("label", ["2147483648", "-2147483649", "1" * 5000])
def test_labels_beyond_32_bits(label):
    Path("list").write_text(f"a.png 0\nb.png {label}\n")
    with pytest.raises(DataError, match=r"^list:2: label [-\d]+(\.\.\.)?; a label must"):
        read_image_list("list")
    with pytest.raises(DataError) as caught:
        read_image_list("list")
    assert len(str(caught.value)) < 400


def test_labels_that_are_not_exact_as_floats(caplog_minicaffe):
    Path("list").write_text("a.png 16777216\nb.png +1\n")
    assert [image.label for image in read_image_list("list")] == [1 << 24, 1]
    assert caplog_minicaffe.messages == []
    Path("list").write_text("a.png 0\nb.png 16777217\nc.png -2147483648\n")
    read_image_list("list")
    assert caplog_minicaffe.messages == [
        "list:2: label 16777217; nets hold labels as float32, which is exact up to 16777216 only."
    ]


def test_paths_with_nul_bytes_in_a_list():
    Path("list").write_bytes(b"a.png 0\nb\0.png 1\n")
    with pytest.raises(DataError, match=r"^list: not a text file; .* Line 2 contains a NUL byte"):
        read_image_list("list")


@pytest.mark.parametrize("text", ["# 0\na.png\n" + "1" * 5000, "# 0\na.png\n3\n9\n9\n" + "1" * 19])
def test_window_files_with_thousands_of_digits(text):
    Path("w").write_text(text)
    with pytest.raises(DataError, match=r"^w:\d: found '1+', expected .*, a whole number"):
        read_window_file("w")


def test_a_shorter_list_cannot_be_resumed():
    Path("list").write_text("a.png 0\nb.png 0\nc.png 0\n")
    records = ImageListRecords(ImageFiles("list"))
    records.take(2)
    position = records.position()
    ImageListRecords(ImageFiles("list")).restore(position)
    Path("list").write_text("a.png 0\n")
    with pytest.raises(
        DataError, match=r"list: number of images: 1; the position in the snapshot needs 2\. The da"
    ):
        ImageListRecords(ImageFiles("list")).restore(position)


@pytest.mark.parametrize(
    ("position", "message"),
    [
        ({"round": 0, "file": 1, "row": 0}, r"list: number of files: 1; .* needs 2\."),
        ({"round": 0, "file": 0, "row": 8}, r"list: q\.h5: number of rows: 7; .* needs 8\."),
        ({"round": 0, "file": 0, "row": -1}, r"list: q\.h5: number of rows: 7; .* needs -1\."),
    ],
)
def test_fewer_rows_cannot_be_resumed(position, message):
    write_rows()
    with pytest.raises(DataError, match=message):
        Hdf5Rows("list", ["data"]).restore(position)
