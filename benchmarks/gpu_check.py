"""Run every check that needs an NVIDIA GPU and write the results to one JSON file.

    scripts/gpu_check result.json
    scripts/gpu_check --wheels folder result.json

The second form is for machines without access to a package index. Fill the folder on another
machine, for the Python of the first:

    pip download -d folder --python-version 3.12 --only-binary :all: ".[gpu]" pytest

PyTorch includes NVIDIA's libraries (1.5 GB): with PyTorch, only nvidia_cudnn_frontend of the wheels
nvidia_* is needed. A file that is too large for a transfer may be split; its parts are joined in
the order of their names:

    split -b 60M cupy_cuda13x-14.2.0-cp312-cp312-manylinux2014_x86_64.whl{,.part}

The parts run one after another, each in a separate process with its own time limit and its own
cache of cuDNN plans; a failure does not stop the next part, except that of "device". In the file
each part is "passed", "failed" or "not run", with its findings or the end of its output. The exit
status is 0 if all passed. Single parts:

    scripts/gpu_check --only device --only basics result.json
    scripts/gpu_check --skip benchmarks result.json

Only the standard library is needed to start: missing packages are installed first, except PyTorch.
Without PyTorch for CUDA, the benchmarks have no peer.
"""

from __future__ import annotations

import argparse
import atexit
import functools
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
TOTAL_S = 465
# Time to stop for a part that has exceeded its limit.
GRACE_S = 5
TAIL = 40
PASSED, FAILED, NOT_RUN = "passed", "failed", "not run"


@dataclass(frozen=True)
class Part:
    """One check.

    Parameters
    ----------
    name : str
    arguments : tuple of str
        Of Python. {out} is replaced by the path of a file that the part writes.
    limit_s : float
        Time limit, besides that of the whole run.
    result : str
        Source of the findings: the "last line" printed, or the file as "json" or "junit".
    is_needed : bool
        Whether no other part can pass if this one fails.
    """

    name: str
    arguments: tuple[str, ...]
    limit_s: float
    result: str = "last line"
    is_needed: bool = False


def own(name: str, limit_s: float, is_needed: bool = False) -> Part:
    """Return a part of `gpu_parts`."""
    return Part(name, ("-m", "benchmarks.gpu_parts", name), limit_s, is_needed=is_needed)


# Warnings of other versions of packages are not failures of the GPU.
TESTS = ("-m", "pytest", "-q", "-W", "default", "-m", "gpu", "--junitxml={out}")
# Loaded by name, because other plugins are not loaded: see `environment`.
PROCESSES = ("-p", "xdist", "-n", "8")
TEST_FOLDERS = ("tests/layers", "tests/models", "tests/solver")
TABLE = ("-m", "benchmarks.gpu", "--json={out}", "--seconds=1", "--from-lmdb=")
# The nets and PyTorch's rows that fit the time limit; `benchmarks.gpu` measures all.
TABLE_ROWS = ("--nets", "lenet", "resnet50", "alexnet", "--variants", "eager", "graph")
PARTS = (
    # Reads libraries of 1.5 GB from the disk for the first time.
    own("device", 120, is_needed=True),
    own("basics", 60),
    own("graphs", 60),
    Part("tests", (*TESTS, *PROCESSES, *TEST_FOLDERS), 120, "junit"),
    own("resume", 40),
    own("lenet", 60),
    Part("benchmarks", (*TABLE, *TABLE_ROWS), 250, "json"),
    own("orders", 50),
)


def missing(requirements: Sequence[str]) -> list[str]:
    """Return the requirements of which no version is installed."""
    found = []
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        try:
            importlib.metadata.version(name[0] if name else requirement)
        except importlib.metadata.PackageNotFoundError:
            found.append(requirement)
    return found


def install(extra: str, wheels: str) -> dict[str, Any]:
    """Install missing packages one by one; return the entry for the file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"][extra]]
    needed += ["pytest>=8.3", "pytest-xdist>=3.6"]
    if wheels:
        join_files(Path(wheels))
    source = ["--no-index", "--find-links", wheels] if wheels else []
    entry: dict[str, Any] = {"state": PASSED, "found": {}}
    for requirement in missing(needed):
        print(f"Installing {requirement} ...", flush=True)
        command = [sys.executable, "-m", "pip", "install", "--quiet", *source, requirement]
        run = subprocess.run(command, capture_output=True, text=True)
        entry["found"][requirement] = _reason(run.stderr) if run.returncode else "installed"
        if run.returncode:
            entry["state"] = FAILED
            print(f"  {entry['found'][requirement]}", flush=True)
    return entry


def _reason(printed: str) -> str:
    """Return the reason of pip's failure, in one line."""
    lines = [line for line in printed.splitlines() if line.strip()] or [""]
    if any("externally-managed-environment" in line for line in lines):
        return (
            "this Python belongs to the system. Create a virtual environment: python3 -m venv "
            "--system-site-packages venv; PYTHON=venv/bin/python scripts/gpu_check ..."
        )
    return lines[-1]


def join_files(folder: Path) -> None:
    """Join the split files of a folder, NAME.part*."""
    names = {part.name.rpartition(".part")[0] for part in folder.glob("*.part*")}
    for name in names:
        with (folder / name).open("wb") as whole:
            for part in sorted(folder.glob(f"{name}.part*")):
                whole.write(part.read_bytes())


def run_part(part: Part, seconds: float, more: Sequence[str] = ()) -> dict[str, Any]:
    """Run a part with a time limit in seconds; return its entry in the file."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        arguments = [a.replace("{out}", str(out)) for a in (*part.arguments, *more)]
        command = [sys.executable, *arguments]
        # A plan that was timed while another process kept the GPU busy must not decide a benchmark.
        given = {**environment(), "MINICAFFE_CACHE": str(Path(folder) / "plans")}
        code, printed = _run(command, min(part.limit_s, seconds), given)
        # An incomplete table or list of tests is recorded, but counts as failed.
        entry: dict[str, Any] = {"state": PASSED if code == 0 else FAILED}
        entry["seconds"] = round(time.monotonic() - began, 1)
        try:
            entry["found"] = _found(part, out, printed)
        except (OSError, ValueError, IndexError, ElementTree.ParseError):
            entry["state"] = FAILED
    tail = printed.splitlines()[-TAIL:]
    if code is None:
        ended = f"ended after {entry['seconds']:g} s; the findings until then are listed"
        entry["message"] = "\n".join([ended, *tail])
    elif entry["state"] == FAILED:
        entry["message"] = "\n".join(tail)
    return entry


@functools.cache
def environment() -> dict[str, str]:
    """Return the environment of all parts.

    They share the cache of compiled kernels in the home folder. If that is not writable, a
    temporary one replaces it.
    """
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    # No plugin of pytest is needed, and unknown ones may be installed.
    found = {**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    try:
        with tempfile.TemporaryFile(dir=Path.home()):
            return found
    except (OSError, RuntimeError):  # RuntimeError: there is no home folder
        home = tempfile.mkdtemp(prefix="gpu_check_")
        atexit.register(shutil.rmtree, home, ignore_errors=True)
        return {**found, "HOME": home}


def _run(command: list[str], seconds: float, environment: dict[str, str]) -> tuple[int | None, str]:
    """Run a command; return its status (None: it exceeded the limit) and its output."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        preexec_fn=_accept_interrupts,
    )
    try:
        printed = process.communicate(timeout=max(seconds, 0))[0]
    except subprocess.TimeoutExpired:
        return None, _end(process)
    except KeyboardInterrupt:
        # The process is in another session, gets no Ctrl-C, and would keep the GPU busy.
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, printed


def _accept_interrupts() -> None:
    """Undo an ignored SIGINT, which commands in the background of a shell inherit."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _end(process: subprocess.Popen[str]) -> str:
    """End a process that has exceeded its limit, and return its output.

    On SIGINT, pytest still writes its results.
    """
    os.killpg(process.pid, signal.SIGINT)
    try:
        return process.communicate(timeout=GRACE_S)[0]
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0]


def _found(part: Part, out: Path, printed: str) -> Any:
    if part.result == "json":
        return json.loads(out.read_text())
    if part.result == "junit":
        return _tests(out)
    return json.loads([line for line in printed.splitlines() if line.startswith("{")][-1])


def _tests(out: Path) -> dict[str, Any]:
    """Return the numbers of tests, and the failed ones."""
    suites = list(ElementTree.parse(out).getroot().iter("testsuite"))
    counts = {
        kind: sum(int(suite.get(kind, 0)) for suite in suites)
        for kind in ("tests", "failures", "errors", "skipped")
    }
    failed = {
        f"{case.get('classname')}::{case.get('name')}": str(found.get("message"))[:400]
        for suite in suites
        for case in suite.iter("testcase")
        for found in (*case.iter("failure"), *case.iter("error"))
    }
    return {**counts, "failed": failed}


def check(
    parts: Sequence[Part],
    peer_python: str,
    total_s: float,
    path: Path,
    installed: dict[str, Any],
) -> dict[str, dict[str, Any]]:
    """Run the parts; rewrite the file after each.

    If a part fails that the others need (no usable GPU), these are not run.
    """
    end = time.monotonic() + total_s
    entries: dict[str, dict[str, Any]] = {part.name: {"state": NOT_RUN} for part in parts}
    for part in parts:
        left = end - time.monotonic()
        if left <= 0:
            entries[part.name]["message"] = "the time limit of the whole run was reached"
        else:
            peer = [f"--peer-python={peer_python}"] if part.name == "benchmarks" else []
            entries[part.name] = run_part(part, left, peer)
        entry = entries[part.name]
        print(f"{part.name}: {entry['state']} ({entry.get('seconds', 0):g} s)", flush=True)
        report = {"python": sys.version, "installed": installed, "parts": entries}
        path.write_text(json.dumps(report, indent=1) + "\n")
        if part.is_needed and entry["state"] == FAILED:
            break
    return entries


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, install, check."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("result", type=Path, metavar="FILE", help="the JSON file to write")
    parser.add_argument("--extra", default="gpu", help="of pyproject.toml (%(default)s)")
    parser.add_argument("--wheels", default="", metavar="FOLDER", help="with what to install")
    parser.add_argument("--peer-python", default=None, help="python that has PyTorch for CUDA")
    parser.add_argument("--seconds", type=float, default=TOTAL_S, help="for all (%(default)g)")
    names = [part.name for part in PARTS]
    for flag, text in (("--only", "run only this part; repeatable"), ("--skip", "leave it out")):
        parser.add_argument(
            flag, action="append", choices=names, default=[], metavar="PART", help=text
        )
    args = parser.parse_args(argv)
    parts = selected(args.only, args.skip)
    if not parts:
        parser.error(f"no part is left; the parts are {', '.join(names)}")
    try:
        # Fail now, not after eight minutes of measurements.
        args.result.touch()
    except OSError as error:
        parser.error(f"{args.result} cannot be written: {error.strerror}")
    try:
        return _install_and_check(args, parts)
    except KeyboardInterrupt:
        print(f"stopped by Ctrl-C; {args.result} has the finished parts", file=sys.stderr)
        return 130


def selected(only: Sequence[str], skip: Sequence[str]) -> list[Part]:
    """Return the parts named by `only` (empty: all), without those named by `skip`."""
    return [part for part in PARTS if (not only or part.name in only) and part.name not in skip]


def _install_and_check(args: argparse.Namespace, parts: Sequence[Part]) -> int:
    began = time.monotonic()
    installed = install(args.extra, args.wheels)
    peer = args.peer_python
    if peer is None:
        peer = sys.executable if importlib.util.find_spec("torch") else ""
    left = args.seconds - (time.monotonic() - began)
    entries = check(parts, peer, left, args.result, installed)
    for part in parts:
        entry = entries[part.name]
        if part.is_needed and entry["state"] == FAILED:
            print(entry.get("message", "no answer").splitlines()[-1], file=sys.stderr)
    return 0 if all(entry["state"] == PASSED for entry in entries.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
