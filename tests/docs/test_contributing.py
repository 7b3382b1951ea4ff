"""CONTRIBUTING's example, applied to a copy of the repository, passes the checks that it names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
COPIED = ("minicaffe", "proto", "tests", "docs", "pyproject.toml")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def run(folder: Path, *command: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTEST_XDIST_WORKER", None)
    result = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]


def write_schema(folder: Path) -> None:
    """Insert the blocks of step 1 and generate the classes, as scripts/generate_schema does."""
    proto = folder / "proto" / "minicaffe.proto"
    message, field = (block.partition("\n")[2] for block in blocks("proto"))
    head, start, rest = proto.read_text().partition("message LayerParameter {")
    inside, end, tail = rest.partition("\n}\n")
    proto.write_text(f"{head}{start}{inside}\n{field.rstrip()}{end}{tail}{message}")
    run(
        folder,
        *("-W", "ignore", "-m", "grpc_tools.protoc", "-Iminicaffe/schema=proto"),
        *("--python_out=.", "--pyi_out=.", "minicaffe/schema/minicaffe.proto"),
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    pytest.importorskip("grpc_tools", reason="needs grpcio-tools (the dev extra)")
    folder = tmp_path_factory.mktemp("copy")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    write_schema(folder)
    for block in blocks("python"):
        path, _, text = block.removeprefix("# ").partition("\n")
        assert not (folder / path).exists(), path
        (folder / path).write_text(text)
    return folder


@pytest.mark.slow
def test_the_example_of_the_guide_passes_its_checks(copy):
    commands = [line.split() for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) == 3
    for python, *command in commands:
        assert python == "python"
        run(copy, *command)
    run(copy, "-m", "ruff", "check", "minicaffe/layers", "minicaffe/ops", "minicaffe/backends")
