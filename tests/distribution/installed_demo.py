"""The demo from an installed wheel: a net of the wheel, from images to a prediction."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from distribution.archives import ROOT

IMAGES = ROOT / "data" / "fashion-mnist"
NET = "models/lenet/lenet_train_test.prototxt"
ITERATIONS = 60
# Chance is 0.1; 60 iterations reach about 0.7.
ENOUGH = 0.5
EXTRAS = ("matplotlib", "onnx", "safetensors", "av", "pygls")


class InstalledDemo:
    """The program of an environment, in a folder outside the repository.

    Parameters
    ----------
    interpreter : Path
        The Python to make the environment with.
    wheel : Path
    folder : Path
        An empty folder for environment and files.
    """

    def __init__(self, interpreter: Path, wheel: Path, folder: Path) -> None:
        self._interpreter, self._wheel, self._folder = interpreter, wheel, folder
        self._bin = folder / "venv" / "bin"
        self._environment = {
            name: value for name, value in os.environ.items() if name != "PYTHONPATH"
        }

    def run(self) -> float:
        """Install the wheel without extras, run the demo, and return LeNet's accuracy.

        Raises
        ------
        RuntimeError
            If a command ends or prints otherwise than expected.
        """
        self._install()
        self._call("minicaffe", "models", "lenet")
        (self._folder / "data" / "fashion-mnist").mkdir(parents=True)
        for kind, name in (("train", "train"), ("test", "t10k")):
            files = [
                str(IMAGES / f"{name}-{what}-ubyte.gz") for what in ("images-idx3", "labels-idx1")
            ]
            self._call("convert_mnist_data", *files, f"data/fashion-mnist/{kind}_lmdb")
        self._call(
            *("minicaffe", "train", "models/lenet/lenet_solver.prototxt", "--seed=1"),
            *(f"--max_iter={ITERATIONS}", "--set", f"test_interval={ITERATIONS}"),
        )
        tested = self._call("caffe", "test", f"-model={NET}", "-weights=runs/lenet-1/last")
        accuracy = float(re.findall(r"\] accuracy = (\S+)", tested)[-1])
        if accuracy < ENOUGH:
            raise RuntimeError(f"LeNet's accuracy is {accuracy} after {ITERATIONS} iterations")
        self._call("minicaffe", "db", "export", "data/fashion-mnist/test_lmdb", "images")
        image = next((self._folder / "images").rglob("*.png"))
        found = self._call("minicaffe", "predict", "runs/lenet-1", str(image))
        if not re.search(r"0\.\d", found):
            raise RuntimeError(f"predict printed no probability: {found!r}")
        deployed = "models/lenet/deploy.prototxt"
        self._refuse("onnx", "minicaffe", "export", "onnx", deployed, "runs/lenet-1/last")
        self._refuse("plot", "minicaffe", "plot", "runs/lenet-1")
        self._call(
            "python", "-c", "import caffe; caffe.Net('models/lenet/deploy.prototxt', caffe.TEST)"
        )
        return accuracy

    def _install(self) -> None:
        command = [str(self._interpreter), "-m", "venv", "--without-pip", "venv"]
        subprocess.run(command, cwd=self._folder, check=True)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        self._call(*pip, "--python", str(self._bin / "python"), "install", str(self._wheel))
        code = (
            "import importlib.util as u, minicaffe, caffe; "
            "print(minicaffe.__file__, caffe.__file__, "
            f"[name for name in {EXTRAS} if u.find_spec(name)])"
        )
        *paths, extras = self._call("python", "-c", code).split(maxsplit=2)
        if not all(path.startswith(str(self._folder)) for path in paths) or extras.strip() != "[]":
            raise RuntimeError(f"these are not of the wheel alone: {paths}, {extras}")

    def _call(self, program: str, *arguments: str) -> str:
        """Run a program of the environment and return what it printed."""
        result = self._start(program, *arguments)
        if result.returncode != 0:
            command = " ".join((program, *arguments))
            raise RuntimeError(f"{command}\nends with code {result.returncode}:\n{result.stdout}")
        return result.stdout

    def _refuse(self, extra: str, program: str, *arguments: str) -> None:
        """Run a command that must end with a message that names an extra."""
        result = self._start(program, *arguments)
        if result.returncode != 1 or f"pip install 'minicaffe[{extra}]'" not in result.stdout:
            command = " ".join((program, *arguments))
            raise RuntimeError(f"{command}\nnames no extra [{extra}]:\n{result.stdout}")

    def _start(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        installed = self._bin / program
        return subprocess.run(
            [str(installed) if installed.exists() else program, *arguments],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
