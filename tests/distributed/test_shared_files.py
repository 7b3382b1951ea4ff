"""Files of several processes: snapshots on other machines, errors on several, run folders, logs."""

import json
import os
import re
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from thread_communicator import run_ranks

from minicaffe.runs.record import read_record
from minicaffe.schema import SolverParameter
from minicaffe.solver.parallel.agreement import Agreement
from minicaffe.solver.scores.output_scores import OutputScores
from minicaffe.solver.snapshots import files_of_root as module
from minicaffe.solver.snapshots.files_of_root import files_of_root
from minicaffe.solver.snapshots.sole_writer import sole_writer

FILES = ("s_iter_2.solverstate", "s_iter_2.solverstate.json", "s_iter_2.caffemodel")


def write_files(folder, size=10):
    folder.mkdir()
    for k, name in enumerate(FILES):
        (folder / name).write_bytes(bytes([k]) * (size + k))


def test_files_that_a_machine_lacks_are_copied_from_rank_0(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_CHUNK_BYTES", 4)
    write_files(tmp_path / "rank0")
    (tmp_path / "rank1").mkdir()
    write_files(tmp_path / "rank2", size=11)  # of another training

    def work(communicator):
        state = tmp_path / f"rank{communicator.rank}" / FILES[0]
        with files_of_root(communicator, state) as found:
            contents = [found.with_name(name).read_bytes() for name in FILES]
        return contents, found == state, found.exists()

    expected = [bytes([k]) * (10 + k) for k in range(3)]
    assert run_ranks(3, work) == [(expected, k == 0, k == 0) for k in range(3)]


def test_files_that_all_find_are_not_copied(tmp_path):
    write_files(tmp_path / "shared")
    state = tmp_path / "shared" / FILES[0]

    def work(communicator):
        with files_of_root(communicator, state) as found:
            return found

    assert run_ranks(2, work) == [state] * 2


def test_one_of_several_processes_writes_before_an_error(tmp_path):
    param = SolverParameter(snapshot_prefix=str(tmp_path / "s"))
    is_written, writers = threading.Event(), []
    state = tmp_path / "s_iter_3.solverstate"

    def work(communicator):
        with sole_writer(param, 3, is_alone=False) as is_missing:
            if is_missing:
                writers.append(communicator.rank)
                time.sleep(0.2)
                state.write_text("complete")
                is_written.set()
        return is_written.is_set()

    assert run_ranks(3, work) == [True] * 3
    assert len(writers) == 1
    assert [path.name for path in tmp_path.iterdir()] == [state.name]


def test_the_mark_of_a_process_that_was_killed_is_replaced(tmp_path):
    param = SolverParameter(snapshot_prefix=str(tmp_path / "s"))
    mark = tmp_path / ".s_iter_3.solverstate.writer"
    mark.write_text("host 1")
    os.utime(mark, (time.time() - 1000,) * 2)
    with sole_writer(param, 3, is_alone=False) as is_missing:
        assert is_missing
    assert not mark.exists()


class Outputs:
    """A net whose outputs are one number and rows of detections."""

    outputs, steps = (), ()

    def __init__(self, values):
        self.output_values = iter(values).__next__


def test_rows_of_detections_are_gathered_in_the_order_of_the_batches():
    """A rank without a batch has none."""
    rows = [np.full((1, 1, k + 1, 5), k, np.float32) for k in range(3)]

    def work(communicator):
        ranks = Agreement(communicator)
        scores = OutputScores(Outputs([]), "Integral")
        scores._rows = {0: []}
        own = ranks.own_part(3)
        scores._net = Outputs([[rows[k], np.float32(k)] for k in own])
        for k in own:
            scores.add(float(k))
        scores.combine(ranks)
        return np.concatenate(scores._rows[0])[:, 0].tolist(), scores._totals[1], scores.mean_loss

    assert run_ranks(4, work) == [([0, 1, 1, 2, 2, 2], 3, 1.0)] * 4


@pytest.fixture
def train_command(workdir, run_train):
    """A function that runs the command as several ranks."""
    net = Path("net.prototxt").read_text()
    start, end = net.index('layer { name: "x"'), net.index('layer { name: "data"')
    Path("net.prototxt").write_text(
        net[:start] + net[end:].replace("include { phase: TEST }", "").replace("mirror: true", "")
    )
    Path("solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 4 snapshot_prefix: "s" '
        "display: 2 test_interval: 2 test_iter: 3 "
    )

    def run(size, *words):
        return run_ranks(size, lambda c: run_train(c, "solver.prototxt", *words))

    return run


def test_the_run_folder_is_that_of_rank_0(train_command, capfd):
    assert train_command(2, "--batch_size=6:total", "--keep_best=accuracy") == [0, 0]
    (folder,) = Path("runs").iterdir()
    names = {path.name for path in folder.iterdir()}
    assert {"run.json", "log.txt", "log.txt.rank1", "best.caffemodel", "last.caffemodel"} <= names
    record = read_record(folder)
    assert (record.processes, record.images_per_iteration, record.state) == (2, 6, "finished")
    assert len(record.hosts) == 2
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in metrics if row["kind"] == "test"] == [0, 2, 4]
    log = (folder / "log.txt").read_text()
    assert "Effective batch size 6 = 2 x 3 (2 processes)" in log
    assert re.search(r"\] Optimization Done\.", (folder / "log.txt.rank1").read_text())


def test_rank_0_chooses_the_snapshot_to_go_on_from(train_command, capfd):
    assert train_command(1, "--no_run") == [0]
    settings = ["--max_iter=6", "--resume=auto", "--no_run", "--batch_size=2:total"]
    assert train_command(2, *settings) == [0, 0]
    assert Path("s_iter_6.solverstate").exists()
    side = json.loads(Path("s_iter_6.solverstate.json").read_text())
    assert (side["processes"], side["batch_size"]) == (2, 2)


def test_the_flag_no_run_writes_no_folder(train_command, capfd):
    assert train_command(2, "--no_run") == [0, 0]
    assert not Path("runs").exists()
