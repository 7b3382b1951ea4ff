"""convert_imageset, compute_image_mean, convert_mnist_(siamese_)data and convert_cifar_data."""

import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from log_lines import PREFIX

from minicaffe.cli.commands._file_counter import FileCounter
from minicaffe.cli.main import run_command
from minicaffe.data.datum import decode_datum, parse_datum
from minicaffe.data.db import open_database
from minicaffe.data.idx import write_idx
from minicaffe.schema.minicaffe_pb2 import BlobProto

ROOT = Path(__file__).parents[2]
FILES = ROOT / "tests" / "golden" / "files"
IMAGES = f"{FILES}/images/"


def records(path, backend="LMDB"):
    with open_database(str(path), backend) as db:
        return list(db.items())


def write_list(text):
    Path("list.txt").write_text(text)
    return "list.txt"


@pytest.mark.parametrize(("files", "logged"), [(0, []), (2, [2]), (3, [3]), (7, [3, 6, 7])])
def test_every_count_is_logged_once(log, files, logged):
    count = FileCounter(interval=3)
    for _ in range(files):
        count.add()
    count.finish()
    assert log.messages == [f"Processed {n} files." for n in logged]


# --- convert_imageset ---


@pytest.mark.parametrize(
    ("flags", "golden"),
    [
        ([], "db_raw_lmdb"),
        (["--resize_height=28", "--resize_width=32", "--check_size"], "db_resized_lmdb"),
        (["-gray", "-resize_height", "20", "-resize_width=20"], "db_gray_lmdb"),
    ],
)
def test_databases_equal_those_of_caffe(log, flags, golden):
    assert run_command("convert_imageset", [*flags, IMAGES, f"{IMAGES}list.txt", "db"]) == 0
    assert records("db") == records(FILES / golden)
    assert log.messages[:3] == ["A total of 10 images.", "Opened lmdb db", "Processed 10 files."]


def test_encoded_database_equals_that_of_caffe_in_every_pixel(log):
    flags = ["--encoded", "--encode_type=jpg"]
    assert run_command("convert_imageset", [*flags, IMAGES, f"{IMAGES}list.txt", "db"]) == 0
    for (key, value), (golden_key, golden) in zip(
        records("db"), records(FILES / "db_encoded_lmdb"), strict=True
    ):
        assert key == golden_key
        ours, label = decode_datum(value, None, "")
        theirs, golden_label = decode_datum(golden, None, "")
        assert label == golden_label
        np.testing.assert_array_equal(ours, theirs)
        if not key.endswith(b".png"):
            assert value == golden  # the bytes of the file


def test_leveldb_and_resized_png(log, golden_copy):
    flags = ["--backend=leveldb", "--encode_type=png", "--resize_height=24", "--resize_width=24"]
    assert run_command("convert_imageset", [*flags, IMAGES, f"{IMAGES}list.txt", "db"]) == 0
    assert "encode_type specified, assuming encoded=true." in log.messages
    golden = records(golden_copy / "db_encoded_png_leveldb", "LEVELDB")
    for (key, value), (golden_key, expected) in zip(records("db", "LEVELDB"), golden, strict=True):
        assert key == golden_key
        np.testing.assert_array_equal(
            decode_datum(value, None, "")[0], decode_datum(expected, None, "")[0]
        )


@pytest.fixture
def golden_copy(tmp_path_factory):
    """A copy: opening a LevelDB writes into it."""
    return Path(shutil.copytree(FILES, tmp_path_factory.mktemp("golden") / "files"))


def test_gray_and_encoded_stores_grey_images(log):
    flags = ["--gray", "--encoded"]
    assert run_command("convert_imageset", [*flags, IMAGES, f"{IMAGES}list.txt", "db"]) == 0
    assert {decode_datum(value, None, "")[0].shape[0] for _, value in records("db")} == {1}
    assert parse_datum(records("db")[7][1], "").data == (FILES / "images/b/img7.jpg").read_bytes()


def test_shuffle_keeps_every_image_and_repeats(log):
    for name in ("one", "two"):
        flags = ["--shuffle", "--resize_height=4", "--resize_width=4"]
        assert run_command("convert_imageset", [*flags, IMAGES, f"{IMAGES}list.txt", name]) == 0
    assert log.messages[0] == "Shuffling data"
    keys = [key[9:] for key, _ in records("one")]
    golden = [key[9:] for key, _ in records(FILES / "db_raw_lmdb")]
    assert keys != golden
    assert sorted(keys) == sorted(golden)
    assert records("one") == records("two")


def test_a_missing_slash_of_the_root_is_added(log):
    assert run_command("convert_imageset", [IMAGES[:-1], f"{IMAGES}list.txt", "db"]) == 0
    assert records("db") == records(FILES / "db_raw_lmdb")


def test_unreadable_images_are_skipped_and_counted(log):
    Path("bad.jpg").write_bytes(b"\xff\xd8\xff broken")
    path = write_list(f"{IMAGES}a/img0.png 0\nmissing.jpg 1\nbad.jpg 2\n{IMAGES}b/img9.png 3\n")
    assert run_command("convert_imageset", ["", path, "db"]) == 0
    assert [key[:9] for key, _ in records("db")] == [b"00000000_", b"00000003_"]
    assert "skipped: missing.jpg: the image cannot be read: No such file" in log.text
    assert "skipped: bad.jpg: not an image that can be decoded" in log.text
    assert "Processed 2 files." in log.messages
    assert "2 of 4 images could not be read." in log.messages


def test_a_file_that_is_not_an_image(log):
    Path("notes.txt").write_text("no pixels")
    assert run_command("convert_imageset", ["", write_list("notes.txt 1\n"), "db"]) == 1
    assert log.messages[-2] == (
        "skipped: notes.txt: not an image that can be decoded (9 bytes): no known format. Is the "
        "file complete?"
    )


def test_a_list_that_begins_with_a_byte_order_mark(log):
    path = write_list("\ufeffa/img0.png 3\n")
    assert run_command("convert_imageset", [IMAGES, path, "db"]) == 0
    assert [key for key, _ in records("db")] == [b"00000000_a/img0.png"]


def test_half_a_size_resizes_nothing(log):
    path = write_list("a/img0.png 3\n")
    assert run_command("convert_imageset", ["--resize_width=8", IMAGES, path, "db"]) == 0
    warnings = [record.message for record in log.records if record.levelname == "WARNING"]
    assert warnings == ["Images are not resized: give both --resize_height and --resize_width."]


def test_no_image_can_be_read(log):
    path = write_list("a.jpg 0\nb.jpg 1\n")
    assert run_command("convert_imageset", ["wrong/", path, "db"]) == 1
    assert log.messages[-1] == (
        "none of the 2 images could be read; is ROOTFOLDER 'wrong/' correct? It is the prefix of "
        "every path in the list."
    )
    assert [p.name for p in Path().iterdir()] == ["list.txt"]


def test_all_malformed_lines_are_listed(log):
    path = write_list("a.jpg 0\nb.jpg\n\nc.jpg 1.5\nd.jpg -1\r\n")
    assert run_command("convert_imageset", [IMAGES, path, "db"]) == 1
    rule = (
        "a line is a path, a space and a label, which is a whole number. For several or other "
        "labels use HDF5Data."
    )
    assert log.messages == [f"list.txt:2: 'b.jpg'; {rule}", f"list.txt:4: 'c.jpg 1.5'; {rule}"]


def test_empty_and_missing_lists(log):
    assert run_command("convert_imageset", [IMAGES, write_list("\n"), "db"]) == 1
    assert run_command("convert_imageset", [IMAGES, "nowhere.txt", "db"]) == 1
    assert log.messages == [
        "list.txt: the list is empty; a line is a path, a space and a label.",
        "nowhere.txt: the list cannot be read: No such file or directory. Files of this type: "
        "list.txt.",
    ]


def test_check_size(log):
    assert run_command("convert_imageset", ["--check_size", IMAGES, f"{IMAGES}list.txt", "db"]) == 1
    assert log.messages[-1] == (
        "b/img1.jpg: the image is 3 x 71 x 63 (channels x rows x columns), those before it "
        "are 3 x 63 x 87; --check_size requires one size. Use --resize_height and --resize_width."
    )
    assert not list(Path().iterdir())


def test_an_existing_database_is_refused(log):
    Path("db").mkdir()
    assert run_command("convert_imageset", [IMAGES, f"{IMAGES}list.txt", "db"]) == 1
    assert "db: exists already; databases are never overwritten" in log.messages[-1]


def test_unknown_encode_type(log):
    flags = ["--encode_type=pgn"]
    assert run_command("convert_imageset", [*flags, IMAGES, f"{IMAGES}list.txt", "db"]) == 1
    assert "image type 'pgn': not one that can be written" in log.messages[-1]


# --- compute_image_mean ---


def test_mean_equals_that_of_caffe(log):
    Path("db").symlink_to(FILES / "db_resized_lmdb")
    assert run_command("compute_image_mean", ["db", "mean.binaryproto"]) == 0
    golden = (FILES / "mean.binaryproto").read_bytes()
    assert Path("mean.binaryproto").read_bytes() == golden
    planes = np.array(BlobProto.FromString(golden).data).reshape(3, -1).mean(axis=1)
    assert log.messages == [
        "Opened lmdb db",
        "Starting iteration",
        "Processed 10 files.",
        "Write to mean.binaryproto",
        "Number of channels: 3",
        *[f"mean_value channel [{c}]: {planes[c]:g}" for c in range(3)],
    ]


def test_mean_without_file(log, golden_copy):
    path = str(golden_copy / "db_encoded_png_leveldb")
    assert run_command("compute_image_mean", ["-backend", "leveldb", path]) == 0
    assert "mean_value channel [2]: " in log.messages[-1]
    assert not list(Path().iterdir())


def test_mean_of_different_sizes(log):
    assert run_command("compute_image_mean", [str(FILES / "db_raw_lmdb"), "mean"]) == 1
    assert "key '00000001_b/img1.jpg': the image is 3 x 71 x 63 (cha" in log.messages[-1]
    assert "earlier ones are 3 x 63 x 87; a mean needs one size" in log.messages[-1]


# --- convert_mnist_data ---

DIGITS = np.random.default_rng(0).integers(0, 256, (1003, 3, 2)).astype(np.uint8)
LABELS = (np.arange(1003) % 10).astype(np.uint8)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_mnist(log, pack):
    Path("images").write_bytes(pack(write_idx(DIGITS)))
    Path("labels").write_bytes(pack(write_idx(LABELS)))
    assert run_command("convert_mnist_data", ["images", "labels", "db", "--backend=lmdb"]) == 0
    found = records("db")
    assert [key for key, _ in found] == [b"%08d" % i for i in range(1003)]
    images, labels = zip(*(decode_datum(value, None, "") for _, value in found), strict=True)
    np.testing.assert_array_equal(np.stack(images)[:, 0], DIGITS)
    np.testing.assert_array_equal(labels, LABELS)
    assert log.messages[:5] == [
        "Opened lmdb db",
        "A total of 1003 items.",
        "Rows: 3 Cols: 2",
        "Processed 1000 files.",
        "Processed 1003 files.",
    ]


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (write_idx(DIGITS), write_idx(LABELS[:9]), "images holds 1003 images, labels 9 labels"),
        (
            write_idx(LABELS),
            write_idx(LABELS),
            "images: not an IDX file of images: it begins with 2049, not 2051. These are labels: "
            "are the two files swapped?",
        ),
        (b"", write_idx(LABELS), "images: not an IDX file of images: it begins with 0, not 2051"),
        (
            write_idx(DIGITS)[:-1],
            write_idx(LABELS),
            "images: holds 6017 values; its header says 1003 x 3 x 2. Is the file complete?",
        ),
        (gzip.compress(b"x" * 99, mtime=0)[:-9], b"", "images: a damaged gzip file: "),
        (
            write_idx(DIGITS[:0]),
            write_idx(LABELS[:0]),
            "images: holds no images. Is the file complete?",
        ),
    ],
)
def test_wrong_idx_files(log, images, labels, message):
    Path("images").write_bytes(images)
    Path("labels").write_bytes(labels)
    assert run_command("convert_mnist_data", ["images", "labels", "db"]) == 1
    assert message in log.messages[-1]
    assert not Path("db").exists()


# --- convert_mnist_siamese_data ---


@pytest.mark.parametrize("backend", ["leveldb", "lmdb"])
def test_siamese_pairs(log, backend):
    numbered = np.zeros((1003, 2, 1), np.uint8)
    numbered[:, :, 0] = np.stack(np.divmod(np.arange(1003), 256), axis=1)
    Path("images").write_bytes(write_idx(numbered))
    Path("labels").write_bytes(write_idx(LABELS))
    flags = [] if backend == "leveldb" else ["--backend=lmdb"]
    assert run_command("convert_mnist_siamese_data", [*flags, "images", "labels", "db"]) == 0
    found = records("db", backend.upper())
    assert [key for key, _ in found] == [b"%08d" % i for i in range(1003)]
    pairs, same = zip(*(decode_datum(value, None, "") for _, value in found), strict=True)
    numbers = np.stack(pairs).astype(int)[..., 0] @ [256, 1]  # (1003, 2): which images
    np.testing.assert_array_equal(same, LABELS[numbers[:, 0]] == LABELS[numbers[:, 1]])
    assert 60 < sum(same) < 140  # of ten classes, one pair in ten matches
    assert len(np.unique(numbers)) > 800  # 1 - 1/e^2 of 1,003 are drawn
    assert log.messages[0] == f"Opened {backend} db"
    assert "Processed 1003 files." in log.messages


def test_siamese_pairs_are_the_same_on_every_run(log):
    Path("images").write_bytes(write_idx(DIGITS))
    Path("labels").write_bytes(write_idx(LABELS))
    for name in ("one", "two"):
        assert run_command("convert_mnist_siamese_data", ["images", "labels", name]) == 0
    assert records("one", "LEVELDB") == records("two", "LEVELDB")


# --- convert_cifar_data ---


def test_cifar(log):
    batches = np.random.default_rng(0).integers(0, 256, (6, 4, 3073)).astype(np.uint8)
    batches[:, :, 0] %= 10
    for i in range(5):
        Path(f"data_batch_{i + 1}.bin").write_bytes(batches[i].tobytes())
    Path("test_batch.bin").write_bytes(batches[5].tobytes())
    assert run_command("convert_cifar_data", [".", ".", "lmdb"]) == 0
    train, test = records("cifar10_train_lmdb"), records("cifar10_test_lmdb")
    assert [key for key, _ in train] == [b"%05d" % i for i in range(20)]
    for (_, value), record in zip([*train, *test], batches.reshape(24, 3073), strict=True):
        image, label = decode_datum(value, None, "")
        assert label == record[0]
        np.testing.assert_array_equal(image, record[1:].reshape(3, 32, 32))
    lines = [line for line in log.messages if not line.startswith("Opened")]
    assert lines == [
        "Writing Training data",
        *[f"Training Batch {i}" for i in range(1, 6)],
        "Writing Testing data",
    ]


@pytest.mark.parametrize("model", ["cifar10_quick", "cifar10_full"])
def test_cifar_as_the_readmes_say(log, model):
    for name in (*(f"data_batch_{batch}" for batch in range(1, 6)), "test_batch"):
        Path(f"{name}.bin").write_bytes(bytes(2 * 3073))  # where `get cifar10` puts them
    readme = (ROOT / "models" / model / "readme.md").read_text()
    steps = readme.partition("minicaffe get cifar10\n")[2].partition("minicaffe train")[0]
    commands = [line.split() for line in steps.splitlines() if "minicaffe" in line]
    assert [command[1] for command in commands] == ["convert_cifar_data", "compute_image_mean"]
    for _, command, *arguments in commands:
        assert run_command(command, arguments) == 0
    assert Path("mean.binaryproto").exists()


def test_wrong_cifar_files(log):
    assert run_command("convert_cifar_data", [".", ".", "lmdb"]) == 1
    assert "data_batch_1.bin: cannot be read: No such file or directory" in log.messages[-1]
    Path("data_batch_1.bin").write_bytes(bytes(3074))
    assert run_command("convert_cifar_data", [".", ".", "lmdb"]) == 1
    assert (
        "data_batch_1.bin: 3074 bytes; the binary version of CIFAR-10 consists of records of 3073"
        in log.text
    )
    assert [p.name for p in Path().iterdir()] == ["data_batch_1.bin"]


# --- as programs ---


@pytest.mark.parametrize(
    "tool",
    [
        "convert_imageset",
        "compute_image_mean",
        "convert_mnist_data",
        "convert_mnist_siamese_data",
        "convert_cifar_data",
    ],
)
def test_tools_show_their_help_with_an_example(tool):
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / f"{tool}.py", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert f"usage: minicaffe {tool}" in done.stdout
    assert "Example:\n  minicaffe" in done.stdout


# --- progress and summary ---


@pytest.fixture
def terminal(monkeypatch):
    for module in ("screen", "conversion_summary"):
        monkeypatch.setattr(f"minicaffe.cli.{module}.has_terminal", lambda: True)
    monkeypatch.setenv("TERM", "dumb")


def summary(capfd):
    """Return the lines of stderr that are no log lines."""
    return [line for line in capfd.readouterr().err.splitlines() if not PREFIX.match(line)]


def test_a_terminal_shows_a_summary_of_the_classes(log, terminal, capfd):
    text = "a/img0.png 0\nnone.png 0\nb/img1.jpg 2\nalso_none.png 1\n"
    assert run_command("convert_imageset", [IMAGES, write_list(text), "db"]) == 0
    shapes = sorted(decode_datum(value, None, "")[0].shape for _, value in records("db"))
    assert [line for line in summary(capfd) if line.strip()] == [
        "db: 2 images, 2 skipped",
        "shapes     "
        + ", ".join(f"1 of {' x '.join(map(str, shape))}" for shape in shapes)
        + " (channels x rows x columns)",
        "classes    2",
        "       label      images   share   skipped",
        "           0           1   50.0 %       1",
        "           1           0    0.0 %       1",
        "           2           1   50.0 %       0",
    ]
    assert any("2 of 0 to 2" in m or "1 of 0 to 2 have no image (1)" in m for m in log.messages)


def test_a_summary_of_boxes(log, terminal, capfd):
    Path("boxes.txt").write_text("3 1 2 30 40\n1 2 3 10 10\n3 5 5 20 20\n")
    line = f"{IMAGES}a/img0.png {Path('boxes.txt').absolute()}\n"
    flags = ["--anno_type=detection", "--label_type=txt", "/", write_list(line), "db"]
    assert run_command("convert_annoset", flags) == 0
    lines = [line for line in summary(capfd) if line.strip()]
    assert lines[0] == "db: 1 images"
    assert lines[2:] == [
        "classes    2",
        "       label       boxes   share",
        "           1           1   33.3 %",
        "           3           2   66.7 %",
    ]


def test_a_pipe_shows_the_log_alone(log, capfd):
    assert run_command("convert_imageset", [IMAGES, f"{IMAGES}list.txt", "db"]) == 0
    assert summary(capfd) == []


def test_labels_of_annotated_images_are_checked(log):
    text = "a/img0.png 1\nb/img1.jpg 2\n"
    assert run_command("convert_annoset", [IMAGES, write_list(text), "db"]) == 0
    assert "db: the labels are 1 to 2, and no image has label 0" in log.text
    assert "db: the images have 2 different shapes" in log.text
