"""scripts/environment: which .venv is kept, made anew or refused, tried with stubs of Python."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A Python that prints its version, makes environments with itself inside, and records what it does.
STUB = """#!/bin/sh
case "$1 $2" in
    "-c "*) echo VERSION; [ VERSION != 3.10 ] ;;
    "-m venv")
        echo "venv VERSION" >>"$RECORD"
        mkdir -p "$3/bin"
        cp "$0" "$3/bin/python"
        echo "#!$PWD/$3/bin/python" >"$3/bin/pip" ;;
    "-m pip") echo "pip VERSION $*" >>"$RECORD"; [ -z "$FAIL" ] ;;
esac
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the scripts are for bash")


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "environment", folder / "scripts")
    (folder / "pyproject.toml").touch()
    os.utime(folder / "pyproject.toml", (1, 1))
    (folder / "scripts" / "run").write_text(
        'source "$(dirname "$0")/environment"\necho "runs $(command -v python)"\n'
    )
    for version in ("3.10", "3.11", "3.12"):
        stub = tmp_path / f"python{version}"
        stub.write_text(STUB.replace("VERSION", version))
        stub.chmod(0o755)
    (tmp_path / "python3").symlink_to(tmp_path / "python3.11")
    return folder


def start(project, **environment):
    """Run a script that sources the environment; return its result and what the stubs did."""
    record = project.parent / "record"
    record.write_text("")
    path = f"{project.parent}:/usr/bin:/bin"
    result = subprocess.run(
        ["bash", str(project / "scripts" / "run")],
        env={"PATH": path, "RECORD": str(record), "FAIL": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return result, [" ".join(line.split()[:2]) for line in record.read_text().splitlines()]


def test_an_environment_is_made_once(project):
    result, did = start(project)
    assert did == ["venv 3.11", "pip 3.11"], result
    assert result.stdout.endswith(f"runs {project}/.venv/bin/python\n")
    result, did = start(project)
    assert (did, result.returncode) == ([], 0)


def test_an_old_python_is_refused_at_once(project):
    result, did = start(project, PYTHON="python3.10")
    assert (result.returncode, did) == (1, [])
    assert result.stderr == (
        "python3.10: this is Python 3.10; minicaffe needs Python 3.11 or newer. Name one, for "
        f"example: PYTHON=python3.12 {project}/scripts/run\n"
    )
    assert not (project / ".venv").exists()


def test_a_python_that_does_not_exist_is_refused(project):
    result, did = start(project, PYTHON="python9")
    assert (result.returncode, did) == (1, [])
    assert result.stderr.startswith("python9: minicaffe needs Python 3.11 or newer.")


def test_an_environment_of_another_python_is_made_anew(project):
    start(project)
    result, did = start(project, PYTHON="python3.12")
    assert did == ["venv 3.12", "pip 3.12"]
    assert "Making .venv anew, because it has Python 3.11, not 3.12 ..." in result.stdout
    assert start(project)[1] == []  # without PYTHON, any that is new enough


def test_an_environment_of_an_old_python_is_made_anew(project):
    shutil.copytree(project, project / ".venv" / "bin")
    shutil.copy(project.parent / "python3.10", project / ".venv" / "bin" / "python")
    result, did = start(project)
    assert did == ["venv 3.11", "pip 3.11"]
    assert "Making .venv anew, because its Python 3.10 ..." in result.stdout


def test_an_interrupted_installation_is_made_anew(project):
    result, did = start(project, FAIL="yes")
    assert (result.returncode != 0, did) == (True, ["venv 3.11", "pip 3.11"])
    result, did = start(project)
    assert did == ["venv 3.11", "pip 3.11"]
    assert "because its installation was interrupted" in result.stdout


def test_a_broken_link_to_an_interpreter_is_noticed(project):
    start(project)
    (project / ".venv" / "bin" / "python").unlink()
    result, did = start(project)
    assert did == ["venv 3.11", "pip 3.11"]
    assert "because its Python does not start" in result.stdout


def test_a_moved_folder_is_noticed(project):
    start(project)
    moved = project.rename(project.with_name("moved"))
    result, did = start(moved)
    assert did == ["venv 3.11", "pip 3.11"]
    assert "because it was moved or copied from another folder" in result.stdout


def test_changed_requirements_are_installed_without_making_it_anew(project):
    start(project)
    assert start(project, EXTRAS="dev,gpu")[1] == ["pip 3.11"]
    assert start(project, EXTRAS="gpu,dev")[1] == []
    assert start(project)[1] == []
    (project / ".venv" / "installed").write_text("")  # as older versions of the script left it
    assert start(project)[1] == []
    os.utime(project / ".venv" / "installed", (0, 0))
    assert start(project)[1] == ["pip 3.11"]


@pytest.mark.parametrize("order", [("plot", "dev"), ("dev", "plot")])
def test_scripts_with_other_extras_share_an_environment(project, order):
    for extras in order:
        assert start(project, EXTRAS=extras)[1][-1] == "pip 3.11"
    command = (project.parent / "record").read_text()
    assert command.rstrip().endswith(f"--editable .[{order[0]},{order[1]}]"), "both are kept"
    for extras in order:
        assert start(project, EXTRAS=extras)[1] == []
    os.utime(project / ".venv" / "installed", (0, 0))
    start(project, EXTRAS="plot")
    assert f".[{order[0]},{order[1]}]" in (project.parent / "record").read_text()


def test_another_python_installs_what_the_script_needs(project):
    start(project, EXTRAS="plot")
    _, did = start(project, PYTHON="python3.12")
    assert did == ["venv 3.12", "pip 3.12"]
    assert (project.parent / "record").read_text().rstrip().endswith("--editable .[dev]")


def test_an_old_python_is_no_obstacle_beside_a_good_environment(project):
    start(project)
    (project.parent / "python3").unlink()
    (project.parent / "python3").symlink_to(project.parent / "python3.10")
    result, did = start(project)
    assert (result.returncode, did) == (0, [])


def test_pip_refuses_an_old_python():
    text = (ROOT / "pyproject.toml").read_text()
    assert 'requires-python = ">=3.11"' in text
