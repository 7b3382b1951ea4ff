"""Standard streams that are closed or lack characters, python -m, and unexpected errors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from minicaffe.cli.commands import device_query

ROOT = Path(__file__).parents[2]
NET = """name: "한국"
layer { name: "데이터" type: "Input" top: "데이터"
  input_param { shape { dim: 2 dim: 3 dim: 5 dim: 7 } } }
layer { name: "合成" type: "InnerProduct" bottom: "데이터" top: "ip"
  inner_product_param { num_output: 3 } }
"""


@pytest.fixture
def net(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(NET, encoding="utf-8")
    return path


def minicaffe(*words, shell="", **environment):
    """Run ``python -m minicaffe`` in a shell and return the finished process."""
    command = f'"$0" -m minicaffe "$@" {shell}'
    return subprocess.run(
        ["/bin/sh", "-c", command, sys.executable, *words],
        env={"PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        check=False,
    )


def test_python_m_minicaffe_is_the_command():
    assert minicaffe("--version").stdout.startswith(b"minicaffe ")
    result = minicaffe("tarin")
    assert result.returncode == 2
    assert b"Did you mean train?" in result.stderr


def test_tables_are_aligned_with_wide_characters(net):
    lines = minicaffe("summarize", str(net), PYTHONIOENCODING="utf-8").stdout.decode().splitlines()
    assert lines[1].startswith("데이터  Input")
    assert lines[2].startswith("合成    InnerProduct")
    assert lines[0].startswith("layer   type")


@pytest.mark.parametrize(
    ("environment", "escaped"),
    [
        ({"PYTHONIOENCODING": "ascii"}, True),
        ({"PYTHONIOENCODING": "cp1252"}, True),
        ({"LC_ALL": "C"}, False),  # Python then uses UTF-8
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, True),
    ],
)
def test_characters_that_a_stream_lacks_are_escaped(net, environment, escaped):
    result = minicaffe("summarize", str(net), **environment)
    assert result.returncode == 0, result.stderr
    assert (b"\\ud55c\\uad6d: 2 layers" in result.stdout) is escaped
    assert ("한국: 2 layers".encode() in result.stdout) is not escaped


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
def test_closed_streams(net, closed, tmp_path):
    result = minicaffe("summarize", str(net), shell=closed)
    assert result.returncode == 0, result.stderr
    assert b"Traceback" not in result.stderr
    draw = minicaffe("draw", str(net), f"{tmp_path}/net.svg", shell=closed)
    assert draw.returncode == 0
    assert (tmp_path / "net.svg").read_text(encoding="utf-8").startswith("<svg")


def test_the_log_file_is_utf8(net, tmp_path):
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = ("time", f"--model={net}", "--iterations=1", f"--log_dir={tmp_path}")
    result = minicaffe(*words, **environment)
    assert result.returncode == 0, result.stderr
    assert "데이터" in (tmp_path / "minicaffe-time.INFO").read_text(encoding="utf-8")
    assert b"Logging error" not in result.stderr


def test_an_unexpected_exception_is_one_line(run, monkeypatch):
    def fail():
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(device_query, "cpu_model", fail, raising=False)
    monkeypatch.setattr(device_query, "run", _annotated(fail))
    result = run("device_query")
    assert result.code == 1
    assert "Traceback" not in result.err
    assert len(result.errors) == 1
    assert result.errors[0].startswith("unexpected ZeroDivisionError")
    assert r"division\nby zero. If the input is correct, this is a fault of" in result.errors[0]
    with pytest.raises(ZeroDivisionError):
        run("device_query", "--debug")


def _annotated(function):
    def run(flags: device_query.DeviceQueryFlags) -> int:
        return function()

    return run


def test_a_name_that_is_not_utf8_is_printed(tmp_path):
    result = minicaffe("summarize", os.fsdecode(b"\xb0\xa1.prototxt"), PYTHONIOENCODING="utf-8")
    assert result.returncode == 1
    assert rb"\udcb0\udca1.prototxt: no such file" in result.stderr
