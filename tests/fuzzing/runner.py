"""Runs inputs in forked children with limits of time and memory, and reports findings."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from fuzzing.target import TARGETS, Files, Target

for _module in ("binary_targets", "image_targets", "prototxt_targets", "table_targets"):
    importlib.import_module(f"fuzzing.{_module}")

TIMEOUT_S = 10.0
MOST_BYTES = 2 << 30
_MOST_ADDRESSES = 6 << 30  # the libraries alone take more than one GiB of addresses
_MARK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Finding:
    """An input that is not read as it should be."""

    target: str
    seed: int
    number: int
    kind: str
    text: str

    def __str__(self) -> str:
        return (
            f"{self.kind}: scripts/fuzz --target {self.target} --seed {self.seed} "
            f"--one {self.number}\n    {self.text}"
        )


@contextmanager
def prepared(name: str) -> Iterator[Target]:
    """Prepare a target in a new folder, which is the current one until the end."""
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as folder, chdir(folder):
        yield TARGETS[name]()


def files_of(target: Target, name: str, seed: int, number: int) -> Files:
    """Return the files of an input: the same ones for the same arguments."""
    return target.make(random.Random(f"{name}/{seed}/{number}"), number)


def lay_out(target: Target, files: Files) -> None:
    """Write the files of an input into the current folder, and remove outputs of earlier ones."""
    for name in target.outputs:
        shutil.rmtree(name, ignore_errors=True)
    for name, data in files.items():
        path = Path(name)
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)  # not changed in place: it may be mapped
        path.write_bytes(data)


def run_commands(target: Target) -> str:
    """Run the commands; return the traceback of one that raised an error, "" if none did."""
    from minicaffe.cli.main import main

    for words in target.commands:
        try:
            main(list(words))
        except (Exception, SystemExit):
            return traceback.format_exc()
    return ""


def fuzz(name: str, seed: int, first: int, count: int) -> list[Finding]:
    """Run inputs `first` to ``first + count - 1`` in the current folder, prepared for the target.

    A child runs them one after the other. After an input that ends it, a new child runs the rest.
    """
    found: list[Finding] = []
    end = first + count
    while first < end:
        first = _run_in_child(name, seed, first, end, found)
    return found


def _run_in_child(name: str, seed: int, first: int, end: int, found: list[Finding]) -> int:
    """Run inputs in one child; return the number of the first that has not been run."""
    ours, theirs = multiprocessing.Pipe()
    child = os.fork()
    if not child:
        ours.close()
        _be_child(name, seed, range(first, end), theirs)
    theirs.close()
    number, how = first, ("", "")
    try:
        while number < end:
            if not ours.poll(TIMEOUT_S):
                how = ("hang", f"more than {TIMEOUT_S:g} s")
                os.kill(child, signal.SIGKILL)
                break
            kind, text = ours.recv()
            if kind:
                found.append(Finding(name, seed, number, kind, text))
            number += 1
    except EOFError:
        how = ("crash", "")
    finally:
        status = os.waitpid(child, 0)[1]
    if number == end:
        return end
    if how[0] == "crash" and os.WIFSIGNALED(status):
        how = ("crash", signal.Signals(os.WTERMSIG(status)).name)
    elif how[0] == "crash":
        how = ("crash", f"exit code {os.waitstatus_to_exitcode(status)}")
    found.append(Finding(name, seed, number, *how))
    return number + 1


def _be_child(name: str, seed: int, numbers: range, pipe: Connection) -> None:
    """Run inputs, send what each did, and exit."""
    code = 1
    with suppress(BaseException):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_ADDRESSES, _MOST_ADDRESSES))
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(os.open("stderr", os.O_RDWR | os.O_CREAT | os.O_TRUNC), 2)
        warnings.simplefilter("default")  # pytest makes them errors
        target = PREPARED[name]
        for number in numbers:
            lay_out(target, files_of(target, name, seed, number))
            pipe.send(_outcome(target))
        code = 0
    os._exit(code)


# The targets that are prepared, for children; each child inherits it.
PREPARED: dict[str, Target] = {}


def _outcome(target: Target) -> tuple[str, str]:
    """Run the commands; return kind and text of a finding, or two empty strings."""
    with suppress(OSError):  # where it cannot be reset, the highest peak counts
        Path("/proc/self/clear_refs").write_text("5")
    before = _peak_bytes()
    text = run_commands(target) or _traceback_on_stderr()
    if text:
        return "traceback", _shortened(text)
    grown = _peak_bytes() - before
    return ("memory", f"{grown >> 20} MiB") if grown > MOST_BYTES else ("", "")


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def _traceback_on_stderr() -> str:
    """Return what stderr, a file, holds since the last call, if that is a traceback."""
    sys.stderr.flush()
    size = os.lseek(2, 0, os.SEEK_CUR)
    text = os.pread(2, min(size, 100_000), max(0, size - 100_000)).decode(errors="replace")
    os.ftruncate(2, 0)
    os.lseek(2, 0, os.SEEK_SET)
    return text if _MARK in text else ""


def _shortened(text: str) -> str:
    """Return the last place of minicaffe in a traceback, and the error."""
    lines = text.strip().splitlines()
    places = [line.strip() for line in lines if f"{os.sep}minicaffe{os.sep}" in line]
    where = places[-1].rpartition(f"minicaffe{os.sep}")[2] if places else ""
    return json.dumps(f"{where}: {lines[-1][:200]}", ensure_ascii=False)
