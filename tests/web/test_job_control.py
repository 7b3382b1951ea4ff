"""Stop, snapshot and resume of runs over HTTP, in a board that trains in processes of its own."""

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from dataclasses import replace
from types import SimpleNamespace

import pytest
from job_board import end_jobs, request, until, write_training
from lenet import environment
from processes import served

from minicaffe.atomic_file import held
from minicaffe.cli.main import run_command
from minicaffe.runs.process import ProcessIdentity
from minicaffe.runs.record import RunRecord, read_record
from minicaffe.web.jobs.control import signal_obstacle


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A board of a folder with an endless training in project/."""
    folder = tmp_path_factory.mktemp("board").resolve() / "folder"
    write_training(folder / "project")
    with served("board", folder) as (process, url):
        yield SimpleNamespace(folder=folder, process=process, **_requests(url))


@pytest.fixture
def board(site):
    """The board; runs and jobs of the test are removed at the end."""
    yield site
    for job in site.get("jobs")[1]["jobs"]:
        for more in ("", "&at_once=1"):
            site.delete(f"jobs?id={job['id']}{more}")
    end_jobs(site.folder)
    until(lambda: all(_removed(site, job) for job in site.get("jobs")[1]["jobs"]), "no jobs")
    project = site.folder / "project"
    shutil.rmtree(project)
    write_training(project)


@pytest.fixture
def own_board(tmp_path):
    """A board of its own, which the test may kill."""
    folder = tmp_path / "folder"
    write_training(folder / "project")
    with served("board", folder) as (process, url):
        yield SimpleNamespace(folder=folder, process=process, **_requests(url))
    end_jobs(folder)


def _requests(url):
    """Return the address of a board and functions that send requests to it."""
    api = f"{url}/api/"
    return {
        "url": url,
        "get": lambda route: request(api + route),
        "post": lambda route, body=None, **headers: request(api + route, "POST", body, **headers),
        "delete": lambda route: request(api + route, "DELETE"),
    }


def _removed(site, job):
    return site.delete(f"jobs?id={job['id']}&forget=1")[0] == 200


@pytest.fixture
def train(board):
    """A function that starts a training without the board; returns its process and run."""
    started = []
    (board.folder / "project" / "runs").mkdir(exist_ok=True)

    def start(*flags):
        command = [sys.executable, "-m", "minicaffe", "train", "solver.prototxt", *flags]
        folder = board.folder / "project"
        process = subprocess.Popen(
            command, cwd=folder, env=environment(), stderr=subprocess.DEVNULL
        )
        started.append(process)
        name = f"project/runs/solver-{len(started)}"
        until(lambda: (board.folder / name / "run.json").exists(), "a run")
        until(lambda: read_record(board.folder / name).iteration > 2, "iterations")
        return process, name

    yield start
    for process in started:
        process.kill()
        process.wait()


def state_of(board, number, state):
    """Wait until a job is in a state, and return it."""

    def found():
        jobs = {job["id"]: job for job in board.get("jobs")[1]["jobs"]}
        return jobs[number] if jobs[number]["state"] == state else None

    return until(found, f"job {number} {state}")


def test_a_run_is_stopped_and_resumed(board, train):
    process, name = train()
    status, actions = board.get(f"run/control?run={name}")
    assert (status, actions["stop"], actions["snapshot"]) == (200, "", "")
    assert actions["resume"] == "it trains"
    assert board.post(f"run/snapshot?run={name}")[0] == 202
    until(lambda: list((board.folder / "project").glob("s_iter_*.solverstate")), "a snapshot")
    assert process.poll() is None
    assert board.post(f"run/stop?run={name}")[0] == 202
    assert process.wait() == 0
    record = read_record(board.folder / name)
    assert record.state == "stopped"
    command = board.get(f"run/control?run={name}")[1]["command"]
    assert command == f"minicaffe train solver.prototxt --snapshot={record.snapshot['state']}"
    status, job = board.post(f"run/resume?run={name}")
    assert (status, job["folder"]) == (201, "project")
    assert board.post(f"run/resume?run={name}")[0] == 409
    run = until(lambda: state_of(board, job["id"], "running")["run"], "the run of the job")
    assert read_record(board.folder / run).first_iteration == record.iteration
    assert board.post(f"run/stop?run={run}")[0] == 202
    assert state_of(board, job["id"], "stopped")["exit_code"] == 0


def test_a_second_stop_does_not_cost_the_snapshot(board, train):
    """A second signal would end the training at once."""
    (board.folder / "project" / "slow.py").write_text(
        "import time, caffe\nclass Slow(caffe.Layer):\n"
        "    def setup(self, bottom, top): pass\n"
        "    def reshape(self, bottom, top): top[0].reshape(1)\n"
        "    def forward(self, bottom, top): time.sleep(0.7)\n"
        "    def backward(self, top, propagate_down, bottom): pass\n"
    )
    with (board.folder / "project" / "net.prototxt").open("a") as net:
        net.write(
            'layer { name: "slow" type: "Python" bottom: "loss" top: "slow" '
            'python_param { module: "slow" layer: "Slow" } }'
        )
    process, name = train()
    answers = [board.post(f"run/stop?run={name}") for _ in range(3)]
    assert [status for status, _ in answers] == [202, 409, 409]
    assert answers[1][1]["error"] == (
        f"{name} is stopping: it ends after its iteration, with a snapshot"
    )
    actions = board.get(f"run/control?run={name}")[1]
    assert actions["is_stopping"]
    assert board.post(f"run/snapshot?run={name}")[0] == 409
    assert process.wait() == 0
    assert "state" in read_record(board.folder / name).snapshot


def test_effects_of_signals_are_respected(board, train):
    process, name = train("--sigint_effect=snapshot", "--sighup_effect=stop")
    assert board.post(f"run/snapshot?run={name}")[0] == 202
    until(lambda: list((board.folder / "project").glob("s_iter_*.solverstate")), "a snapshot")
    assert process.poll() is None
    assert board.post(f"run/stop?run={name}")[0] == 202
    assert process.wait() == 0


def test_a_training_that_no_signal_stops(board, train):
    flags = ["--sigint_effect=none", "--sighup_effect=none", "--sigterm_effect=none"]
    process, name = train(*flags)
    status, answer = board.post(f"run/stop?run={name}")
    assert status == 409
    assert answer["error"] == (
        f"{name}: no signal lets it stop: it was started with --sigint_effect=none, "
        "--sighup_effect=none, --sigterm_effect=none"
    )
    assert (
        "no signal lets it write a snapshot" in board.get(f"run/control?run={name}")[1]["snapshot"]
    )
    assert process.poll() is None


def test_a_run_that_has_ended_is_not_signalled(board, train):
    process, name = train()
    process.kill()
    process.wait()
    status, answer = board.post(f"run/stop?run={name}")
    assert (status, answer["error"]) == (409, f"{name}: it does not train: it is killed")
    actions = board.get(f"run/control?run={name}")[1]
    assert actions["command"] == "minicaffe train solver.prototxt --resume=auto"
    assert board.post("run/stop?run=project/runs/none")[0] == 404
    assert board.post(f"run/explode?run={name}")[0] == 404
    assert board.get(f"run/stop?run={name}")[0] == 405


@pytest.fixture
def training(tmp_path):
    """A record as of a training that runs: this process, which holds the lock of the folder."""
    folder = tmp_path / "run"
    folder.mkdir()
    record = RunRecord(
        is_locked=True,
        machine={"host": os.uname().nodename},
        process=ProcessIdentity.of(os.getpid()),
        effects={"SIGINT": "stop"},
    )
    with held(folder) as is_locked:
        assert is_locked
        yield folder, record


def test_only_the_process_that_trains_is_signalled(training, tmp_path):
    folder, record = training
    assert signal_obstacle(folder, record) == ""
    mine = record.process
    doubts = [
        ({"process": None}, "its process is not known: run.json lacks it"),
        ({"is_locked": False}, "its file system has no locks"),
        ({"machine": {"host": "elsewhere"}}, r"it trains on another computer .*\(elsewhere\)"),
        ({"process": replace(mine, system="other boot")}, "it trains on another computer or"),
        ({"process": replace(mine, start=mine.start - 1)}, "its process has ended"),
        ({"process": ProcessIdentity.of(os.getppid())}, "does not have the run folder open"),
        ({"state": "finished"}, "it does not train: it is finished"),
    ]
    for change, reason in doubts:
        found = signal_obstacle(folder, replace(record, **change))
        assert re.search(reason, found), (change, found)
    other = tmp_path / "other"
    other.mkdir()
    assert signal_obstacle(other, record) == "its process has ended"  # nobody has locked it
    with held(other):
        assert signal_obstacle(other, record) == ""


def test_a_lock_is_tried_again_while_a_reader_looks(tmp_path):
    """A board that looks at a run folder does not keep a training from locking it."""
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_SH)
    timer = threading.Timer(0.02, os.close, [handle])
    timer.start()
    with held(tmp_path) as is_locked:
        assert is_locked
    timer.join()


def test_a_run_of_an_earlier_version(board):
    """run.json without process and effects is read, and the run can be resumed."""
    folder = board.folder / "project" / "runs" / "old"
    folder.mkdir(parents=True)
    values = {"command": ["train", "solver.prototxt"], "folder": "/elsewhere/project"}
    values |= {"state": "stopped", "snapshot": {"state": "s_iter_3.solverstate"}}
    (folder / "run.json").write_text(json.dumps(values))
    actions = board.get("run/control?run=project/runs/old")[1]
    assert (actions["stop"], actions["resume"]) == ("it does not train: it is stopped", "")
    status, job = board.post("run/resume?run=project/runs/old")
    assert (status, job["folder"]) == (201, "project")
    error = state_of(board, job["id"], "failed")["error"]
    assert "s_iter_3.solverstate" in error


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["get", "mnist"], "it was not started by train"),
        (["train", "/etc/solver.prototxt"], "not below the folder of this board"),
        (["train", "../../solver.prototxt"], "not below the folder of this board"),
        (["train", "solver.prototxt", "--flagfile=/etc/passwd"], "not below the folder"),
        (["train", "solver.prototxt", "--set=snapshot_prefix=/tmp/x"], "not below the folder"),
    ],
)
def test_a_command_from_elsewhere_is_not_resumed(board, command, reason):
    """run.json may have been written by somebody else."""
    folder = board.folder / "project" / "runs" / "evil"
    folder.mkdir(parents=True)
    values = {"command": command, "folder": str(board.folder / "project"), "state": "stopped"}
    values["snapshot"] = {"state": "s_iter_3.solverstate"}
    (folder / "run.json").write_text(json.dumps(values))
    status, answer = board.post("run/resume?run=project/runs/evil")
    assert status == 409
    assert reason in answer["error"] or "files of its command" in answer["error"]
    assert board.get("jobs")[1]["jobs"] == []


def test_a_training_by_the_form(board):
    status, projects = board.get("projects")
    assert status == 200
    assert projects["solvers"] == [["project/solver.prototxt", "project"]]
    values = {"solver_file": "project/solver.prototxt", "max_iter": "3", "base_lr": "0.5"}
    status, found = board.post("checks", {"values": {**values, "tensorboard": True}})
    assert (status, found["is_good"], found["errors"]) == (200, True, [])
    assert any(line.startswith("net ") for line in found["facts"])
    status, found = board.post("checks", {"values": {**values, "settings": ["base_lrr=3"]}})
    assert (status, found["is_good"]) == (200, False)
    assert 'no field "base_lrr"' in found["errors"][0]
    status, job = board.post("jobs", {"command": "train", "values": values})
    assert (status, job["command"], job["folder"]) == (
        201,
        "minicaffe train --max_iter=3 --set=base_lr=0.5 solver.prototxt",
        "project",
    )
    job = state_of(board, job["id"], "finished")
    assert job["run"] == "project/runs/solver-1"
    text = board.get(f"job/log?id={job['id']}&after=10")[1]
    assert text["text"].rstrip().endswith("Optimization Done.")
    assert board.get(f"job/log?id={job['id']}&after={text['next']}")[1]["text"] == ""
    assert (board.folder / job["run"] / "solver.prototxt").read_text().count("base_lr: 0.5")


def test_a_queue_over_http(board):
    values = {"solver_file": "project/solver.prototxt"}
    ids = []
    for seed in (1, 2, 3):
        status, job = board.post("jobs", {"command": "train", "values": {**values, "seed": seed}})
        assert status == 201
        ids.append(job["id"])
    state_of(board, ids[0], "running")
    status, answer = board.post("jobs/order", {"ids": ids[:0:-1]})
    assert [job["id"] for job in answer["jobs"]] == [ids[0], ids[2], ids[1]]
    assert board.delete(f"jobs?id={ids[2]}")[0] == 200
    assert board.delete(f"jobs?id={ids[2]}")[0] == 409
    assert board.post("jobs", {"again": ids[2]})[1]["id"] == ids[2] + 1
    assert board.delete(f"jobs?id={ids[2]}&forget=1")[0] == 200
    assert board.delete("jobs?id=99")[0] == 404
    assert board.get("job/log?id=99")[0] == 404


def test_a_board_is_killed_while_a_training_runs(own_board):
    board = own_board
    body = {"command": "train", "values": {"solver_file": "project/solver.prototxt"}}
    board.post("jobs", body)
    job = until(lambda: (one := state_of(board, 1, "running"))["run"] and one, "a run")
    board.process.kill()
    board.process.wait()
    record = read_record(board.folder / job["run"])
    assert record.process.is_alive
    with served("board", board.folder) as (_, url):
        found = request(f"{url}/api/jobs")[1]["jobs"]
        assert [(one["state"], one["run"]) for one in found] == [("running", job["run"])]
        assert request(f"{url}/api/run/stop?run={job['run']}", "POST")[0] == 202
        until(lambda: not record.process.is_alive, "the end")
        until(lambda: request(f"{url}/api/jobs")[1]["jobs"][0]["state"] == "stopped", "stopped")


def test_a_board_that_only_shows(board, train):
    process, name = train()
    with served("board", board.folder, "--no_control") as (_, url):
        reason = "this board only shows: it was started with --no_control"
        for method, route in (
            ("POST", f"run/stop?run={name}"),
            ("POST", f"run/resume?run={name}"),
            ("POST", "jobs"),
            ("DELETE", "jobs?id=1"),
            ("POST", "jobs/order"),
            ("POST", "checks"),
        ):
            assert request(f"{url}/api/{route}", method) == (403, {"error": reason})
        assert request(f"{url}/api/run/control?run={name}")[1]["stop"] == reason
        assert not request(f"{url}/api/jobs")[1]["is_allowed"]
    assert process.poll() is None


def test_pages_of_other_sites_change_nothing(board, train):
    process, name = train()
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert board.post(f"run/stop?run={name}", **headers)[0] == 403
        assert board.post("jobs", {"command": "train"}, **headers)[0] == 403
    assert process.poll() is None


@pytest.mark.parametrize("path", ["..", "/etc", "project/../..", "\0", "link"])
def test_paths_outside_of_the_folder(board, tmp_path, path):
    link = board.folder / "link"
    link.symlink_to(tmp_path)
    for body in (
        {"command": "train", "values": {"solver_file": f"{path}/solver.prototxt"}},
        {"command": "new", "values": {"directory": f"{path}/pets", "images": "project"}},
        {"command": "new", "values": {"directory": "pets", "images": path}},
        {"command": "train", "folder": path, "values": {"solver_file": "project/solver.prototxt"}},
    ):
        status, answer = board.post("jobs", body)
        assert status in (400, 404), body
        assert "below the folder" in answer["error"] or "control characters" in answer["error"]
    assert board.get("jobs")[1]["jobs"] == []
    link.unlink()


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[" * 100000,
        b"[]",
        b'{"again": "x"}',
        b'{"again": -1}',
        b'{"again": 1e999}',
        b'{"command": 3}',
        b'{"command": "train"}',
        b'{"command": "train", "values": []}',
        b'{"command": "train", "values": {"solver_file": [1]}}',
        b'{"command": "train", "values": {"solver_file": {"a": 1}}}',
        b'{"command": "get", "values": {}}',
        b'{"command": "train", "values": {"solver_file": "x", "nonsense": "1"}}',
        b'{"command": "train", "folder": 3, "values": {"solver_file": "x"}}',
        b'{"command": "new", "values": {"directory": "\\ud800", "images": "project"}}',
    ],
)
def test_bodies_that_are_wrong(board, body):
    asked = urllib.request.Request(f"{board.url}/api/jobs", body, method="POST")
    with pytest.raises(urllib.error.HTTPError) as found:
        urllib.request.urlopen(asked)
    with found.value as error:
        assert error.code in (400, 404), error.read()
        assert json.loads(error.read())["error"]


def test_jobs_of_a_board_that_only_shows(tmp_path, capfd):
    assert run_command("board", [str(tmp_path), "--jobs=2", "--no_control"]) == 2
    assert "--jobs and --no_control exclude each other; give one of them" in capfd.readouterr().err
    assert run_command("board", [str(tmp_path), "--jobs=0"]) == 2
    assert "0 is too small; it must be at least 1" in capfd.readouterr().err
