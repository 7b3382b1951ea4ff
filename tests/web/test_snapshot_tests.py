"""Tests of snapshots that the board starts: their progress, results, errors and cancelling."""

import json
import shutil
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from board_client import board_client
from processes import served
from small_run import CLASSES, N_IMAGES, RUN, write_small_run

WEIGHTS = {"weights": "runs/small-1/last.caffemodel"}


@pytest.fixture
def root(tmp_path):
    write_small_run(tmp_path)
    return tmp_path


@pytest.fixture
def client(root):
    """A client of a board of the folder."""
    with board_client(root) as client:
        yield client
        client.delete("/api/tests", params=RUN)


def begin(client, batches, **query):
    return client.post("/api/tests", params={**RUN, **query}, json={"batches": batches})


def state(client):
    return client.get("/api/tests", params=RUN).json()


def ended(client):
    """Wait for the end of a test; return the state of the run."""
    end = time.monotonic() + 120
    while (found := state(client))["progress"]["is_running"] and time.monotonic() < end:
        time.sleep(0.05)
    assert not found["progress"]["is_running"]
    return found


def test_a_snapshot_is_tested(client, root):
    found = state(client)
    assert (found["results"], found["progress"], found["batches"]) == ([], None, 3)
    response = begin(client, 3)
    assert response.status_code == 202, response.text
    assert response.json()["batches"] == 3
    found = ended(client)
    assert (found["progress"]["error"], found["progress"]["batch"]) == ("", 3)
    assert [one["result"] for one in found["results"]] == ["confusion-last"]
    query = {**RUN, "result": "confusion-last"}
    result = client.get("/api/tests/result", params=query).json()
    assert result["classes"] == list(CLASSES)
    assert [sum(row) for row in result["counts"]] == [N_IMAGES // 3] * 3
    assert [row[1] for row in result["table"]] == list(CLASSES)
    wrong = N_IMAGES - sum(row[k] for k, row in enumerate(result["counts"]))
    assert result["n_mistakes"] == len(result["mistakes"]) == wrong
    scores = [float(score) for *_, score in result["mistakes"]]
    assert scores == sorted(scores, reverse=True)
    picture = result["pictures"]["confusion"]
    assert client.get("/api/file", params={**RUN, "path": picture}).status_code == 200
    assert client.get("/api/tests/result", params={**RUN, "result": ".."}).status_code == 404


def test_one_test_runs_at_a_time_and_can_be_cancelled(client, root):
    assert begin(client, 1_000_000).status_code == 202
    second = begin(client, 1)
    assert second.status_code == 409
    assert second.json()["error"].startswith("runs/small-1/last.caffemodel of runs/small-1 is")
    assert client.delete("/api/tests", params=RUN).status_code == 200
    found = ended(client)
    assert (found["progress"]["error"], found["results"]) == ("", [])
    assert not list((root / RUN["run"]).glob("confusion*"))


def test_the_error_of_a_test_is_shown(client, root):
    shutil.rmtree(root / "data")
    assert begin(client, 1).status_code == 202
    assert "data/images_lmdb" in ended(client)["progress"]["error"]
    assert not list((root / RUN["run"]).glob("confusion*"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_test_ends_with_the_board(root):
    with served("board", root) as (board, url):
        body = json.dumps({"batches": 1_000_000}).encode()
        request = urllib.request.Request(f"{url}/api/tests?run=runs/small-1", body)
        with urllib.request.urlopen(request, timeout=60) as response:
            assert response.status == 202
        (tests,) = children(board.pid)
        board.terminate()
        assert board.wait(60) == 0
    end = time.monotonic() + 60
    while Path(f"/proc/{tests}").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(f"/proc/{tests}").exists()


def children(process):
    """Return the numbers of the processes that a process has started."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [int(word) for task in tasks for word in task.read_text().split()]


@pytest.mark.parametrize("batches", [0, -1, 1.5, "3", 10**9])
def test_a_wrong_number_of_batches_is_refused(client, batches):
    assert begin(client, batches).status_code == 400
    assert state(client)["progress"] is None


def test_unknown_weights_are_refused(client):
    assert begin(client, 1, weights="data/images_lmdb/data.mdb").status_code == 404
