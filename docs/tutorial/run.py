"""Run the commands of the tutorial, page by page: run.py FOLDER [--small].

FOLDER receives the inputs of the pages (images, nets, the files of the course) and the outputs of
the commands. --small divides the numbers of iterations; the figures on the pages need full ones.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from minicaffe.cli.main import main as minicaffe

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("data/fashion-mnist/*.gz", "models/lenet/*.prototxt", "docs/tutorial/files/*")
COMMAND = re.compile(
    r"(?P<variables>(?:\w+=\S+ )*)(?P<words>.*?)(?: 2>&1 \| tee (?P<log>\S+))?", re.DOTALL
)
SMALLER = 125


def commands(page: Path) -> list[str]:
    """Return the lines of a page's console blocks that begin with $, without the $."""
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def prepare(folder: Path, small: bool) -> None:
    """Copy the input files of the commands; with `small`, reduce the iterations of the solvers."""
    for pattern in NEEDED:
        for source in filter(Path.is_file, ROOT.glob(pattern)):
            target = folder / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    if small:
        for solver in folder.glob("docs/tutorial/files/*_solver.prototxt"):
            text = re.sub(r"test_iter: \d+", "test_iter: 1", solver.read_text())
            solver.write_text(fewer_iterations(text))


def fewer_iterations(text: str) -> str:
    """Divide numbers from 250 to 9999: on these pages and in these solvers they are iterations."""
    return re.sub(
        r"(?<![\d.])[1-9]\d{2,3}(?!\d)",
        lambda match: str(int(match[0]) // SMALLER) if int(match[0]) >= 250 else match[0],
        text,
    )


@contextlib.contextmanager
def setting(variables: str, log: str | None) -> Iterator[None]:
    """Set environment variables; redirect the output to a file, if one is given."""
    before = dict(os.environ)
    os.environ.update(word.split("=", 1) for word in variables.split())
    try:
        with contextlib.ExitStack() as stack:
            if log:
                file = stack.enter_context(Path(log).open("w"))
                stack.enter_context(contextlib.redirect_stdout(file))
                stack.enter_context(contextlib.redirect_stderr(file))
            yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def run(command: str) -> None:
    """Run one command; Python programs run in this process, because starting Python is slow.

    Raises
    ------
    RuntimeError
        If the command fails.
    """
    parts = COMMAND.fullmatch(command)
    program, *words = shlex.split(parts["words"]) if parts else ("",)
    if parts is None or program not in ("minicaffe", "python"):
        # diff returns 1 if the files differ, which is not an error here.
        if subprocess.run(command, shell=True).returncode > (program == "diff"):
            raise RuntimeError(f"failed: {command}")
        return
    with setting(parts["variables"], parts["log"]):
        if program == "python":
            sys.argv = words
            runpy.run_path(words[0], run_name="__main__")
        elif minicaffe(words) != 0:
            raise RuntimeError(f"failed: {command}")


def main() -> None:
    """Run the commands of all pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true")
    args = parser.parse_args()
    prepare(args.folder, args.small)
    os.chdir(args.folder)
    for page in sorted(Path(__file__).resolve().parent.glob("0*.md")):
        for command in commands(page):
            began = time.perf_counter()
            run(fewer_iterations(command) if args.small else command)
            print(f"{page.stem}: {time.perf_counter() - began:.1f} s: {command}", flush=True)


if __name__ == "__main__":
    main()
