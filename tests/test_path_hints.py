"""Hints in messages about files that do not exist."""

import re
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest

from minicaffe.data.db import open_database
from minicaffe.data.image import read_image
from minicaffe.errors import DataError, SchemaError
from minicaffe.path_hints import missing_file_hint, one_line
from minicaffe.schema import NetParameter, read_prototxt

HINTS = [
    ("~/data/lmdb", "~ and variables such as $HOME are not expanded here; write the whole path"),
    ("$HOME/lmdb", "~ and variables"),
    ("%USERPROFILE%/lmdb", "~ and variables"),
    ("C:\\data\\lmdb", r"A \ does not separate folders"),
    ("D:\train\new", "It contains a control character"),
    ('"lmdb"', "The quotes are part of the name"),
    ("lmdb ", "begins or ends with a space"),
    ("train\u00a0lmdb", "a no-break, full-width or invisible space"),
    ("train\u3000lmdb", "a no-break, full-width or invisible space"),
    ("train\u200blmdb", "a no-break, full-width or invisible space"),
    ("a.png;", "The ; at the end is part of the name; write a space"),
    ("\udcb0\udca1", "The name is not UTF-8"),
]


@pytest.mark.parametrize(("path", "hint"), HINTS)
def test_each_kind_of_reader_says_what_is_wrong_with_a_path(path, hint):
    readers = (
        (DataError, lambda: open_database(path, "LMDB")),
        (DataError, lambda: read_image(path)),
        (SchemaError, lambda: read_prototxt(path, NetParameter)),
    )
    for error, read in readers:
        with pytest.raises(error, match=re.escape(hint)) as raised:
            read()
        assert "\n" not in str(raised.value)
        assert "\t" not in str(raised.value)


def test_files_that_are_there_instead(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert missing_file_hint("such.file") == missing_file_hint("") == ""
    assert missing_file_hint("no/such.file") == " There is no folder no."
    Path("nets").mkdir()
    for name in ("nets/solver.prototxt", "nets/net.prototxt", "nets/.solvr.prototxt"):
        Path(name).touch()
    assert missing_file_hint("nets/solvr.prototxt") == " Did you mean nets/solver.prototxt?"
    assert missing_file_hint("nets/solver.prototext").startswith(" Did you mean nets/solver.proto")
    assert missing_file_hint("net/x.py") == " There is no folder net. Did you mean nets?"
    assert missing_file_hint("nets/abc.prototxt") == (
        " Files of this type: nets/net.prototxt, nets/solver.prototxt."
    )
    assert missing_file_hint(tmp_path / "nets/nett.prototxt") == (
        f" Did you mean {tmp_path}/nets/net.prototxt?"
    )
    assert missing_file_hint("nets/net.prototxt/x") == ""


def test_a_path_without_a_peculiarity_has_no_hint(tmp_path):
    odd = tmp_path / "~ $HOME \\ '"
    odd.touch()
    assert missing_file_hint(odd) == ""


@pytest.mark.parametrize(("there", "asked"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_a_name_in_another_normalisation(there, asked, tmp_path):
    (tmp_path / unicodedata.normalize(there, "한글.png")).touch()
    asked_path = tmp_path / unicodedata.normalize(asked, "한글.png")
    if asked_path.exists():
        pytest.skip("this file system does not distinguish the forms")
    assert f"Unicode normalisation ({there})" in missing_file_hint(asked_path)


def test_paths_are_shown_on_one_line():
    assert one_line("D:\train\new\u2028한") == r"D:\train\new\u2028한"


@pytest.mark.skipif(sys.platform != "linux", reason="locales of other systems are not ASCII")
def test_a_locale_that_cannot_express_a_path(tmp_path):
    net = tmp_path / "net.prototxt"
    net.write_text(
        'layer { name: "d" type: "Data" top: "d" data_param { source: "데이터" backend: LMDB '
        "batch_size: 1 } }",
        encoding="utf-8",
    )
    environment = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    result = subprocess.run(
        [sys.executable, "-m", "minicaffe", "time", f"--model={net}", "--iterations=1"],
        env={"PATH": "", "PYTHONPATH": str(Path(__file__).parents[1]), **environment},
        capture_output=True,
        check=False,
    )
    assert result.returncode == 1
    assert b"Traceback" not in result.stderr
    assert b"no such database. File names are in ascii here, because of the locale" in result.stderr


def test_another_extension_that_begins_alike_is_not_proposed(tmp_path):
    for name in ("a_iter_300.solverstate", "a_iter_300.solverstate.json"):
        (tmp_path / name).touch()
    hint = missing_file_hint(tmp_path / "none.solverstate")
    assert hint == f" Files of this type: {tmp_path}/a_iter_300.solverstate."
    (tmp_path / "net.prototxt").touch()
    hint = missing_file_hint(tmp_path / "net.prototx")
    assert hint == f" Did you mean {tmp_path}/net.prototxt?"
