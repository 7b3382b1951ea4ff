"""A service in a process of its own, and requests to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from image_nets import save_random_weights, write_image_nets

RECURRENT = """layer { name: "x" type: "Input" top: "x"
  input_param { shape { dim: 3 dim: 1 dim: 2 } } }
layer { name: "cont" type: "Input" top: "cont" input_param { shape { dim: 3 dim: 1 } } }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "h"
  recurrent_param { num_output: 4 weight_filler { type: "uniform" min: -1 max: 1 } } }
"""
MODELS = {
    "classes": {"weights": "classes.caffemodel", "net": "classes.prototxt"},
    "pixels": {"weights": "pixels.caffemodel", "net": "pixels.prototxt"},
    "objects": {"weights": "objects.caffemodel", "net": "objects.prototxt"},
    "steps": {"weights": "steps.caffemodel", "net": "steps.prototxt"},
}


@dataclass
class Answer:
    """An answer of the service."""

    status: int
    headers: http.client.HTTPMessage
    content: bytes

    def json(self):
        return json.loads(self.content)


class Service:
    """A process of `minicaffe serve` in a folder."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        command = [sys.executable, "-m", "minicaffe", "serve", *words, "--port=0"]
        root = str(Path(__file__).parents[3])
        path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        with (folder / "stderr.txt").open("w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": path},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self.process.stdout is not None
        lines = iter(self.process.stdout.readline, "")
        self.lines = []
        for line in lines:
            self.lines.append(line)
            if line.startswith("Ctrl-C"):
                break
        else:
            raise AssertionError((folder / "stderr.txt").read_text())
        url = next(line for line in self.lines if line.startswith("Listening")).split()[-1]
        self.port = int(url.split(":")[2].split("/")[0])

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def request(self, method: str, path: str, body=None, **headers: str) -> Answer:
        connection = self.connection()
        try:
            if isinstance(body, dict | list):
                body = json.dumps(body).encode()
                headers.setdefault("content_type", "application/json")
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def post(self, path: str, body=b"", **headers: str) -> Answer:
        return self.request("POST", path, body, **headers)

    def metric(self, line: str) -> float:
        text = self.get("/metrics").content.decode()
        return float(next(one for one in text.splitlines() if one.startswith(line)).split()[-1])

    def log(self) -> str:
        return (self.folder / "stderr.txt").read_text()

    def end(self) -> int:
        """Send SIGTERM and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.process.stdout.close()
        return code


def write_models(folder: Path) -> None:
    write_image_nets(folder)
    (folder / "steps.prototxt").write_text(RECURRENT)
    save_random_weights(folder / "steps.prototxt", folder / "steps.caffemodel", 2)
    (folder / "models.json").write_text(json.dumps(MODELS))
    (folder / "labels.txt").write_text("ant\nbee\ncat\n")


def wait_until(condition, seconds=30.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
