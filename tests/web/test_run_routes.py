"""The interface of the board: runs, metrics, logs, files, comparison."""

import json
import os
import re
import shutil

import pytest
from board_client import answer, board_client
from run_folders import accuracy, add_metrics, write_run


@pytest.fixture
def root(tmp_path):
    """A folder with two runs."""
    write_run(tmp_path / "board" / "runs" / "lenet-2")
    write_run(tmp_path / "board" / "runs" / "lenet-10", 40, seed=5)
    return tmp_path / "board"


@pytest.fixture
def client(root):
    """A client of a board of the folder."""
    with board_client(root) as client:
        yield client


def error(client, path, /, **query):
    response = client.get(f"/api/{path}", params=query)
    return response.status_code, response.json()["error"]


def test_all_runs(client, root):
    found = answer(client, "runs")
    assert found["folder"] == str(root)
    assert [run["name"] for run in found["runs"]] == ["runs/lenet-2", "runs/lenet-10"]
    run = found["runs"][1]
    assert (run["state"], run["iteration"], run["max_iter"]) == ("finished", 400, 400)
    assert (run["seconds"], run["eta_s"]) == (20.0, None)
    assert run["images_per_s"] == 400 * 64 / 20
    best = {"iteration": 300, "value": accuracy(300)}
    assert run["score"] == {
        "output": "accuracy",
        "net": 0,
        "direction": "max",
        "best": best,
        "last": None,
    }
    assert run["sparkline"] == [[k, accuracy(k)] for k in (0, 100, 200, 300)]
    assert not run["is_controllable"]


def test_a_run_that_trains(client, root):
    folder = write_run(root / "new", 20, state="running", iteration=0, seconds=0.0, max_iter=400)
    run = answer(client, "runs")["runs"][0]
    assert (run["name"], run["state"], run["iteration"]) == ("new", "running", 190)
    assert run["eta_s"] == pytest.approx(0.05 * (400 - 190))
    assert run["images_per_s"] == 1280
    assert run["score"]["last"] == {"iteration": 100, "value": accuracy(100)}
    add_metrics(folder, 20, 31)
    run = answer(client, "runs")["runs"][0]
    assert run["iteration"] == 300
    assert run["score"]["best"] == {"iteration": 300, "value": accuracy(300)}


def test_a_killed_run(client, root):
    write_run(root / "new", state="running", is_locked=True)
    assert answer(client, "runs")["runs"][0]["state"] == "killed"


def test_a_damaged_run_is_listed(client, root):
    (root / "runs" / "lenet-2" / "run.json").write_text("{")
    run = answer(client, "runs")["runs"][0]
    assert (run["name"], run["state"]) == ("runs/lenet-2", "unreadable")
    assert "run.json: damaged" in run["error"]


def test_a_removed_run_is_not_listed(client, root):
    answer(client, "runs")
    shutil.rmtree(root / "runs" / "lenet-2")
    assert [run["name"] for run in answer(client, "runs")["runs"]] == ["runs/lenet-10"]


def test_one_run(client, root):
    folder = root / "runs" / "lenet-2"
    (folder / "solver.prototxt").write_text('snapshot_prefix: "s"')
    (folder / "best.caffemodel").write_bytes(b"123")
    (folder / "s_iter_100.caffemodel").write_bytes(b"12345")
    os.link(folder / "s_iter_100.caffemodel", folder / "last.caffemodel")
    (folder / "confusion").mkdir()
    (folder / "confusion" / "matrix.csv").write_text("1,2")
    run = answer(client, "run", run="runs/lenet-2")
    assert run["command"] == ["train", "lenet_solver.prototxt"]
    assert {"path": "confusion/matrix.csv", "bytes": 3} in run["files"]
    assert run["next"] == (folder / "metrics.jsonl").stat().st_size
    at = {"iteration": 100, "score": accuracy(100)}
    assert run["snapshots"] == [
        {**at, "weights": "runs/lenet-2/s_iter_100.caffemodel", "bytes": 5, "kind": "last"},
        {**at, "weights": "runs/lenet-2/best.caffemodel", "bytes": 3, "kind": "best"},
    ]


def test_snapshots_of_an_earlier_training_are_not_those_of_the_run(client, root):
    folder = root / "runs" / "lenet-2"
    (folder / "solver.prototxt").write_text('snapshot_prefix: "s"')
    (folder / "s_iter_100.caffemodel").write_bytes(b"12345")
    os.utime(folder / "s_iter_100.caffemodel", (0, 0))
    assert answer(client, "run", run="runs/lenet-2")["snapshots"] == []


def test_snapshots_outside_the_folder_are_not_listed(client, root):
    folder = root / "runs" / "lenet-2"
    (folder / "solver.prototxt").write_text('snapshot_prefix: "../../../outside"')
    (root.parent / "outside_iter_5.caffemodel").write_bytes(b"1")
    assert answer(client, "run", run="runs/lenet-2")["snapshots"] == []


@pytest.mark.parametrize("path", ["run", "metrics", "log", "archive", "metrics/events"])
@pytest.mark.parametrize("name", ["no", "../board/runs", "/etc", "runs/../../..", "\0", ""])
def test_paths_that_are_no_runs(client, path, name):
    code, message = error(client, path, run=name)
    assert code == 404
    assert "no run" in message or "not below the folder" in message


def test_a_link_out_of_the_folder_is_not_followed(client, root):
    outside = write_run(root.parent / "outside")
    (root / "link").symlink_to(outside)
    assert len(answer(client, "runs")["runs"]) == 2
    assert error(client, "run", run="link") == (404, "link: not below the folder of this board")


def test_metrics(client):
    found = answer(client, "metrics", run="runs/lenet-2")
    train, (test,) = found["train"], found["tests"]
    assert train["iteration"] == list(range(0, 200, 10))
    assert train["seconds"][:3] == [0, 0.5, 1]
    assert train["epoch"][3] == 0.2
    assert set(train["lr"]) == {0.01}
    assert train["outputs"]["loss"] == train["loss"]
    assert set(train["images_per_s"]) == {1280}
    assert (test["net"], test["iteration"]) == (0, [0, 100])
    assert test["outputs"]["accuracy"] == [accuracy(0), accuracy(100)]
    assert found["replaced"] is None


def test_metrics_after_a_place(client, root):
    first = answer(client, "metrics", run="runs/lenet-2")
    add_metrics(root / "runs" / "lenet-2", 15, 22)  # resumed from iteration 150
    more = answer(client, "metrics", run="runs/lenet-2", after=first["next"])
    assert more["train"]["iteration"] == list(range(150, 220, 10))
    assert more["replaced"] == 150
    again = answer(client, "metrics", run="runs/lenet-2", after=more["next"])
    assert (again["train"]["iteration"], again["tests"]) == ([], [])
    code, message = error(client, "metrics", run="runs/lenet-2", after="x")
    assert (code, message.startswith("after=x: must be")) == (400, True)


def test_very_many_rows_are_thinned(client, root):
    write_run(root / "long", 45_000)
    found = answer(client, "metrics", run="long")
    iterations = found["train"]["iteration"]
    assert 10_000 < len(iterations) <= 20_001
    assert (iterations[0], iterations[-1]) == (0, 449_990)
    assert len(found["tests"][0]["iteration"]) == 4_500
    assert len(found["train"]["loss"]) == len(iterations)


def test_the_log_is_read_on(client, root):
    path = root / "runs" / "lenet-2" / "log.txt"
    assert error(client, "log", run="runs/lenet-2")[0] == 404
    path.write_text("one\n두\nthr")
    first = answer(client, "log", run="runs/lenet-2")
    assert first == {"text": "one\n두\n", "begin": 0, "next": 8}
    path.write_text("one\n두\nthree\n")
    assert answer(client, "log", run="runs/lenet-2", after=8)["text"] == "three\n"


def test_runs_are_compared(client, root):
    rows = answer(client, "compare", run=["runs/lenet-2", "runs/lenet-10"])["rows"]
    assert rows[0] == ["", "runs/lenet-2", "runs/lenet-10"]
    assert ["seed", "0", "5"] in rows
    assert ["iterations", "200", "400"] in rows
    assert error(client, "compare", run="runs/lenet-2")[0] == 400
    assert error(client, "compare", run=["runs/lenet-2", "no"])[0] == 404


def test_files_are_shown_or_saved(client, root):
    folder = root / "runs" / "lenet-2"
    for name in ("report.html", "drawing.svg", "script.js", "plot.png"):
        (folder / name).write_bytes(b"<script>alert(1)</script>")
    kinds = {}
    for name in ("run.json", "report.html", "drawing.svg", "script.js", "plot.png"):
        response = client.get("/api/file", params={"run": "runs/lenet-2", "path": name})
        disposition = response.headers.get("content-disposition", "shown").partition(";")[0]
        kinds[name] = (response.headers["content-type"].partition(";")[0], disposition)
        assert response.headers["x-content-type-options"] == "nosniff"
    saved = ("application/octet-stream", "attachment")
    assert kinds == {
        "run.json": ("text/plain", "shown"),
        "report.html": saved,
        "drawing.svg": saved,
        "script.js": saved,
        "plot.png": ("image/png", "shown"),
    }


@pytest.mark.parametrize("path", ["../lenet-10/run.json", "/etc/passwd", "no", "", "\0", "."])
def test_files_outside_the_run_are_refused(client, path):
    assert error(client, "file", run="runs/lenet-2", path=path)[0] == 404


def test_an_archive_needs_weights(client):
    assert error(client, "archive", run="runs/lenet-2") == (
        404,
        "the run has no best or last weights yet",
    )


def test_numbers_that_are_not_finite_are_null(client, root):
    """Another program may have written NaN, which JSON lacks."""
    path = root / "runs" / "lenet-2" / "metrics.jsonl"
    row = {"kind": "train", "iteration": 990, "time": 1.0, "outputs": {}, "loss": float("nan")}
    path.write_text(path.read_text() + json.dumps(row) + "\n")
    assert answer(client, "metrics", run="runs/lenet-2")["train"]["loss"][-1] is None


@pytest.mark.parametrize("address", ["/", "/run?run=a", "/compare", "/static/main.js"])
def test_pages(client, address):
    response = client.get(address)
    assert response.status_code == 200
    policy = response.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


def test_the_page_names_all_scripts(client):
    page = client.get("/").text
    scripts = re.findall(r'<link rel="modulepreload" href="([^"]+)">', page)
    assert "/static/pages/runs.js" in scripts
    for script in scripts:
        assert client.get(script).headers["content-type"].startswith("text/javascript"), script
