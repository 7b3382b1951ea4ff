"""The command import: real topologies with random weights, --check, errors."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from minicaffe.cli.main import run_command
from minicaffe.onnx_import import check
from onnx_import.onnx_models import light_model, model

FILES = ["m.onnx", "-o", "n.prototxt", "n.caffemodel"]
LIGHT = {"squeezenet": False, "shufflenet": False, "resnet50": True, "inception_v2": True}
LIGHT |= {"inception_v1": False, "densenet121": True, "vgg19": True}
LIGHT |= {"bvlc_alexnet": True, "zfnet512": True}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * is_slow) for name, is_slow in LIGHT.items()],
)
def test_topologies_agree_with_onnxruntime(capsys, name):
    onnx.save(light_model(name), "m.onnx")
    assert run_command("import", ["onnx", *FILES, "--check"]) == 0
    assert "relative difference" in capsys.readouterr().out


@pytest.fixture
def relu():
    onnx.save(model([helper.make_node("Relu", ["x"], ["y"])], ("batch", 3, 4, 5)), "m.onnx")


def test_output(relu, capsys):
    assert run_command("import", ["onnx", *FILES, "--check"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "n.prototxt: 2 layers",
        'input "x": the batch size is free; 1 is written',
        "y: relative difference 0.0e+00",
    ]
    assert (
        "input_param {\n    shape {\n      dim: 1\n      dim: 3" in Path("n.prototxt").read_text()
    )


def test_a_difference_is_a_failure(relu, capsys, monkeypatch):
    monkeypatch.setattr(check, "_difference", lambda found, expected: np.nan)
    assert run_command("import", ["onnx", *FILES, "--check"]) == 1
    assert "y: relative difference nan  FAILED" in capsys.readouterr().out


def test_what_onnxruntime_cannot_run(caplog_minicaffe):
    onnx.save(model([helper.make_node("Relu", ["x"], ["y"])], (1, 3), opset=99), "m.onnx")
    assert run_command("import", ["onnx", *FILES, "--check"]) == 1
    assert "m.onnx: onnxruntime cannot run it" in caplog_minicaffe.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.onnx", *FILES[1:]], "none.onnx: no such file"),
        (["text.onnx", *FILES[1:]], "text.onnx: cannot be read as ONNX"),
        (["empty.onnx", *FILES[1:]], "empty.onnx: has no nodes, so it is not an ONNX model"),
        (["m.onnx", "-o", "n.prototxt", "n.pth"], 'n.pth: the extension ".pth" is not'),
    ],
)
def test_wrong_files(relu, caplog_minicaffe, arguments, message):
    Path("text.onnx").write_text("layer { name: 'a' }")
    Path("empty.onnx").write_bytes(b"")
    assert run_command("import", ["onnx", *arguments]) == 1
    assert caplog_minicaffe.messages[-1].startswith(message)
    assert not Path("n.prototxt").exists()


def test_minicaffe_does_not_import_onnx():
    code = "import sys, minicaffe, caffe, minicaffe.cli.main; sys.exit('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_missing_package_names_the_extra(relu, caplog_minicaffe, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert run_command("import", ["onnx", *FILES]) == 1
    assert "pip install 'minicaffe[onnx]'" in caplog_minicaffe.text
