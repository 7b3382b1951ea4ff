"""A folder with a tiny training, and requests to the board that looks after it."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.runs.record import stored_record
from minicaffe.web.jobs.status import is_locked, read_status

NET = """name: "small"
layer { name: "data" type: "Data" top: "data" top: "label"
  transform_param { scale: 0.004 } data_param { source: "%s" batch_size: 4 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
SOLVER = """net: "net.prototxt" base_lr: 0.01 lr_policy: "fixed" max_iter: %d display: 1
snapshot_prefix: "s" random_seed: 1
"""
ENDLESS = 10**8
TIMEOUT_S = 60


def write_training(folder: Path, max_iter: int = ENDLESS) -> None:
    """Write a database, a net and its solver, which train in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    with create_database(str(folder / "lmdb"), "LMDB") as database:
        for i in range(11):
            image = rng.integers(0, 256, (1, 6, 7), dtype=np.uint8)
            database.put(b"%08d" % i, encode_datum(image, i % 5))
    (folder / "net.prototxt").write_text(NET % "lmdb")
    (folder / "solver.prototxt").write_text(SOLVER % max_iter)


def request(url: str, method: str = "GET", body: object = None, **headers: str):
    """Send a request; return its status and the JSON of the answer."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=TIMEOUT_S) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode()
        return error.code, json.loads(text) if text.startswith("{") else text


def end_jobs(folder: Path) -> None:
    """Kill the processes of the jobs of a board, and of all runs below its folder."""
    for path in (folder / ".minicaffe" / "jobs").glob("*.json"):
        until(lambda path=path: _is_over(path), f"the end of {path}")
    for path in folder.rglob("run.json"):
        process = stored_record(path.parent).process
        if process is not None and process.send(signal.SIGKILL):
            until(lambda process=process: not process.is_alive, "the end of a run")


def _is_over(path: Path) -> bool:
    """Kill the process of a job, if it has told its number; return whether none has the file."""
    status = read_status(path)
    if status is not None and status.process is not None:
        status.process.send(signal.SIGKILL)
    return not is_locked(path)


def until(condition, what: str = "the condition"):
    """Wait until a function returns a true value, and return that."""
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what} has not come true in {TIMEOUT_S} s")
