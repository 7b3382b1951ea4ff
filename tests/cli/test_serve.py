"""minicaffe serve: what it refuses before it listens."""

import sys

import pytest

from image_nets import write_image_nets
from minicaffe.cli.main import run_command


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_image_nets(tmp_path)
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "wrong.json").write_text('{"a": {"weight": "x"}}')


def test_the_packages_are_named(monkeypatch, log):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert run_command("serve", ["classes.caffemodel"]) == 1
    assert "pip install 'minicaffe[web]'" in log.messages[-1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["classes.caffemodel", "pixels.caffemodel", "--mean=3"], "belongs to a single MODEL"),
        (["list.json", "--labels=x"], "--labels belongs to a single MODEL"),
        (["classes.prototxt"], "a net has no weights; give these as MODEL"),
        (["a b=classes.caffemodel"], "'a b': the name of a model has letters"),
        (["classes.caffemodel", "--timeout_s=0"], "--timeout_s=0: must be at least 0.001"),
        (["classes.caffemodel", "--drain_s=-1"], "--drain_s=-1: must be at least 0"),
        (["classes.caffemodel", "--notice_s=nan"], "--notice_s=nan: must be at least 0"),
        (["classes.caffemodel", "--root=nothing"], "--root=nothing: no such folder"),
        (["classes.caffemodel", "--host=0.0.0.0", "--token="], "--token must not be empty"),
    ],
)
def test_wrong_usage(words, message, capsys):
    pytest.importorskip("starlette")
    assert run_command("serve", [*words, "--port=0"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing.caffemodel", "--net=classes.prototxt"], "nothing.caffemodel: No such file"),
        (["classes.caffemodel"], "several training nets fit it"),
        (["list.json"], "list.json: the file must be a JSON object"),
        (
            ["wrong.json"],
            'wrong.json, model "a": no setting "weight" of a model. Did you mean weights?',
        ),
        (["missing.json"], "missing.json: the models cannot be read: No such file"),
        (
            ["classes.caffemodel", "--net=classes_deploy.prototxt", "--mean=1,2"],
            "its input has 3 channels, the mean 2",
        ),
        (
            ["classes.caffemodel", "--net=classes.prototxt", "--size=big"],
            "size big: must be 2 numbers separated by commas",
        ),
        (
            ["classes.caffemodel", "--net=classes.prototxt", "--mean=1,2,3"],
            "mean has no effect: classes.prototxt is a training net",
        ),
        (
            ["classes.caffemodel", "--net=classes_deploy.prototxt", "--size=4,4"],
            "size has no effect: classes_deploy.prototxt is a net to deploy",
        ),
        (
            ["classes.caffemodel", "--net=classes.prototxt", "--channel_swap=0,0,1"],
            "channel_swap 0,0,1: must have each of 0, 1, 2",
        ),
    ],
)
def test_models_that_cannot_be_served(words, message, log):
    pytest.importorskip("starlette")
    assert run_command("serve", [*words, "--port=0"]) == 1
    assert message in log.messages[-1]
