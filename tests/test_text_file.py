"""Text as Windows, spreadsheets and old editors write it, in every reader."""

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from minicaffe.analysis.training_log import read_log
from minicaffe.cli.commands.detect import _windows
from minicaffe.cli.gflags import _flag_file
from minicaffe.data.preparation import read_classes
from minicaffe.data.records.hdf5 import read_datasets, read_file_list
from minicaffe.data.records.image_list import read_image_list
from minicaffe.data.records.window_file import read_window_file
from minicaffe.errors import DataError, SchemaError, UsageError
from minicaffe.schema import NetParameter, read_prototxt, read_solver
from minicaffe.text_file import ForeignBytes, decode_text, read_text
from minicaffe.text_width import display_width, padded

LOG = (
    "I1122 06:49:14.635393  4541 solver.cpp:239] Iteration 100 (9 iter/s), loss = 0.7\n"
    "I1122 06:49:14.635483  4541 solver.cpp:258]     Train net output #0: loss = 0.7\n"
)
WINDOWS = "# 0\n한.png\n3\n9\n9\n1\n1 0.9 2 3 5 6\n"
# Name: a text, how a reader returns it, and what it returns.
READERS = {
    "prototxt": ('name: "한"\n', lambda p: read_prototxt(p, NetParameter).message.name, "한"),
    "solver": (
        'net: "한"\nmax_iter: 7\n',
        lambda p: (read_solver(p).param.net, read_solver(p).param.max_iter),
        ("한", 7),
    ),
    "image list": (
        "한 글.png 3\nb.png 4\n",
        lambda p: [(i.name, i.label, i.line) for i in read_image_list(p)],
        [("한 글.png", 3, 1), ("b.png", 4, 2)],
    ),
    "window file": (WINDOWS, lambda p: read_window_file(p).images[0].path, "한.png"),
    "HDF5 list": ("한.h5\nb.h5\n", read_file_list, [(1, "한.h5"), (2, "b.h5")]),
    "class names": ("고양이\ndog\n", lambda p: read_classes(p, 2), ["고양이", "dog"]),
    "log": (LOG, lambda p: read_log(p).train[0].values, {"loss": 0.7}),
    "table": (
        "filename,ymin,xmin,ymax,xmax\n한.png,1,2,3,4.5\n",
        _windows,
        [("한.png", [1, 2, 3, 4.5])],
    ),
    "flag file": (
        "--model=한.prototxt\n-gpu 0\n",
        _flag_file,
        ["--model=한.prototxt", "-gpu", "0"],
    ),
}
ENCODINGS = {
    "UTF-8": lambda text: text.encode(),
    "UTF-8 with mark": lambda text: text.encode("utf-8-sig"),
    "UTF-16 LE": lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
    "UTF-16 BE": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32"),
    "CR LF": lambda text: text.replace("\n", "\r\n").encode(),
    "CR": lambda text: text.replace("\n", "\r").encode(),
    "Ctrl-Z": lambda text: text.replace("\n", "\r\n").encode() + b"\x1a",
    "PowerShell": lambda text: b"\xff\xfe" + text.replace("\n", "\r\n").encode("utf-16-le"),
    "joined files": lambda text: b"\xef\xbb\xbf" + b"\xef\xbb\xbf" + text.encode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_reads_what_windows_writes(reader, encoding, tmp_path):
    text, read, expected = READERS[reader]
    path = tmp_path / "file"
    path.write_bytes(ENCODINGS[encoding](text))
    assert read(str(path)) == expected


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark_is_noticed(encoding):
    assert decode_text('name: "n"\r\n'.encode(encoding), "f") == 'name: "n"\n'


@pytest.mark.parametrize("reader", READERS)
def test_nul_bytes(reader, tmp_path):
    text, read, expected = READERS[reader]
    path = tmp_path / "file"
    path.write_bytes(text.encode()[:-1] + b"\n\0\n")
    if reader == "log":
        assert read(str(path)) == expected
    elif reader == "flag file":
        assert read(str(path))
    else:
        with pytest.raises((DataError, SchemaError), match=r"NUL byte|binary file|U\+0000"):
            read(str(path))


def test_a_damaged_utf16_file(tmp_path):
    path = tmp_path / "list"
    path.write_bytes(b"\xff\xfea\0 \0003\0\n")
    with pytest.raises(
        DataError, match="list: UTF-16-LE text that is damaged or cut off at byte 8"
    ):
        read_image_list(str(path))


def test_names_in_a_code_page_show_how_they_read(tmp_path):
    path = tmp_path / "names"
    path.write_bytes("dog\r\n고양이\r\n".encode("cp949"))
    with pytest.raises(DataError) as raised:
        read_classes(str(path), 2)
    assert str(raised.value).startswith(
        f'{path}: not UTF-8 text; save it in that encoding. Line 2 may be cp949 ("고양이"), '
    )
    assert str(raised.value).endswith("iconv -f cp949 -t utf-8 OLD > NEW")


def test_a_value_in_a_code_page_shows_how_it_reads(tmp_path):
    path = tmp_path / "net"
    path.write_bytes('# 주석\nname: "고양이"'.encode("cp949"))
    with pytest.raises(SchemaError, match=r'net:2:7: .* is not UTF-8.*"고양이"'):
        read_prototxt(path, NetParameter)
    path.write_bytes('# 주석\nname: "cat"'.encode("cp949"))
    assert read_prototxt(path, NetParameter).message.name == "cat"


def test_a_list_may_name_files_in_any_encoding(tmp_path):
    path = tmp_path / "list"
    path.write_bytes(b"\xb0\xa1.png 3\n")
    assert read_image_list(str(path))[0].name.encode("utf-8", "surrogateescape") == b"\xb0\xa1.png"
    path.write_bytes(b"\xff\x81\x81\x00")
    with pytest.raises(DataError, match="known code page"):
        read_text(path, "the text")


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("a.png\t3", "It has a tab before the label, as spreadsheets write it: write a space"),
        ("a.png,3", "It has a comma before the label"),
        ("a.png;3", "It has a semicolon before the label"),
        ("a.png\u00a03", "It has a no-break space before the label"),
        ('"a b.png" "3"', "The quotes, as spreadsheets write them, do not belong into a list"),
        ("a.png \uff13", "\uff13 is made of full-width digits: write 3"),
        ("a.png 3.5", "For several or other labels use HDF5Data"),
        ("a.png ++1", "For several or other labels use HDF5Data"),
        ("a.png " + "1" * 5000, "a label must fit into 32 bits"),
    ],
)
def test_lists_of_spreadsheets(line, hint, tmp_path):
    path = tmp_path / "list"
    path.write_text(f"b.png 1\n{line}\n")
    with pytest.raises(DataError) as raised:
        read_image_list(str(path))
    assert str(raised.value).startswith(f"{path}:2: ")
    assert hint in str(raised.value)


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        ("1;0.9;2;3;5;6", "It has a semicolon between the numbers: write spaces"),
        ("1\t0,9\t2\t3\t5\t6", "It has a tab between the numbers"),
        ("1 0,9 2 3 5 6", "Decimal fractions have a point"),
        ("1,0.9,2,3,5,6", "It has a comma between the numbers"),
    ],
)
def test_window_files_of_spreadsheets(row, hint, tmp_path):
    path = tmp_path / "windows"
    path.write_text(f"# 0\na.png\n3\n9\n9\n1\n{row}\n")
    with pytest.raises(DataError, match=hint):
        read_window_file(str(path))
    path.write_text(f"# 0\na.png\n3\n9\n{'9' * 5000}\n1\n")
    with pytest.raises(DataError, match="expected columns, a whole number"):
        read_window_file(str(path))


@pytest.mark.parametrize(
    "text",
    [
        "filename;ymin;xmin;ymax;xmax\na.png;1,5;2;3;4\n",
        "sep=;\nfilename;ymin;xmin;ymax;xmax\na.png;1,5;2;3;4\n",
        "filename\tymin\txmin\tymax\txmax\na.png\t1,5\t2\t3\t4\n",
        '"filename","ymin","xmin","ymax","xmax"\n"a.png","1.5","2","3","4"\n',
    ],
)
def test_tables_of_spreadsheets(text, tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(text)
    assert _windows(str(path)) == [("a.png", [1.5, 2, 3, 4])]


def test_a_row_that_is_wrong_has_the_line_of_the_file(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("sep=;\nfilename;ymin;xmin;ymax;xmax\na.png;x;2;3;4\nb.png;1\n")
    with pytest.raises(DataError, match=r"table.csv:3: .* found x, 2, 3, 4\n.*table.csv:4: "):
        _windows(str(path))
    path.write_text("filename,ymin,xmin,ymax,xmax\n" + "a" * (csv.field_size_limit() + 1))
    with pytest.raises(DataError, match=r"table.csv:\d: not a table: field larger than"):
        _windows(str(path))


def test_a_damaged_line_of_a_log_is_skipped(tmp_path):
    path = tmp_path / "log"
    damaged = LOG.replace("06:49:14", "06:49:99").replace("100", "9" * 5000)
    path.write_bytes((damaged + LOG).encode() + b"I1122 06:49:15.635483\xff\xfe\0\n")
    assert [row.iteration for row in read_log(path).train] == [100]


def test_a_flag_file_with_an_open_quote(tmp_path):
    path = tmp_path / "flags"
    path.write_text("--model='a b\n")
    with pytest.raises(UsageError, match="flags: a quotation mark of a flag is not closed"):
        _flag_file(str(path))


def test_datasets_in_groups_are_named(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["train/data"] = np.zeros((2, 3))
        file["label"] = np.zeros(2)
    with pytest.raises(DataError, match=r'no dataset "data".*Known: label, train/data\. .* path'):
        read_datasets(str(path), ["data"], "list:1")
    assert read_datasets(str(path), ["train/data"], "list:1")[0].shape == (2, 3)


def test_an_image_of_a_list_in_a_code_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (4, 4)).save("가.png")
    Path("list").write_bytes("가.png 0\n".encode("cp949"))
    from minicaffe.data.image import read_image

    with pytest.raises(DataError, match=r'The name is not UTF-8.* It may be cp949 \("가.png"\)'):
        read_image(read_image_list("list")[0].name)


def test_log_text_is_read_as_far_as_possible():
    assert decode_text(b"a\0b\xff\n", "f", ForeignBytes.REPLACE) == "ab\ufffd\n"
    assert decode_text(b"\xff\xfea\0b", "f", ForeignBytes.REPLACE) == "a\ufffd"


def test_wide_characters_take_two_columns():
    assert [display_width(text) for text in ("abc", "한글", "日本", "ｶﾅ", "é", "e\u0301")] == [
        *(3, 4, 4, 2, 1, 1)
    ]
    assert display_width("\u1112\u1161\u11ab") == 2  # one syllable of decomposed Hangul
    assert padded("한", 4) + "|" == "한  |"
    assert padded("한", 4, on_the_left=True) == "  한"
