"""minicaffe db: info, verify, show, export, merge, split and shuffle."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from minicaffe.cli.item_progress import progress_text, with_progress
from minicaffe.data.annotations.annotated_datum import encode_annotated_datum
from minicaffe.data.annotations.object_box import ObjectBox
from minicaffe.data.databases import stored_record
from minicaffe.data.datum import decode_datum, encode_datum, encoded_datum
from minicaffe.data.db import create_database, open_any_database

KINDS = ("LMDB", "LEVELDB")


def image(number, shape=(1, 5, 7)):
    return np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)


def jpeg(number):
    file = io.BytesIO()
    Image.fromarray(image(number, (9, 11, 3))).save(file, "JPEG")
    return file.getvalue()


def write(path, values, backend="LMDB"):
    with create_database(str(path), backend) as database:
        for number, value in enumerate(values):
            database.put(b"%08d_dir/img%d.png" % (number, number), value)


def read(path):
    with open_any_database(str(path)) as database:
        return list(database.items())


def labelled(n, n_classes=4):
    return [encode_datum(image(k), k % n_classes) for k in range(n)]


def with_boxes(number, *boxes):
    return encode_annotated_datum(encode_datum(image(number, (3, 20, 40)), -1), boxes)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- info and verify ---


def test_a_database_alone_is_described(folder, run):
    write("db", labelled(5))
    assert run("db", "db").out == run("db", "info", "db").out != ""


@pytest.mark.parametrize("backend", KINDS)
def test_info_of_raw_images(folder, run, backend):
    write("db", labelled(40), backend)
    result = run("db", "info", "db")
    assert result.code == 0
    lines = result.out.splitlines()
    assert lines[0].startswith(f"db: {'LMDB' if backend == 'LMDB' else 'LevelDB'}, 40 records, ")
    values = np.concatenate([image(k).ravel() for k in range(40)])
    assert lines[1:] == [
        "messages   40 Datum",
        "shapes     40 of 1 x 5 x 7 (channels x rows x columns)",
        "stored as  40 bytes",
        f"values     {values.min()} to {values.max()}, mean {values.mean():.4g}",
        "repeated   none",
        "damaged    none",
        "classes    4",
        "       label      images   share",
        *(f"  {label:>10}          10   25.0 %" for label in range(4)),
    ]
    assert result.errors == []


def test_info_names_what_is_wrong(folder, run):
    floats = np.array([[[0.5, np.nan, -3]]], np.float32)
    values = [
        encode_datum(image(1), 5),
        encode_datum(image(1), 5),
        encode_datum(image(2), 5),
        encode_datum(image(1), 7),
        encode_datum(floats, 7),
        b"\xff\xff nothing",
        encoded_datum(jpeg(3)[:50], 7),
    ]
    write("db", values)
    result = run("db", "info", "db")
    assert result.code == 0
    assert "stored as  4 bytes, 1 floats" in result.out
    assert "values     -3 to " in result.out
    assert "; 1 records have NaN or infinite values" in result.out
    assert (
        "repeated   2 records have the image of an earlier one, 1 of them with another label: "
        "'00000001_dir/img1.png' and '00000003_dir/img3.png' ..." in result.out
    )
    assert "damaged    2\n  db, key '00000005_dir/img5.png': 10 bytes that are not" in result.out
    assert "  db, key '00000006_dir/img6.png': not an image that can be decoded" in result.out
    assert any("no image has label 0" in line or "labels go up" in line for line in result.errors)


def test_info_of_boxes(folder, run):
    one, two = ObjectBox(1, (0.1, 0.2, 0.5, 0.6)), ObjectBox(2, (0.5, 0.1, 0.4, 0.3))
    write("db", [with_boxes(0, one, two, one), with_boxes(1), with_boxes(2, one)])
    Path("map.prototxt").write_text('item { name: "cat" label: 1 } item { name: "dog" label: 2 }')
    result = run("db", "info", "db", "--labels=map.prototxt")
    assert "messages   3 AnnotatedDatum" in result.out
    assert "boxes      4 in 3 images, 1 images have none, 1 boxes exceed their image" in result.out
    assert "           1  cat            3   75.0 %" in result.out
    assert result.errors == []


def test_info_of_encoded_images_of_many_sizes(folder, run):
    files = []
    for rows in range(3, 10):
        file = io.BytesIO()
        Image.fromarray(image(rows, (rows, 7))).save(file, "PNG")
        files.append(encoded_datum(file.getvalue(), 0))
    write("db", [*files, encoded_datum(jpeg(0), 0)])
    out = run("db", "info", "db").out
    assert "shapes     8 different: 1 to 3 channels, 3 to 9 rows, 7 to 11 columns" in out
    assert "stored as  7 PNG, 1 JPEG" in out


def test_info_of_many_classes_shows_the_most_and_the_least_frequent(folder, run):
    write("db", [encode_datum(image(k), label) for k, label in enumerate([*range(30), 3, 29])])
    lines = run("db", "info", "db").out.splitlines()
    assert lines[7] == "classes    30"
    assert len(lines) == 8 + 1 + 20 + 1
    assert lines[9].split()[:2] == ["3", "2"]
    assert lines[19].split() == ["...", "(10", "classes", "between", "these)"]
    assert lines[-1].split()[:2] == ["28", "1"]


def test_a_label_without_name_is_warned_about(folder, run):
    write("db", labelled(8))
    Path("names.txt").write_text("cat\ndog\n")
    result = run("db", "info", "db", "--labels", "names.txt")
    assert "           1  dog            2" in result.out
    assert result.errors == [
        "names.txt: label 2 has no name, and 1 others have none: the file has 2 names. They are "
        "shown as numbers."
    ]


def test_an_empty_database_has_no_records(folder, run):
    write("db", [])
    result = run("db", "info", "db")
    assert (result.code, result.out.splitlines()[1]) == (0, "messages   none")


@pytest.mark.parametrize("backend", KINDS)
def test_verify_prints_the_keys_of_damaged_records(folder, run, backend):
    values = labelled(20)
    values[3], values[17] = b"no", encode_datum(image(1), 0)[:-9]
    write("db", values, backend)
    result = run("db", "verify", "db")
    assert result.code == 1
    first, second, total = result.out.splitlines()
    assert first.startswith("db, key '00000003_dir/img3.png': ")
    assert second.startswith("db, key '00000017_dir/img17.png': ")
    assert total == "db: 18 of 20 records can be decoded"


def test_verify_of_a_good_database(folder, run):
    write("db", labelled(20))
    result = run("db", "verify", "db")
    assert (result.code, result.out) == (0, "db: 20 of 20 records can be decoded\n")


# --- show ---


def test_show_draws_images_from_the_whole_database(folder, run):
    write("db", [encode_datum(np.full((3, 4, 4), 10 * k, np.uint8), 0) for k in range(20)])
    assert run("db", "show", "db", "-o", "sheet.png", "--count=4").code == 0
    pixels = np.asarray(Image.open("sheet.png").convert("RGB"))
    for number in range(20):  # 0, 5, 10, 15 are shown: squares of 128 x 128
        is_shown = (pixels == 10 * number).all(axis=2).sum() >= 128 * 128
        assert is_shown == (number in (0, 5, 10, 15)), number


def test_show_draws_boxes_floats_and_odd_channels(folder, run):
    box = ObjectBox(1, (0.25, 0.25, 0.75, 0.75))
    values = [
        encode_annotated_datum(encode_datum(np.zeros((1, 40, 40), np.uint8), -1), [box]),
        encode_annotated_datum(encode_datum(np.zeros((3, 40, 40), np.uint8), 4), None),
        encode_annotated_datum(encode_datum(np.zeros((2, 9, 9), np.float32), 4), None),
        encode_annotated_datum(b"", None),
    ]
    write("db", values)
    Path("names.txt").write_text("zero\none\n")
    result = run("db", "show", "db", "-o", "sheet.png", "--labels=names.txt")
    assert result.code == 0
    assert [line[:9] for line in result.errors] == ["left out:", "names.txt"]
    colours = np.asarray(Image.open("sheet.png").convert("RGB")).reshape(-1, 3)
    assert (colours == (128, 0, 0)).all(axis=1).sum() > 100  # class 1 of PASCAL VOC's palette


# --- export ---


def test_export_can_be_converted_again(folder, run):
    write("db", [*labelled(7), encoded_datum(jpeg(0), 2)])
    Path("names.txt").write_text("a\nb/c\nd\ne\n")
    result = run("db", "export", "db", "out", "--labels=names.txt")
    assert result.out == "out: 8 images; out/list.txt lists them\n"
    assert sorted(path.name for path in Path("out").iterdir()) == [
        *("a", "b_c", "d", "e", "list.txt")
    ]
    assert Path("out/d/00000007_dir_img7.jpg").read_bytes() == jpeg(0)
    assert run("convert_imageset", "--gray", "out/", "out/list.txt", "again").code == 0
    for (_, value), (_, again) in zip(read("db")[:7], read("again")[:7], strict=True):
        assert value == again


def test_export_of_boxes_can_be_converted_again(folder, run):
    box = ObjectBox(3, (0.25, 0.5, 0.75, 1.0))
    write("db", [with_boxes(0, box), with_boxes(1)])
    assert run("db", "export", "db", "out").code == 0
    assert Path("out/list.txt").read_text().splitlines()[0] == (
        "images/00000000_dir_img0.png images/00000000_dir_img0.txt"
    )
    flags = ["--anno_type=detection", "--label_type=txt"]
    assert run("convert_annoset", *flags, "out/", "out/list.txt", "again").code == 0
    assert [value for _, value in read("again")] == [value for _, value in read("db")]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (encode_datum(np.full((1, 2, 2), 0.5, np.float32), 0), "values that are not 0, 1, ..."),
        (encode_datum(image(0, (2, 3, 3)), 0), "the image has 2 channels; image files store"),
        (b"no", "2 bytes that are not a Datum"),
    ],
)
def test_export_is_complete_or_nothing(folder, run, value, words):
    write("db", [encode_datum(image(0), 0), value])
    result = run("db", "export", "db", "out")
    assert result.code == 1
    assert words in result.errors[-1]
    assert [path.name for path in folder.iterdir()] == ["db"]


def test_export_of_equal_names_loses_no_image(folder, run):
    with create_database("db", "LMDB") as database:
        for number, key in enumerate([b"a/b", b"a\\b", b"a_b.png"]):
            database.put(key, encode_datum(image(number), 0))
    assert run("db", "export", "db", "out").code == 0
    assert len(list(Path("out/0").iterdir())) == 3


# --- merge, split, shuffle ---


def content(path):
    """Return the values of a database in an order that does not depend on keys."""
    return sorted(value for _, value in read(path))


def test_merge_appends_and_can_change_the_kind(folder, run):
    write("one", labelled(3))
    write("two", labelled(5), "LEVELDB")
    result = run("db", "merge", "one", "two", "one", "all", "--backend=leveldb")
    assert result.out == "all: 11 records of 3 databases\n"
    assert [value for _, value in read("all")] == labelled(3) + labelled(5) + labelled(3)
    assert read("all")[4][0] == b"00000004_dir/img1.png"
    assert Path("all/CURRENT").exists()


def test_merge_of_different_sizes_is_warned_about(folder, run):
    write("one", labelled(4))
    write("two", [encode_datum(image(9, (3, 5, 7)), 1)])
    result = run("db", "merge", "one", "two", "all")
    assert result.code == 0
    (warning,) = result.errors
    assert warning.startswith("all: the images have 2 different shapes")


def test_merge_of_different_records_is_refused(folder, run):
    write("one", labelled(3))
    write("two", [with_boxes(0)])
    result = run("db", "merge", "one", "two", "all")
    assert result.code == 1
    assert result.errors == [
        "two, key '00000000_dir/img0.png': the record is of type AnnotatedDatum, but one has "
        "records of type Datum; no layer reads both. Merge databases of one type."
    ]
    assert not Path("all").exists()


@pytest.mark.parametrize("backend", KINDS)
def test_shuffle_keeps_every_record_and_repeats(folder, run, backend):
    write("db", labelled(50), backend)
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert run("db", "shuffle", "db", name, f"--seed={seed}").code == 0
    assert read("a") == read("b") != read("c")
    assert content("a") == content("db")
    assert [value for _, value in read("a")] != [value for _, value in read("db")]


def test_split_is_stratified_and_repeats(folder, run):
    labels = [0] * 50 + [1] * 30 + [2] * 10 + [3] * 10
    write("db", [encode_datum(image(k), label) for k, label in enumerate(labels)])
    result = run("db", "split", "db", "train", "val")
    assert result.out == "train: 80 records of 4 classes\nval: 20 records of 4 classes\n"
    counts = np.bincount([decode_datum(value, None, "")[1] for _, value in read("val")])
    assert counts.tolist() == [10, 6, 2, 2]
    assert sorted(content("train") + content("val")) == content("db")
    assert set(read("val")) < set(read("db"))  # keys as before
    run("db", "split", "db", "train_2", "val_2")
    run("db", "split", "db", "train_3", "val_3", "--seed=1")
    assert read("val") == read("val_2") != read("val_3")


def test_split_into_three_warns_of_missing_classes(folder, run):
    labels = [0] * 20 + [1, 1]
    write("db", [encode_datum(image(k), label) for k, label in enumerate(labels)])
    result = run("db", "split", "db", "a", "b", "c", "--parts=70/20/10")
    assert [line.split()[1] for line in result.out.splitlines()] == ["15", "5", "2"]
    assert result.errors
    assert "no record has label 1, because too few records have it" in result.errors[-1]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["info", "nothing"], 1, "nothing: no such database"),
        (["info", "taken"], 1, "taken: this folder holds neither an LMDB (data.mdb) nor a LevelDB"),
        (["info", "db", "db"], 2, "db info takes DB; these are 2 arguments"),
        (["merge", "db"], 2, "db merge takes DB ... NEW_DB; these are 1 arguments"),
        (["split", "db", "a", "b", "--parts=3"], 2, "--parts=3: give the size of each of the 2"),
        (["split", "db", "a", "b", "--parts=0/1"], 2, "--parts=0/1: give the size"),
        (["show", "db"], 2, "name it with -o FILE.png"),
        (["show", "db", "-o", "x.abc"], 1, "image type 'abc': not one that can be written"),
        (["shuffle", "db", "db"], 1, "db: exists already; databases are never overwritten"),
        (["export", "db", "taken"], 1, "taken: exists already; folders of images are never"),
        (["merge", "db", "no/folder"], 1, "no/folder: cannot be created: No such file"),
        (["sort", "db"], 2, "sort: neither an action nor a folder. Did you mean export?"),
    ],
)
def test_wrong_requests(folder, run, words, code, message):
    write("db", labelled(4))
    Path("taken").mkdir()
    result = run("db", *words)
    assert result.code == code
    assert message in result.err
    assert sorted(path.name for path in folder.iterdir()) == ["db", "taken"]


def test_a_flag_without_effect_is_warned_about(folder, run):
    write("db", labelled(4))
    result = run("db", "verify", "db", "--seed=3", "--labels=x")
    assert result.errors == [
        "--labels has no effect on db verify. Remove it.",
        "--seed has no effect on db verify. Remove it.",
    ]


def test_key_of_any_length_can_be_numbered(folder, run):
    with create_database("db", "LMDB") as database:
        for letter in (b"a", b"b"):
            database.put(letter * 511, encode_datum(image(letter[0]), 0))
    assert run("db", "merge", "db", "db", "all").code == 0
    assert [len(key) for key, _ in read("all")] == [511] * 4


# --- progress ---


def test_progress_is_shown_on_terminals_only(monkeypatch, capfd):
    assert list(with_progress(range(3), "records", 3)) == [0, 1, 2]
    assert capfd.readouterr().err == ""
    monkeypatch.setattr("minicaffe.cli.screen.has_terminal", lambda: True)
    monkeypatch.setattr("minicaffe.cli.item_progress.REFRESH_S", 0)
    monkeypatch.setattr("minicaffe.cli.live_line.REFRESH_S", 0)
    monkeypatch.setenv("TERM", "xterm")
    assert list(with_progress(range(3), "records", 3)) == [0, 1, 2]
    assert "2/3 records" in capfd.readouterr().err


def test_text_of_the_progress():
    assert progress_text(25, "records", 100, 5.0) == (
        "█████░░░░░░░░░░░░░░░ 25/100 records  5.0 records/s  ETA 0:15"
    )
    assert progress_text(25, "images", None, 5.0) == "25 images  5.0 images/s"


def test_formats_are_told_apart_by_their_first_bytes():
    for name, (label, extension) in {
        "png": ("PNG", "png"),
        "jpeg": ("JPEG", "jpg"),
        "webp": ("WebP", "webp"),
        "bmp": ("BMP", "bmp"),
        "gif": ("GIF", "gif"),
        "tiff": ("TIFF", "tif"),
    }.items():
        file = io.BytesIO()
        Image.fromarray(image(0, (4, 4))).save(file, name)
        record = stored_record.parse_record(b"k", encoded_datum(file.getvalue(), 0), "")
        assert record.file_format == (label, extension)
