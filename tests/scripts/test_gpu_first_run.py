"""scripts/gpu_first_run: its steps, tried with a stub of Python that records what it is asked."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import gpu
from benchmarks.gpu_parts import PARTS

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "gpu_first_run"
# Records arguments and variables, prints what the file "missing" says, and fails for the words of
# the variable FAIL: "plain" is an install without --target. oneDNN is missing until it is unpacked.
STUB = f"""#!{sys.executable}
import json, os, sys
from pathlib import Path
words, here, failing = sys.argv[1:], Path(__file__).parent, os.environ["FAIL"].split()
with (here / "record").open("a") as file:
    names = "MINICAFFE_CACHE", "PYTHONPATH", "MINICAFFE_ONEDNN"
    file.write(json.dumps([words, {{name: os.environ.get(name, "") for name in names}}]) + "\\n")
missing = here / "missing"
if words[0] == "-c":
    sys.exit(missing.read_text() or 0 if "cudnn" in words[1] else 0)
elif "install" in words and "--target" in words:
    Path(words[words.index("--target") + 1]).mkdir()
    missing.write_text("no oneDNN")
elif "install" in words:
    if "plain" in failing:
        sys.exit(1)
    missing.write_text("")
elif "zipfile" in words:
    folder = Path(words[-1], "onednn-1.data", "data", "lib")
    folder.mkdir(parents=True)
    for name in ("libdnnl.so.3.2", "libdnnl.so.3"):
        (folder / name).touch()
    missing.write_text("")
else:
    print("FAILED tests/test_a.py::test_b" if "pytest" in words else "the last line")
sys.exit(any(word in words for word in failing))
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the scripts are for bash")


@pytest.fixture
def run(tmp_path):
    """A function that runs the script; returns its result and what Python was asked, by step."""
    stub = tmp_path / "python"
    stub.write_text(STUB)
    stub.chmod(0o755)

    def run(*arguments, missing="", fail=""):
        (tmp_path / "missing").write_text(missing)
        (tmp_path / "record").write_text("")
        result = subprocess.run(
            ["bash", str(SCRIPT), *arguments],
            env={"PATH": os.environ["PATH"], "PYTHON": str(stub), "FAIL": fail},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = (tmp_path / "record").read_text().splitlines()
        return result, [tuple(json.loads(line)) for line in lines]

    return run


def modules(asked):
    """Return what followed "python -m"."""
    return [arguments[1:] for arguments, _ in asked if arguments[0] == "-m"]


def test_its_syntax():
    assert subprocess.run(["bash", "-n", str(SCRIPT)], check=False).returncode == 0


@pytest.mark.parametrize("arguments", [(), ("correct",), ("fast", "out"), ("speed", "out", "none")])
def test_wrong_arguments(run, arguments):
    result, asked = run(*arguments)
    assert result.returncode == 2
    assert ("none" if "none" in arguments else "gpu_first_run correct RESULTS") in result.stderr
    assert not asked


def test_correct_runs_parts_that_exist(run, tmp_path):
    result, asked = run("correct", "out")
    assert (result.returncode, result.stderr) == (0, "")
    ran = modules(asked)
    assert all(importlib.util.find_spec(module) for module, *_ in ran)
    parts = [arguments[0] for module, *arguments in ran if module == "benchmarks.gpu_parts"]
    assert parts[0] == "device"
    assert set(parts) == {"device", "basics", "graphs", "resume", "lenet"} <= set(PARTS)
    (tests,) = (arguments for module, *arguments in ran if module == "pytest")
    folders = [word for word in tests if word.startswith("tests/")]
    assert folders
    assert all((ROOT / folder).is_dir() for folder in folders)
    for name in (*parts, "tests"):
        assert f"{name}: status 0 after " in result.stdout
        assert (tmp_path / "out" / f"{name}.txt").read_text()
    assert "FAILED tests/test_a.py::test_b" in result.stdout


def test_without_a_usable_gpu_nothing_else_runs(run):
    result, asked = run("correct", "out", fail="device")
    assert result.returncode == 3
    assert "device: status 1 after" in result.stdout
    assert [words[0] for words in modules(asked)] == ["pip", "benchmarks.gpu_parts"]


def test_a_failed_part_is_the_status(run):
    result, asked = run("correct", "out", fail="graphs")
    assert result.returncode == 1
    assert "graphs: status 1 after" in result.stdout
    assert len([words for words in modules(asked) if words[0] == "benchmarks.gpu_parts"]) == 5


def test_speed_measures_alone_with_plans_of_its_own(run, tmp_path):
    result, asked = run("speed", "out")
    assert (result.returncode, result.stderr) == (0, "")
    bandwidth, speed = modules(asked)
    assert bandwidth == ["benchmarks.gpu_bandwidth"]
    flags = gpu.command_line().parse_args(speed[1:])
    assert flags.nets == ["lenet", "resnet50", "alexnet"]
    assert flags.peer_python == str(tmp_path / "python")
    caches = {kept["MINICAFFE_CACHE"] for _, kept in asked}
    assert caches == {str(tmp_path / "out" / "plans_speed")}


def wheels_in(tmp_path):
    folder = tmp_path / "wheels"
    folder.mkdir()
    for name in ("lmdb-1.whl", "onednn_cpu_gomp-1.whl"):
        (folder / name).touch()
    return folder


def test_wheels_are_installed_where_something_is_missing(run, tmp_path):
    wheels = wheels_in(tmp_path)
    result, asked = run("speed", "out", "wheels", missing="without lmdb")
    assert result.returncode == 0
    pip = modules(asked)[0]
    assert pip[:2] == ["pip", "install"]
    assert pip[-2:] == sorted(map(str, wheels.iterdir()))
    assert "not everything" not in result.stdout
    assert "pip" not in [words[0] for words in modules(run("speed", "out", "wheels")[1])]


def test_where_python_cannot_be_written_packages_are_put_beside_the_results(run, tmp_path):
    wheels_in(tmp_path)
    result, asked = run("speed", "out", "wheels", missing="without lmdb", fail="plain")
    assert result.returncode == 0
    first, second, unpacked = modules(asked)[:3]
    site = str(tmp_path / "out" / "site")
    assert "--target" not in first
    assert second[second.index("--target") + 1] == site
    assert unpacked[0] == "zipfile"
    kept = asked[-1][1]
    assert kept["PYTHONPATH"] == site
    assert kept["MINICAFFE_ONEDNN"].endswith("onednn-1.data/data/lib/libdnnl.so.3")


def test_what_is_still_missing_is_printed(run):
    result, _ = run("speed", "out", missing="without cudnn")
    assert "not everything is installed: without cudnn" in result.stdout
