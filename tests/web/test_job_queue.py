"""The queue of jobs: order, ends of all kinds, killed boards, damaged files, full disks."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from job_board import ENDLESS, SOLVER, end_jobs, until, write_training

from minicaffe.cli.job_forms import COMMANDS
from minicaffe.errors import DataError, MinicaffeError
from minicaffe.runs.process import ProcessIdentity
from minicaffe.runs.record import read_record
from minicaffe.web.board.folder import BoardFolder
from minicaffe.web.jobs.queue import JobQueue, JobRefused
from minicaffe.web.jobs.runner import JobRunner
from minicaffe.web.jobs.status import status_of
from minicaffe.web.jobs.store import JobStore

ROOT = Path(__file__).parents[2]
TRAIN = ["train", "solver.prototxt"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with an endless training; its jobs are killed at the end."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    root = tmp_path / "board"
    write_training(root)
    yield root
    end_jobs(root)


@pytest.fixture
def open_queue(folder):
    """A function that opens the queue as a board does."""
    opened = []

    def opens():
        opened.append(JobQueue(BoardFolder(folder), COMMANDS))
        return opened[-1]

    yield opens
    end_jobs(folder)
    for queue in opened:
        queue.close()


@pytest.fixture
def queue(open_queue):
    return open_queue()


def reaches(queue, number, state, limit=1):
    """Look after the queue until a job is in a state; return the job."""

    def look():
        queue.look_after(limit)
        job = queue.job(number)
        return job if job.state == state else None

    return until(look, f"job {number} {state}")


def begins(queue):
    """Look after the queue until the process of the first job is known; return the job."""

    def look():
        queue.look_after(1)
        return queue.job(1) if queue.job(1).process else None

    return until(look, "a process")


def begins_to_train(queue, folder, number=1, limit=1):
    """Look after the queue until a job has a run with some iterations; return the job."""
    job = reaches(queue, number, "running", limit)

    def look():
        queue.look_after(limit)
        found = queue.job(number)
        is_there = found.run and read_record(folder / found.run).iteration > 2
        assert found.state == "running", found.error
        return found if is_there else None

    job = until(look, "a run")
    assert job.process == read_record(folder / job.run).process
    return job


def test_jobs_run_one_after_another(queue, folder):
    (folder / "solver.prototxt").write_text(SOLVER % 3)
    first = queue.enqueue(TRAIN, folder)
    second = queue.enqueue(["train", "--seed=2", "solver.prototxt"], folder)
    queue.look_after(1)
    assert [job.state for job in queue.jobs()] == ["running", "waiting"]
    assert reaches(queue, first.number, "finished").exit_code == 0
    assert reaches(queue, second.number, "finished").run == "runs/solver-2"
    assert read_record(folder / "runs/solver-1").state == "finished"


def test_several_jobs_at_a_time(queue, folder):
    for seed in (1, 2, 3):
        queue.enqueue(["train", f"--seed={seed}", "solver.prototxt"], folder)
    queue.look_after(2)
    assert [job.state for job in queue.jobs()] == ["running", "running", "waiting"]


def test_the_same_job_is_not_added_twice(queue, folder):
    queue.enqueue(TRAIN, folder)
    with pytest.raises(JobRefused, match="job 1 is the same and is waiting"):
        queue.enqueue(TRAIN, folder)


def test_order_cancel_and_start_again(queue, folder):
    for seed in (1, 2, 3):
        queue.enqueue(["train", f"--seed={seed}", "solver.prototxt"], folder)
    queue.order([3, 99, 1])
    assert [job.number for job in queue.jobs()] == [3, 1, 2]
    queue.cancel(1)
    assert queue.job(1).state == "stopped"
    with pytest.raises(JobRefused, match="job 1 has ended: it is stopped"):
        queue.cancel(1)
    again = queue.repeat(1)
    assert (again.number, again.words) == (4, queue.job(1).words)
    queue.remove_ended(1)
    with pytest.raises(DataError, match="no job 1"):
        queue.job(1)
    with pytest.raises(JobRefused, match="job 2 is waiting; cancel it first"):
        queue.remove_ended(2)


def test_cancelling_a_training_writes_a_snapshot(queue, folder):
    queue.enqueue(TRAIN, folder)
    job = begins_to_train(queue, folder)
    job.process.send(signal.SIGSTOP)  # its iteration takes long
    queue.cancel(1)
    with pytest.raises(JobRefused, match="job 1 is stopping already"):
        queue.cancel(1)
    job.process.send(signal.SIGCONT)
    assert reaches(queue, 1, "stopped").exit_code == 0
    record = read_record(folder / job.run)
    assert record.state == "stopped"
    assert (folder / record.snapshot["state"]).is_file()


def test_a_training_that_is_stopped_in_a_terminal(queue, folder):
    queue.enqueue(TRAIN, folder)
    begins_to_train(queue, folder).process.send(signal.SIGTERM)
    assert reaches(queue, 1, "stopped").exit_code == 0


def test_a_command_that_ends_before_it_is_cancelled(queue, folder):
    (folder / "solver.prototxt").write_text(SOLVER % 2)
    queue.enqueue(TRAIN, folder)
    process = begins(queue).process
    until(lambda: not process.is_alive, "the end")
    with pytest.raises(JobRefused, match="job 1 has ended: it is finished"):
        queue.cancel(1)
    queue.look_after(1)
    assert queue.job(1).state == "finished"


def test_cancelling_what_ignores_signals(queue, folder):
    """Kill is left."""
    flags = ["--sigint_effect=none", "--sigterm_effect=none", "--sighup_effect=none"]
    queue.enqueue(["train", *flags, "solver.prototxt"], folder)
    begins_to_train(queue, folder)
    with pytest.raises(JobRefused, match="job 1: its training ignores signals; kill it"):
        queue.cancel(1)
    queue.cancel(1, at_once=True)
    assert reaches(queue, 1, "stopped").exit_code == -signal.SIGKILL


def test_the_message_of_a_command_that_fails(queue, folder):
    queue.enqueue(["train", "--set=base_lrr=1", "solver.prototxt"], folder)
    queue.enqueue(["new", "pets", "missing"], folder)
    assert 'has no field "base_lrr"' in reaches(queue, 1, "failed").error
    job = reaches(queue, 2, "failed")
    assert (job.exit_code, job.error.partition(";")[0]) == (
        1,
        f"missing: no such folder or table (in {folder})",
    )


def test_a_job_that_is_killed(queue, folder):
    queue.enqueue(TRAIN, folder)
    begins_to_train(queue, folder).process.send(signal.SIGKILL)
    job = reaches(queue, 1, "failed")
    assert job.error == "killed by SIGKILL, as the system does when memory runs out"
    assert read_record(folder / job.run).state == "killed"


def test_an_exception_of_the_users_code(queue, folder):
    (folder / "broken.py").write_text(
        "import caffe\nclass Broken(caffe.Layer):\n"
        "    def setup(self, bottom, top): raise ValueError('the user is wrong')\n"
    )
    with (folder / "net.prototxt").open("a") as net:
        net.write(
            'layer { name: "x" type: "Python" bottom: "ip" top: "x" '
            'python_param { module: "broken" layer: "Broken" } }'
        )
    queue.enqueue(TRAIN, folder)
    job = reaches(queue, 1, "failed")
    assert job.exit_code == 1
    assert "the user is wrong" in job.error


def test_a_board_that_ends_leaves_its_jobs(open_queue, folder):
    """The next board finds them, and learns how they end though it is not their parent."""
    (folder / "solver.prototxt").write_text(SOLVER % ENDLESS)
    first = open_queue()
    first.enqueue(TRAIN, folder)
    first.enqueue(["train", "--seed=2", "--max_iter=2", "solver.prototxt"], folder)
    job = begins_to_train(first, folder)
    first.close()
    second = open_queue()
    second.look_after(1)
    assert [one.state for one in second.jobs()] == ["running", "waiting"]
    assert second.job(1).process == job.process
    second.cancel(1)
    assert reaches(second, 1, "stopped").exit_code == 0
    assert reaches(second, 2, "finished").exit_code == 0


def test_a_board_that_is_killed_between_start_and_note(open_queue, folder):
    """The job runs, jobs.json says that it waits: it does not begin twice."""
    first = open_queue()
    first.enqueue(TRAIN, folder)
    before = (folder / ".minicaffe" / "jobs.json").read_bytes()
    begins_to_train(first, folder)
    (folder / ".minicaffe" / "jobs.json").write_bytes(before)
    second = open_queue()
    assert second.job(1).state == "waiting"
    for _ in range(3):
        second.look_after(5)
    assert second.job(1).state == "running"
    assert [path.name for path in (folder / "runs").iterdir()] == ["solver-1"]


def test_a_job_that_has_ended_unseen(open_queue, folder):
    """Its process wrote the exit code, and jobs.json still says that it waits."""
    (folder / "solver.prototxt").write_text(SOLVER % 2)
    first = open_queue()
    first.enqueue(TRAIN, folder)
    before = (folder / ".minicaffe" / "jobs.json").read_bytes()
    ended = reaches(first, 1, "finished").ended
    (folder / ".minicaffe" / "jobs.json").write_bytes(before)
    second = open_queue()
    second.look_after(1)
    job = second.job(1)
    assert (job.state, job.run) == ("finished", "runs/solver-1")
    assert job.ended == ended
    assert [path.name for path in (folder / "runs").iterdir()] == ["solver-1"]


def test_a_computer_that_was_switched_off(open_queue, folder):
    """jobs.json says that the job runs, and nobody knows how it has ended."""
    queue = open_queue()
    queue.enqueue(TRAIN, folder)
    store = JobStore(folder)
    with store.changing() as book:
        book.jobs[0].state = "running"
        book.jobs[0].process = ProcessIdentity(1, 1, "another boot")
    queue.look_after(1)
    assert (queue.job(1).state, queue.job(1).error) == (
        "failed",
        "killed, or the computer was switched off",
    )


def test_a_job_of_another_computer(open_queue, folder):
    """Its lock is seen on a shared disk, and its process cannot be told anything."""
    queue = open_queue()
    queue.enqueue(TRAIN, folder)
    begins_to_train(queue, folder)
    path = JobStore(folder).status_path(1)
    handle = os.open(path, os.O_RDWR)
    status = status_of(handle)
    replace(status, process=replace(status.process, system="another boot")).write_into(handle)
    queue.look_after(1)
    for at_once in (False, True):
        with pytest.raises(JobRefused, match="job 1 runs on another computer"):
            queue.cancel(1, at_once=at_once)
    assert not queue.job(1).is_cancelled
    status.write_into(handle)
    os.close(handle)
    queue.look_after(1)


def test_the_thread_of_a_board(queue, folder, monkeypatch, caplog_minicaffe):
    """It starts jobs, and an error does not end it."""
    (folder / "solver.prototxt").write_text(SOLVER % 1)
    problems = [MinicaffeError("the disk is full"), RuntimeError("a fault")]
    seen = []
    look_after = queue.look_after

    def look(limit):
        seen.append(queue.problem)
        if problems:
            raise problems.pop(0)
        look_after(limit)

    monkeypatch.setattr(queue, "look_after", look)
    queue.enqueue(TRAIN, folder)
    with JobRunner(queue, 1):
        until(lambda: queue.job(1).state == "finished", "the job")
    assert seen[1:3] == [
        "the disk is full",
        "internal error; the log of the board has the details",
    ]
    assert queue.problem == ""
    assert "the queue of jobs: the disk is full" in caplog_minicaffe.text


def test_two_boards_start_a_job_once(open_queue, folder):
    for seed in range(4):
        open_queue().enqueue(["train", f"--seed={seed}", "--max_iter=1", "solver.prototxt"], folder)
    queues = [open_queue() for _ in range(3)]
    ready = threading.Barrier(len(queues))
    problems = []

    def look(queue):
        try:
            ready.wait()
            for number in (1, 2, 3, 4):
                reaches(queue, number, "finished", limit=2)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=look, args=[queue]) for queue in queues]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len(list((folder / "runs").iterdir())) == 4
    assert sorted(job.run for job in queues[0].jobs()) == [f"runs/solver-{n}" for n in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"following": 2, "jobs": [{"number": 1}], "stopping": []}', "\0" * 99]
)
def test_a_damaged_queue(open_queue, folder, caplog_minicaffe, text):
    """The file is kept; the jobs that had begun are known, those that waited are lost."""
    queue = open_queue()
    queue.enqueue(TRAIN, folder)
    queue.enqueue(["train", "--seed=2", "solver.prototxt"], folder)
    job = begins_to_train(queue, folder)
    path = folder / ".minicaffe" / "jobs.json"
    path.write_text(text)
    other = open_queue()
    assert other.jobs() == []
    added = other.enqueue(["train", "--seed=3", "solver.prototxt"], folder)
    assert added.number == 2
    other.look_after(1)
    assert [one.state for one in other.jobs()] == ["running", "waiting"]
    assert (other.job(1).process, other.job(1).words) == (job.process, TRAIN)
    (damaged,) = path.parent.glob("jobs.damaged-*.json")
    assert damaged.read_text() == text
    assert f"{path}: damaged; it is kept as {damaged.name}" in caplog_minicaffe.text


def test_a_full_disk(queue, folder, monkeypatch):
    """The job runs to its end, and its end is noted when there is space again."""
    (folder / "solver.prototxt").write_text(SOLVER % 2)
    queue.enqueue(TRAIN, folder)

    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("minicaffe.web.jobs.launch.JobStatus.write_into", full)
        queue.look_after(1)
    assert queue.problem == "job 1 cannot be started: No space left on device"
    assert queue.job(1).state == "waiting"
    with monkeypatch.context() as patch:
        patch.setattr("minicaffe.atomic_file.os.fsync", full)
        with pytest.raises(MinicaffeError, match=r"jobs\.json cannot be written: No space left"):
            queue.look_after(1)
        assert queue.job(1).state == "waiting"
        with pytest.raises(MinicaffeError, match=r"jobs\.json cannot be written: No space left"):
            queue.enqueue(["train", "--seed=2", "solver.prototxt"], folder)
    assert reaches(queue, 1, "finished").run == "runs/solver-1"
    assert [path.name for path in (folder / "runs").iterdir()] == ["solver-1"]
    assert queue.problem == ""


def test_a_folder_that_cannot_be_written(folder):
    (folder / ".minicaffe").write_text("a file")
    queue = JobQueue(BoardFolder(folder), COMMANDS)
    queue.look_after(1)  # there are no jobs, so that nothing has to be written
    with pytest.raises(MinicaffeError, match=r"\.minicaffe: cannot be written: File exists"):
        queue.enqueue(TRAIN, folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_the_queue_of_another_user_is_not_run(queue, folder):
    queue.enqueue(TRAIN, folder)
    os.chown(folder / ".minicaffe", 65534, -1)
    with pytest.raises(MinicaffeError, match="belongs to another user, whose jobs are not run"):
        queue.look_after(1)


def test_a_queue_from_elsewhere_runs_known_commands_in_the_folder(queue, folder, tmp_path):
    queue.enqueue(TRAIN, folder)
    path = folder / ".minicaffe" / "jobs.json"
    values = json.loads(path.read_text())
    first = values["jobs"][0]
    values["jobs"] = [
        {**first, "number": 1, "words": ["get", "mnist"]},
        {**first, "number": 2, "folder": ".."},
    ]
    path.write_text(json.dumps(values))
    queue.look_after(2)
    assert queue.job(1).error == "no job may run the command get"
    assert queue.job(2).error == "..: no such folder below that of the board"


def test_modules_of_the_folder_do_not_replace_those_of_python(queue, folder):
    (folder / "solver.prototxt").write_text(SOLVER % 1)
    (folder / "json.py").write_text("raise RuntimeError('imported')")
    queue.enqueue(TRAIN, folder)
    assert reaches(queue, 1, "finished").exit_code == 0


def test_a_job_does_not_listen_to_the_terminal_of_the_board(queue, folder):
    """Ctrl-C reaches the process group of the board only."""
    queue.enqueue(TRAIN, folder)
    job = begins_to_train(queue, folder)
    assert os.getsid(job.process.number) == job.process.number != os.getsid(0)


def test_old_jobs_are_removed(queue, folder, monkeypatch):
    monkeypatch.setattr("minicaffe.web.jobs.queue._MOST_KEPT", 2)
    for seed in range(4):
        queue.cancel(queue.enqueue(["train", f"--seed={seed}", "solver.prototxt"], folder).number)
    queue.enqueue(TRAIN, folder)
    assert [job.number for job in queue.jobs()] == [3, 4, 5]


def test_the_identity_of_a_process():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    known = ProcessIdentity.of(child.pid)
    assert known is not None
    assert known.is_alive
    earlier = ProcessIdentity(known.number, known.start - 1, known.system)
    elsewhere = ProcessIdentity(known.number, known.start, "another boot")
    for other in (earlier, elsewhere):
        assert not other.is_alive
        assert not other.send(signal.SIGKILL)
    assert child.poll() is None
    assert known.send(signal.SIGKILL)
    until(lambda: not known.is_alive, "the end")  # a process that its parent has not asked for yet
    child.communicate()
    assert ProcessIdentity.of(child.pid) is None
    assert not known.send(signal.SIGKILL)
