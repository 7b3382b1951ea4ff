"""Commands in several processes: what each rank prints, and how an error of one rank ends all."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NoReturn, cast

from minicaffe import log
from minicaffe.cli.program.failures import Failures, exit_code_of
from minicaffe.distributed.launch import Launch, detected_launch, find_mpiexec
from minicaffe.distributed.processes import process_communicator
from minicaffe.errors import CommunicationError, MinicaffeError, MissingPackage, UsageError

if TYPE_CHECKING:  # imports NumPy, which --help must not
    from minicaffe.distributed.mpi import MpiCommunicator

# Seconds that a rank waits for the others in one call, 0 for ever.
TIMEOUT = "MINICAFFE_RANK_TIMEOUT_S"
_TIMEOUT_S = 600.0
# So much later than the rank before it: the first one that ends ends all, and prints alone, because
# this is longer than a period of `Waits.watch` and `MpiCommunicator.abort` together.
_STAGGER_S = 1.0
_LAST_STAGGERED = 40
# How long a rank with an error waits for the same error of all others, such as a missing file.
_PATIENCE_S = 2.0

_JOB = "minicaffe.cli.job"
_ADVICE = "pip install 'minicaffe[gpu-multi]'"


def prints_for_all() -> bool:
    """Return whether this process prints what all would print: it is rank 0, or alone."""
    launch = detected_launch()
    return launch is None or launch.is_root


def restrict_output() -> None:
    """Let a process print warnings and errors only, with its rank, unless that is 0.

    Its standard output is the null device.
    """
    launch = detected_launch()
    if launch is None or launch.is_root:
        return
    log.to_stderr()
    log.name_rank(launch.rank)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def program_of_rank(program: str) -> str:
    """Return the name of a program's log files, which is another one for each rank but 0."""
    launch = detected_launch()
    return program if launch is None or launch.is_root else f"{program}.rank{launch.rank}"


def refuse_ranks(launch: Launch, command: str) -> NoReturn:
    """Raise UsageError, because a command cannot divide its work."""
    raise UsageError(
        f"{launch.launcher} started {launch.size or 'several'} processes, but {command} runs in "
        f"one process. Leave {launch.launcher} out; train is the command that divides its work."
    )


def start_ranks(n: int, is_program: bool) -> NoReturn:
    """Replace this process by mpiexec, which runs the same command in n processes.

    Parameters
    ----------
    n : int
        Number of GPUs.
    is_program : bool
        Whether the command is all that the process was started for.

    Raises
    ------
    MissingPackage
        If mpi4py or mpiexec is missing.
    UsageError
        If the process must not be replaced, because a program called the command, or it is a job of
        the board.
    """
    if not is_program or _JOB in sys.orig_argv:
        raise UsageError(
            f"--gpu names {n} GPUs, and this process cannot become several. Start this training "
            f"from a shell (mpiexec -n {n} minicaffe train ...), or name one GPU; iter_size: {n} "
            f"times as large makes the updates that Caffe makes on {n}."
        )
    mpiexec = find_mpiexec()
    has_mpi = importlib.util.find_spec("mpi4py") is not None
    if mpiexec is None or not has_mpi:
        missing = "package mpi4py" if not has_mpi else "mpiexec"
        raise MissingPackage(
            f"--gpu names {n} GPUs, and training on several needs {missing}, which is missing: "
            f"{_ADVICE}. Or name one GPU; iter_size: {n} times as large makes the updates that "
            f"Caffe makes on {n}."
        )
    log.logger.info(f"Starting {n} processes, one for each GPU: mpiexec -n {n}")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.execv(mpiexec, [mpiexec, "-n", str(n), sys.executable, *sys.orig_argv[1:]])


def run_rank(launch: Launch, work: Callable[[], int], failures: Failures) -> int:
    """Run a command as one of several ranks and return its exit code.

    If all ranks fail with the same error, it is raised on rank 0 as if there were one process, and
    the others return its exit code. Otherwise each rank that fails prints ``rank R on HOST:`` with
    the reason, and all processes end.

    Parameters
    ----------
    launch : Launch
    work : callable
        Returns the exit code.
    failures : Failures
    """
    try:
        communicator = process_communicator()
    except MinicaffeError as error:
        if launch.is_first_here:
            raise
        return exit_code_of(error)
    if communicator.size == 1:
        return work()
    ranks = _Ranks(cast("MpiCommunicator", communicator), failures)
    ranks.watch(_timeout_s())
    threading.excepthook = ranks.end_after_thread
    try:
        return work()
    except BaseException as error:
        return ranks.end_together(error)


def _timeout_s() -> float:
    """Return the time that a rank waits for the others, from the environment."""
    text = os.environ.get(TIMEOUT, "")
    try:
        seconds = float(text) if text else _TIMEOUT_S
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise UsageError(f"{TIMEOUT}={text}: must be a number of seconds, or 0 for no limit")
    return seconds


class _Ranks:
    """Ends all ranks after an error of one.

    Parameters
    ----------
    communicator : MpiCommunicator
    failures : Failures
    """

    def __init__(self, communicator: MpiCommunicator, failures: Failures) -> None:
        self._communicator, self._failures = communicator, failures
        self._meeting = communicator.duplicate()
        self._rank = communicator.rank

    def watch(self, timeout_s: float) -> None:
        """End all ranks when this one has been waiting for too long, unless the time is 0."""
        late_s = min(self._rank, _LAST_STAGGERED) * _STAGGER_S
        error = CommunicationError(
            f"has waited for the other processes for {timeout_s:g} s: one of them hangs or is very "
            f"slow, or the network is interrupted ({TIMEOUT} sets the time, 0 for no limit)."
        )
        if timeout_s:
            act = partial(self._end, error, str(error), error.exit_code)
            self._communicator.waits.watch(timeout_s + late_s, act)

    def end_together(self, error: BaseException) -> int:
        """Return the exit code if all ranks fail; raise the error on rank 0 if it is the same."""
        text, code = self._failures.message_of(error), exit_code_of(error)
        if not self._all_fail():
            self._end(error, text, code)
        texts = self._meeting.allgather(text)
        if texts.count(texts[0]) == len(texts):
            if self._rank == 0:
                raise error
            return code
        if text not in texts[: self._rank]:
            self._print(error, text)
        return code

    def end_after_thread(self, args: threading.ExceptHookArgs) -> None:
        """End all ranks, because an exception ended a thread of this one."""
        error = args.exc_value
        if isinstance(error, SystemExit) or error is None:
            return
        name = args.thread.name if args.thread is not None else "unknown"
        self._end(error, f"thread {name}: {self._failures.message_of(error)}", exit_code_of(error))

    def _all_fail(self) -> bool:
        """Return whether every other rank comes here as well, within some time."""
        if not self._communicator.allows_threads:  # one may be waiting in MPI
            return False
        try:
            return self._meeting.meets_within(_PATIENCE_S)
        except MinicaffeError:
            return False

    def _end(self, error: BaseException, text: str, code: int) -> None:
        self._print(error, text)
        self._meeting.abort(code or 1)

    def _print(self, error: BaseException, text: str) -> None:
        if self._failures.has_traceback(error):
            traceback.print_exception(error)
        for line in f"rank {self._rank} on {platform.node()}: {text}".split("\n"):
            log.log_rank_error(line)
