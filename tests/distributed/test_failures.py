"""Trainings of which a rank is killed, stopped or cut off: they end, say why, and resume."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from lmdb_training import last_snapshot, train_words, weights_in, write_training
from machines import machines
from mpi_ranks import TIMEOUT_S, rank_environment
from random_kills import kill_often

from minicaffe.cli.program.ranks import TIMEOUT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc"),
]
MOST_SECONDS = 10  # between a failure and the end of the job
N_RANKS, ENDLESS = 4, 10**8
SETTINGS = "snapshot: 5 keep_last: 2 display: 10"
# The weights do not depend on the number of ranks then.
FLAGS = ("--summation_parts=4", "--batch_size=total")
# Rank and process, which stays the same when the shell becomes minicaffe.
NAMED = ("sh", "-c", 'echo $$ > "$0/$PMI_RANK"; exec "$@"')


class Training:
    """A training in a folder, on four machines."""

    def __init__(self, folder, four):
        self.folder, self.four = folder, four
        self.solver = write_training(folder, SETTINGS)
        self.started = []

    def start(self, max_iter=ENDLESS, **variables):
        words = train_words(self.solver, *FLAGS, "--resume=auto", f"--max_iter={max_iter}")
        process = subprocess.Popen(
            self.four.mpiexec(*NAMED, str(self.folder), *words),
            env=rank_environment(**variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def signal(self, rank, kind):
        os.kill(int((self.folder / str(rank)).read_text()), kind)

    def wait_for_snapshot(self, process):
        """Return when a further one is complete."""
        first, end = last_snapshot(self.folder)[0], time.monotonic() + TIMEOUT_S
        while last_snapshot(self.folder)[0] <= first:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < end
            time.sleep(0.01)

    def resume(self):
        """Go on for some iterations after the last snapshot."""
        process = self.start(last_snapshot(self.folder)[0] + 7)
        out, _ = process.communicate(timeout=TIMEOUT_S)
        assert process.returncode == 0, out

    def compare_with_one_process(self):
        """Train in one process up to the same iteration; the weights must be the same."""
        iteration, state = last_snapshot(self.folder)
        alone = self.folder / "alone" / "s"
        words = train_words(self.solver, *FLAGS, f"--max_iter={iteration}")
        words += ["--set", f"snapshot_prefix={alone}", "--set", "snapshot=0"]
        subprocess.run(
            words, env=rank_environment(), check=True, capture_output=True, timeout=TIMEOUT_S
        )
        found = weights_in(self.solver, state)
        wanted = weights_in(self.solver, last_snapshot(alone.parent)[1])
        for own, other in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(own, other)


@pytest.fixture
def training(tmp_path):
    with machines(N_RANKS, tmp_path) as four:
        created = Training(tmp_path, four)
        yield created
        for process in created.started:  # of a test that failed
            process.kill()


def test_a_training_resumes_after_a_killed_rank(training):
    process = training.start()
    training.wait_for_snapshot(process)
    training.signal(2, signal.SIGKILL)
    out, _ = process.communicate(timeout=MOST_SECONDS)
    assert process.returncode != 0
    assert f"RUNNING AT {training.four.addresses[2]}" in out, out
    assert "EXIT CODE: 9" in out
    training.resume()
    training.compare_with_one_process()


def test_a_training_resumes_after_a_cut_link(training):
    process = training.start(**{TIMEOUT: "2"})
    training.wait_for_snapshot(process)
    training.four.cut(3)
    out, _ = process.communicate(timeout=MOST_SECONDS)
    assert process.returncode != 0
    messages = [line for line in out.splitlines() if "has waited for the other processes" in line]
    assert len(messages) == 1, out
    assert "rank 0 on " in messages[0]
    training.four.reconnect(3)
    training.resume()
    training.compare_with_one_process()


def test_a_training_goes_on_after_a_rank_that_was_stopped(training):
    process = training.start()
    training.wait_for_snapshot(process)
    training.signal(1, signal.SIGSTOP)
    time.sleep(1.5)
    at = last_snapshot(training.folder)[0]
    time.sleep(0.5)
    assert last_snapshot(training.folder)[0] == at
    training.signal(1, signal.SIGCONT)
    training.wait_for_snapshot(process)
    training.signal(3, signal.SIGTERM)
    out, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0, out
    training.compare_with_one_process()


def test_random_kills_leave_complete_snapshots(tmp_path):
    assert "the same weights as without kills" in kill_often(tmp_path, 2, seed=1)
