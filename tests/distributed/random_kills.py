"""Kill processes of a training at random moments, and check what is left each time.

    PYTHONPATH=tests/distributed python -m random_kills --kills=100
    PYTHONPATH=tests/distributed python -m random_kills --kills=20 --machines=4     # as root

Two processes, or one on each of several network namespaces, train a small net and write a snapshot
every third iteration. Rank 0 or 1, mpiexec or all processes are killed (SIGKILL) at a random moment
between the start and some seconds of training, and the training goes on from the last snapshot.
After each kill the job must end in time and leave no rank, and every .solverstate must be complete.
The last weights must be those of a training that nothing disturbed. Linux only, because processes
are found in /proc.

If mpiexec of MPICH 5.0.2 is killed within about 0.1 s after the start on several machines, the
helpers that it has started there (hydra_pmi_proxy) may wait for it for ever. They have no ranks and
take no time; the program counts and ends them.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from lmdb_training import last_snapshot, train_words, weights_in, write_training
from machines import machines
from mpi_ranks import mpiexec, rank_environment

SETTINGS = "snapshot: 3 keep_last: 3 display: 0"
# A job that has not ended so long after a kill hangs.
LIMIT_S = 10.0
# So much later than the first snapshot, or the start, a kill comes at most.
LONGEST_S = 1.5
START_LIMIT_S = 120.0
ENDLESS = 10**8
# Puts mpiexec before a command.
Launch: TypeAlias = Callable[..., list[str]]
VICTIMS = ("rank 0", "rank 1", "mpiexec", "all")
# In the environment of all processes of a job.
JOB = "MINICAFFE_KILLED_JOB"


class Job:
    """A training under mpiexec, and its processes.

    Parameters
    ----------
    command : sequence of str
        mpiexec and what it starts.
    log : Path
        Where the output is appended.
    """

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self._mark = f"{os.getpid()}.{time.monotonic_ns()}"
        with log.open("a") as output:
            self._launcher = subprocess.Popen(
                command,
                env=rank_environment(**{JOB: self._mark}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def processes(self) -> dict[int, str]:
        """Return the rank of each process that runs, "" of others, by process id."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
            except OSError:  # it has ended
                continue
            environment = dict(word.partition("=")[::2] for word in words)
            if environment.get(JOB) == self._mark:
                found[int(folder.name)] = environment.get("PMI_RANK", "")
        return found

    def kill(self, victim: str) -> None:
        """Kill one of `VICTIMS`; if a rank does not run yet, its launcher."""
        processes = self.processes()
        if victim == "all":
            chosen = list(processes)
        elif victim == "mpiexec":
            chosen = [self._launcher.pid]
        else:
            rank = victim.removeprefix("rank ")
            chosen = [pid for pid, found in processes.items() if found == rank]
        for pid in chosen or [self._launcher.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def wait(self, limit_s: float) -> int:
        """Return the exit code after the end of all processes; the job must end within a limit."""
        end = time.monotonic() + limit_s
        while (is_running := self._launcher.poll() is None) or self.processes():
            if time.monotonic() > end:
                left = self.processes()
                self.kill("all")
                self._launcher.wait()
                if is_running or any(left.values()):
                    raise SystemExit(f"The job has not ended after {limit_s:g} s: {left}")
                print(f"mpiexec has left {len(left)} processes without ranks")
                break
            time.sleep(0.02)
        return self._launcher.returncode

    def has_ended(self) -> bool:
        """Return whether mpiexec has ended."""
        return self._launcher.poll() is not None


def launch_here(*words: str) -> list[str]:
    """Return the command that starts two processes on this machine."""
    return [mpiexec(), "-n", "2", *words]


def kill_once(folder: Path, solver: Path, draw: random.Random, launch: Launch) -> tuple[str, float]:
    """Train and kill; return the victim and the time until all processes have ended, seconds."""
    first, _ = last_snapshot(folder)
    words = train_words(solver, "--resume=auto", f"--max_iter={ENDLESS}")
    job = Job(launch(*words), folder / "log")
    victim, trains = draw.choice(VICTIMS), draw.random() < 0.75
    end = time.monotonic() + START_LIMIT_S
    while trains and last_snapshot(folder)[0] == first:
        if time.monotonic() > end or job.has_ended():
            job.kill("all")
            raise SystemExit(f"The job does not train; see {folder / 'log'}")
        time.sleep(0.01)
    time.sleep(draw.uniform(0, LONGEST_S))
    began = time.monotonic()
    job.kill(victim)
    code = job.wait(LIMIT_S)
    if not code:
        raise SystemExit(f"{victim} was killed, and the exit code is 0")
    return victim, time.monotonic() - began


def check_snapshots(folder: Path, solver: Path) -> int:
    """Read every snapshot; return their number."""
    states = list(folder.glob("*.solverstate"))
    for state in states:
        weights_in(solver, state)
    return len(states)


def compare_with_undisturbed(folder: Path, solver: Path, launch: Launch) -> int:
    """Train to an end, and from the beginning as well; return the number of iterations."""
    end = last_snapshot(folder)[0] + 5
    found = []
    for name in ("disturbed", "undisturbed"):
        flags = ["--resume=auto"]
        if name == "undisturbed":
            flags = ["--set", f"snapshot_prefix={folder / 'whole' / 's'}", "--set", "snapshot=0"]
        job = Job(launch(*train_words(solver, f"--max_iter={end}", *flags)), folder / "log")
        if code := job.wait(3600):
            raise SystemExit(f"The {name} training failed with exit code {code}")
        at = folder / "whole" if name == "undisturbed" else folder
        found.append(weights_in(solver, at / f"s_iter_{end}.solverstate"))
    for own, other in zip(*found, strict=True):
        np.testing.assert_array_equal(own, other)
    return end


def kill_often(folder: Path, n: int, seed: int, launch: Launch = launch_here) -> str:
    """Kill a training n times and compare its weights; return what was found."""
    draw = random.Random(seed)
    solver = write_training(folder, SETTINGS)
    seconds = collections.defaultdict(list)
    for k in range(n):
        victim, lapse_s = kill_once(folder, solver, draw, launch)
        seconds[victim].append(lapse_s)
        n_states = check_snapshots(folder, solver)
        print(
            f"{k + 1}: {victim} killed, end after {lapse_s:.2f} s, {n_states} snapshots", flush=True
        )
    end = compare_with_undisturbed(folder, solver, launch)
    lines = [
        f"{victim} killed {len(found)} times: end after {np.median(found):.2f} s, at most "
        f"{max(found):.2f} s"
        for victim, found in sorted(seconds.items())
    ]
    return "\n".join([*lines, f"{end} iterations: the same weights as without kills"])


def main() -> None:
    """Kill as often as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=100, help="number of kills (%(default)d)")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers (%(default)d)")
    parser.add_argument(
        "--machines", type=int, default=1, help="network namespaces of one process each"
    )
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="minicaffe-kills-"))
    print(f"Folder: {folder} (kept if something fails)", flush=True)
    if args.machines > 1:
        with machines(args.machines, folder) as several:
            print(kill_often(folder, args.kills, args.seed, several.mpiexec))
    else:
        print(kill_often(folder, args.kills, args.seed))
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
