"""minicaffe models: the list of nets, and copies of them."""

from pathlib import Path

import pytest

from minicaffe import shipped_files
from minicaffe.errors import DataError
from minicaffe.schema import read_solver
from minicaffe.shipped_files import shipped_folder
from minicaffe.solver.nets import train_net_source

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_list_has_every_net(run):
    result = run("models")
    assert result.code == 0
    names = [line.split()[0] for line in result.out.splitlines()]
    folders = [path.parent.name for path in (ROOT / "models").glob("*/deploy.prototxt")]
    assert set(folders) <= set(names)
    assert "lenet               LeNet" in result.out.splitlines()


@pytest.mark.parametrize("target", [["my/lenet"], ["my_lenet/"], []])
def test_a_copy_refers_to_itself(run, target):
    result = run("models", "lenet", *target)
    assert result.code == 0
    folder = target[0].rstrip("/") if target else "models/lenet"
    assert f"{folder}/lenet_solver.prototxt" in result.out.splitlines()
    solver = read_solver(f"{folder}/lenet_solver.prototxt")
    assert solver.param.snapshot_prefix == f"{folder}/lenet"
    source, _ = train_net_source(solver)
    assert source.path == f"{folder}/lenet_train_test.prototxt"


def test_nothing_is_overwritten(run):
    Path("here").mkdir()
    result = run("models", "lenet", "here")
    assert result.code == 1
    assert result.errors[0].startswith("here: exists already; folders of nets are never overwrit")


def test_an_unknown_net(run):
    result = run("models", "lenett", "here")
    assert result.code == 2
    assert 'no net "lenett". Did you mean lenet or' in result.err


def test_an_installation_without_models(monkeypatch, tmp_path):
    monkeypatch.setattr(shipped_files, "_PACKAGE", tmp_path / "minicaffe")
    with pytest.raises(DataError, match=r"this installation lacks models/\. Install minicaffe"):
        shipped_folder("models")
