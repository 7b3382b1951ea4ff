"""The files of sdist and wheel, and the search for Pythons; scripts/check_package runs the rest."""

import os
import zipfile

import pytest

from distribution.archives import ROOT, build, problems
from distribution.interpreters import find_interpreter
from minicaffe import shipped_files
from minicaffe.shipped_files import shipped_folder

wheels = pytest.importorskip("hatchling.builders.wheel")


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    return build(tmp_path_factory.mktemp("dist"))


def test_archives_have_the_files_of_the_repository(archives):
    assert problems(archives) == []


def test_a_wheel_finds_its_nets_and_schema(archives, tmp_path, monkeypatch):
    with zipfile.ZipFile(archives.wheel) as wheel:
        wheel.extractall(tmp_path)
    monkeypatch.setattr(shipped_files, "_PACKAGE", tmp_path / "minicaffe")
    assert shipped_folder("models") == tmp_path / "minicaffe" / "models"
    assert shipped_folder("proto") == tmp_path / "minicaffe" / "proto"


def test_missing_and_foreign_files_are_named(archives, tmp_path):
    changed = tmp_path / archives.wheel.name
    with zipfile.ZipFile(archives.wheel) as wheel, zipfile.ZipFile(changed, "w") as copy:
        for name in wheel.namelist():
            if name != "minicaffe/py.typed":
                copy.writestr(name, b"")
        copy.writestr("tests/conftest.py", b"")
    assert problems(archives._replace(wheel=changed)) == [
        f"{changed.name}: lacks minicaffe/py.typed",
        f"{changed.name}: should not contain tests/conftest.py",
    ]


def test_an_editable_installation_is_the_checkout(tmp_path):
    builder = wheels.WheelBuilder(str(ROOT))
    (path,) = builder.build(directory=str(tmp_path), versions=["editable"])
    with zipfile.ZipFile(path) as archive:
        (link,) = [name for name in archive.namelist() if name.endswith(".pth")]
        assert archive.read(link).decode().split() == [str(ROOT)]
    assert shipped_folder("models") == ROOT / "models"


@pytest.mark.skipif(os.name == "nt", reason="scripts of the shell")
def test_programs_of_pyenv_that_only_print_an_error_are_passed_over(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    assert find_interpreter("3.12") is None

    def write(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    write(tmp_path / "python3.12", "exit 127")
    assert find_interpreter("3.12") is None
    good = write(tmp_path / "pyenv" / "versions" / "3.12.1" / "bin" / "python3.12", "echo 3.12")
    assert find_interpreter("3.12") == good
    assert write(tmp_path / "python3.13", "echo 3.13") == find_interpreter("3.13")
