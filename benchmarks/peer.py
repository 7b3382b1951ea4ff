"""Other libraries as peers, each in a process of its own, and turns of several sides."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.net import WARM_UP

# Time that one side computes before the other. If sides alternated after each iteration, short
# iterations would mostly measure the waking of threads and cache misses that the other side causes,
# which do not occur in training.
SLICE_S = 0.25
FEWEST_RUNS = 3

# The packages of the peers, by the names that versions are asked by.
PACKAGES = {
    "PyTorch": "torch",
    "OpenCV": "opencv-python-headless",
    "onnxruntime": "onnxruntime",
    "OpenVINO": "openvino",
}
_ASK_VERSIONS = """
import importlib.metadata, json, sys
found = {}
for package in sys.argv[1:]:
    try:
        found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class Side(Protocol):
    """What takes turns."""

    def run(self, n: int) -> list[float]:
        """Run n iterations; return the seconds of each."""


class Peer:
    """Another library, in a separate process.

    Parameters
    ----------
    python : str
        Python of the peers' environment.
    worker : str
        A file of `benchmarks/peers`.
    message : dict
        What the worker takes as its first request.

    Attributes
    ----------
    version : str
    isa : {"AVX2", "AVX-512"}
        The instruction set that the library uses.
    """

    def __init__(self, python: str, worker: str, message: dict[str, Any]) -> None:
        self.worker = worker
        self.process = subprocess.Popen(
            [python, "-W", "ignore", str(Path(__file__).parent / "peers" / worker)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **narrowing(), "OMP_NUM_THREADS": str(message["threads"])},
        )
        answer = self._ask(message)
        self.version, self.isa = answer["version"], answer["isa"]

    def _ask(self, message: dict[str, Any]) -> Any:
        answer = ""
        with suppress(BrokenPipeError):  # it has ended already
            print(json.dumps(message), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()  # type: ignore[union-attr]
        if not answer:
            self.close()
            raise ValueError(f"{self.worker} ended; its error is above")
        return json.loads(answer)

    def run(self, n: int) -> list[float]:
        """Run n iterations; return the seconds of each."""
        seconds: list[float] = self._ask({"run": n})["seconds"]
        return seconds

    def output(self, folder: Path) -> NDArray[np.float32]:
        """Return the output of a forward pass, which passes through a file of a folder."""
        path = folder / "output.npy"
        self._ask({"save": str(path)})
        values: NDArray[np.float32] = np.load(path)
        return values

    def close(self) -> None:
        """End the process."""
        self.process.communicate()


def interpreter(text: str) -> str:
    """Return the Python that a flag names; "" for none.

    Raises
    ------
    argparse.ArgumentTypeError
        If there is no such program.
    """
    if text and shutil.which(text) is None:
        raise argparse.ArgumentTypeError(f"{text} is no program; it should be a Python")
    return text


def narrowing() -> dict[str, str]:
    """Return the environment that limits peers to the instruction set of ONEDNN_MAX_CPU_ISA.

    onnxruntime has no such setting. OpenVINO has one for its own kernels since 2026.4, besides the
    one for the oneDNN that it contains.
    """
    isa = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
    if not isa:
        return {}
    narrow = {"ONEDNN_MAX_CPU_ISA": isa, "DNNL_MAX_CPU_ISA": isa, "OV_CPU_MAX_ISA": isa}
    if isa.upper().startswith("AVX2"):
        narrow["ATEN_CPU_CAPABILITY"] = "avx2"
        narrow["MKL_ENABLE_INSTRUCTIONS"] = "AVX2"
        narrow["OPENCV_CPU_DISABLE"] = "AVX512-SKX"
    return narrow


def installed_peers(python: str) -> dict[str, str]:
    """Return the versions of the peers that an environment has, by name."""
    if not python:
        return {}
    command = [python, "-c", _ASK_VERSIONS, *PACKAGES.values()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return {name: found[package] for name, package in PACKAGES.items() if package in found}


def take_turns(sides: Mapping[str, Side], seconds: float) -> dict[str, list[float]]:
    """Run all sides in alternating time slices for some seconds; return the seconds of each run."""
    times: dict[str, list[float]] = {side: [] for side in sides}
    counts = {side: _iterations_per_slice(runner.run(WARM_UP)) for side, runner in sides.items()}
    end = time.perf_counter() + seconds
    while any(len(runs) < FEWEST_RUNS for runs in times.values()) or time.perf_counter() < end:
        for side, runner in sides.items():
            times[side] += runner.run(counts[side])
    return times


def _iterations_per_slice(seconds: list[float]) -> int:
    """Return the number of iterations of a time slice from the seconds of some iterations."""
    return max(1, int(SLICE_S / min(seconds)))
