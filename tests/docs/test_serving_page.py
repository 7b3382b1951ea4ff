"""The commands of docs/serving.md are executed, against a service that its first command starts."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from image_nets import write_image_nets

pytest.importorskip("starlette")

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"
KOREAN = PAGE.parent / "ko" / PAGE.name
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
CURL = 'curl() { command curl -sS --fail-with-body "$@"; }\nset -e\n'


def make_runs(folder):
    """Write two runs of a net with three classes, and two images."""
    write_image_nets(folder)
    for k in (1, 2):
        run = folder / "runs" / f"pets-{k}"
        run.mkdir(parents=True)
        (run / "run.json").write_text(json.dumps({"folder": str(folder)}))
        shutil.copy(folder / "classes.prototxt", run / "test-0.prototxt")
        shutil.copy(folder / "classes.caffemodel", run / "best.caffemodel")
        (run / "labels.txt").write_text("cat\ndog\nhorse\n")
    (folder / "runs" / "names.txt").write_text("a\nb\nc\n")
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        pixels = rng.integers(0, 256, (20, 30, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.jpg")


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The port of the service that the first command of the page starts, with --root."""
    folder = tmp_path_factory.mktemp("page")
    make_runs(folder)
    words = shlex.split(BLOCKS[0])
    assert words[:2] == ["minicaffe", "serve"]
    command = [sys.executable, "-m", *words, "--port=0", "--root=runs"]
    root = str(PAGE.parents[1])
    process = subprocess.Popen(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": root}, stdout=subprocess.PIPE
    )
    with closing(process.stdout):
        text = b"".join(iter(process.stdout.readline, b"Ctrl-C ends it.\n")).decode()
        assert 'Model "pets-1", version 1: classify' in text
        yield folder, int(re.search(r"http://127\.0\.0\.1:(\d+)/", text)[1])
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_the_commands_are_answered(port):
    folder, number = port
    n_commands = 0
    for block in BLOCKS[1:]:
        script = CURL + block.replace("localhost:8000", f"localhost:{number}")
        done = subprocess.run(
            ["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, (block, done.stdout, done.stderr)
        n_commands += block.count("curl ")
        if "top=3" in block:
            found = json.loads(done.stdout)["predictions"][0]["classes"]
            assert {one["class"] for one in found} == {"cat", "dog", "horse"}
    assert n_commands >= 14


def test_the_program_in_python_runs(port):
    pytest.importorskip("tritonclient.http")
    folder, number = port
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    words = [sys.executable, "-c", program.replace("8000", str(number))]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[[")


def test_the_korean_page_has_the_same_commands():
    assert re.findall(r"```.*?```", KOREAN.read_text("utf-8"), re.DOTALL) == re.findall(
        r"```.*?```", PAGE.read_text("utf-8"), re.DOTALL
    )
