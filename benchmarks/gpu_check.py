"""Everything that only a machine with an NVIDIA GPU can show, in one run that leaves one JSON file.

    scripts/gpu_check result.json
    scripts/gpu_check --wheels folder result.json

The second is for machines that reach no package index. The folder is filled on another one, for
the python of the first:

    pip download -d folder --python-version 3.12 --only-binary :all: ".[gpu]" pytest

Where PyTorch is there, so are NVIDIA's libraries, 1.5 GB: of the wheels nvidia_* only that of
nvidia_cudnn_frontend is then wanted. A file too large to be sent may come in parts, which are put
together in the order of their names:

    split -b 60M cupy_cuda13x-14.2.0-cp312-cp312-manylinux2014_x86_64.whl{,.part}

The parts run one after another, each in a process of its own and with a time of its own; one that
fails does not stop the next. In the file each part is "passed", "failed" or "not run", with what it
found or the end of what it printed. The exit status is 0 if all passed.

Nothing but the standard library is needed to begin: what is missing is installed first. PyTorch is
not: where the python has none for CUDA, the benchmarks have no peer.
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
# For a part that has had its time and is asked to stop.
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
        Of python. The word {out} stands for a file that the part writes.
    limit_s : float
        It is ended after so many seconds, or when the whole run has had its time.
    result : str
        What says how it went: the "last line" printed, the file as "json", or as "junit".
    """

    name: str
    arguments: tuple[str, ...]
    limit_s: float
    result: str = "last line"


def own(name: str, limit_s: float) -> Part:
    """Return a part that `gpu_parts` has."""
    return Part(name, ("-m", "benchmarks.gpu_parts", name), limit_s)


# What other packages, of other versions than the tests know, warn of is no failure of a card.
TESTS = ("-m", "pytest", "-q", "-W", "default", "-m", "gpu", "--junitxml={out}")
TEST_FOLDERS = ("tests/layers", "tests/models", "tests/solver")
TABLE = ("-m", "benchmarks.gpu", "--json={out}", "--seconds=1")
PARTS = (
    # Libraries of 1.5 GB are read from the disk for the first time.
    own("device", 120),
    own("basics", 60),
    own("graphs", 60),
    Part("tests", (*TESTS, *TEST_FOLDERS), 150, "junit"),
    own("resume", 40),
    own("lenet", 60),
    Part("benchmarks", (*TABLE, "--variants", "eager", "channels_last", "graph"), 240, "json"),
    own("orders", 60),
)


def missing(requirements: Sequence[str]) -> list[str]:
    """Return those requirements of which no version is installed."""
    found = []
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        try:
            importlib.metadata.version(name[0] if name else requirement)
        except importlib.metadata.PackageNotFoundError:
            found.append(requirement)
    return found


def install(extra: str, wheels: str) -> dict[str, Any]:
    """Install what is missing, each by itself; return the entry for the file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"][extra], "pytest>=8.3"]
    if wheels:
        put_together(Path(wheels))
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
    """Return why pip has failed, in a line."""
    lines = [line for line in printed.splitlines() if line.strip()] or [""]
    if any("externally-managed-environment" in line for line in lines):
        return (
            "this python belongs to the system. Make one of your own: python3 -m venv "
            "--system-site-packages venv; PYTHON=venv/bin/python scripts/gpu_check ..."
        )
    return lines[-1]


def put_together(folder: Path) -> None:
    """Make the files of a folder of which there are parts, NAME.part*."""
    names = {part.name.rpartition(".part")[0] for part in folder.glob("*.part*")}
    for name in names:
        with (folder / name).open("wb") as whole:
            for part in sorted(folder.glob(f"{name}.part*")):
                whole.write(part.read_bytes())


def run_part(part: Part, seconds: float, more: Sequence[str] = ()) -> dict[str, Any]:
    """Run a part for at most so many seconds; return its entry in the file."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        arguments = [a.replace("{out}", str(out)) for a in (*part.arguments, *more)]
        command = [sys.executable, *arguments]
        code, printed = _run(command, min(part.limit_s, seconds), environment())
        # A table or a list of tests that is cut off is worth keeping, and no success.
        entry: dict[str, Any] = {"state": PASSED if code == 0 else FAILED}
        entry["seconds"] = round(time.monotonic() - began, 1)
        try:
            entry["found"] = _found(part, out, printed)
        except (OSError, ValueError, IndexError, ElementTree.ParseError):
            entry["state"] = FAILED
    tail = printed.splitlines()[-TAIL:]
    if code is None:
        ended = f"ended after {entry['seconds']:g} s; what was found until then counts"
        entry["message"] = "\n".join([ended, *tail])
    elif entry["state"] == FAILED:
        entry["message"] = "\n".join(tail)
    return entry


@functools.cache
def environment() -> dict[str, str]:
    """Return the environment of all parts.

    They keep plans and compiled kernels for one another: where the home cannot be written, in
    another one, which goes with the process.
    """
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    # Of pytest's plugins none is needed, and any may be there.
    found = {**os.environ, "PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    try:
        with tempfile.TemporaryFile(dir=Path.home()):
            return found
    except (OSError, RuntimeError):  # the latter: there is none
        home = tempfile.mkdtemp(prefix="gpu_check_")
        atexit.register(shutil.rmtree, home, ignore_errors=True)
        return {**found, "HOME": home}


def _run(command: list[str], seconds: float, environment: dict[str, str]) -> tuple[int | None, str]:
    """Run a command; return status (None: it was ended) and what it printed."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        printed = process.communicate(timeout=max(seconds, 0))[0]
    except subprocess.TimeoutExpired:
        return None, _end(process)
    except KeyboardInterrupt:
        # In a session of its own it does not hear of Ctrl-C, and would keep the card busy.
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return process.returncode, printed


def _end(process: subprocess.Popen[str]) -> str:
    """End a process that has had its time, and return what it printed.

    Asked to stop, pytest still writes what it has found so far.
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
    """Return how many tests there were, and which of them failed."""
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
    """Run the parts, and write the file anew after each.

    Without a usable card (the first part fails) the others are not run.
    """
    end = time.monotonic() + total_s
    entries: dict[str, dict[str, Any]] = {part.name: {"state": NOT_RUN} for part in parts}
    for k, part in enumerate(parts):
        left = end - time.monotonic()
        if left <= 0:
            entries[part.name]["message"] = "the whole run had no time left"
        else:
            peer = [f"--peer-python={peer_python}"] if part.name == "benchmarks" else []
            entries[part.name] = run_part(part, left, peer)
        entry = entries[part.name]
        print(f"{part.name}: {entry['state']} ({entry.get('seconds', 0):g} s)", flush=True)
        report = {"python": sys.version, "installed": installed, "parts": entries}
        path.write_text(json.dumps(report, indent=1) + "\n")
        if k == 0 and entry["state"] == FAILED:
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
    args = parser.parse_args(argv)
    try:
        # Now, not when eight minutes of results are to be kept.
        args.result.touch()
    except OSError as error:
        parser.error(f"{args.result} cannot be written: {error.strerror}")
    try:
        return _install_and_check(args)
    except KeyboardInterrupt:
        print(f"stopped by Ctrl-C; {args.result} has what was finished", file=sys.stderr)
        return 130


def _install_and_check(args: argparse.Namespace) -> int:
    began = time.monotonic()
    installed = install(args.extra, args.wheels)
    peer = args.peer_python
    if peer is None:
        peer = sys.executable if importlib.util.find_spec("torch") else ""
    left = args.seconds - (time.monotonic() - began)
    entries = check(PARTS, peer, left, args.result, installed)
    first = entries[PARTS[0].name]
    if first["state"] == FAILED:
        print(first.get("message", "no answer").splitlines()[-1], file=sys.stderr)
    return 0 if all(entry["state"] == PASSED for entry in entries.values()) else 1


if __name__ == "__main__":
    raise SystemExit(main())
