"""Run the commands of the tutorial, page by page: run.py FOLDER [--small] [--show].

FOLDER receives the inputs of the pages (images, nets, the files of the course) and the outputs of
the commands. Each command runs on a terminal of its own, and every line that a page shows below it
must be in its output. --small divides the numbers of iterations; the figures on the pages need full
ones. --show prints the output instead of checking it.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import itertools
import os
import pty
import re
import runpy
import shlex
import shutil
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from minicaffe.cli.main import main as minicaffe

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("data/fashion-mnist/*.gz", "models/lenet/*.prototxt", "docs/tutorial/files/*")
SMALLER = 125
COLUMNS = 160
# The output of these commands depends on the processor, or on trained weights.
VARYING = re.compile(r" (check|train|test|predict|runs|find_lr|quantize|classification)\b|runs/")
CLASSES = (ROOT / "docs/tutorial/files/labels.txt").read_text().split()


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """Return the commands of a page's console blocks, each with the lines shown below it."""
    blocks = re.findall(r"^```console\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    found: list[tuple[str, list[str]]] = []
    for line in "".join(blocks).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def prepare(folder: Path, small: bool) -> None:
    """Copy the input files of the commands; with `small`, reduce the iterations of the solvers."""
    for pattern in NEEDED:
        for source in filter(Path.is_file, ROOT.glob(pattern)):
            target = folder / source.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    if small:
        for solver in folder.glob("docs/tutorial/files/*_solver.prototxt"):
            text = re.sub(r"(test_iter|display): \d+", r"\1: 1", solver.read_text())
            solver.write_text(fewer_iterations(text))


def fewer_iterations(text: str) -> str:
    """Divide numbers from 250 to 9999: on these pages and in these solvers they are iterations."""
    return re.sub(
        r"(?<![\d.])[1-9]\d{2,3}(?!\d)",
        lambda match: str(int(match[0]) // SMALLER) if int(match[0]) >= 250 else match[0],
        text,
    )


@contextlib.contextmanager
def terminal() -> Iterator[list[str]]:
    """Make stdout and stderr a terminal; yield a list that receives its lines at the end."""
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    shown, lines = bytearray(), list[str]()

    def read() -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            while data := os.read(parent, 65536):
                shown.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with (
            os.fdopen(child, "w", encoding="utf-8") as stream,
            contextlib.redirect_stdout(stream),
            contextlib.redirect_stderr(stream),
        ):
            yield lines
    finally:
        reader.join()
        os.close(parent)
        plain = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", shown.decode()).replace("\r\n", "\n")
        lines += [line.split("\r")[-1] for line in plain.split("\n")]


def run(command: str) -> list[str]:
    """Run one command and return the lines of its output.

    Python programs run in this process, because starting Python is slow.

    Raises
    ------
    RuntimeError
        If the command fails.
    """
    words = shlex.split(command)
    variables = dict(word.split("=", 1) for word in itertools.takewhile(_is_variable, words))
    program, *words = words[len(variables) :]
    code = 0
    with mock.patch.dict(os.environ, variables), terminal() as lines:
        if program == "cd":
            os.chdir(words[0])
        elif program == "python":
            sys.argv = words
            runpy.run_path(words[0], run_name="__main__")
        elif program == "minicaffe":
            code = minicaffe(words)
        else:
            finished = subprocess.run(
                command, shell=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            sys.stdout.write(finished.stdout)
            code = finished.returncode
    if code:
        raise RuntimeError("\n".join([f"failed: {command}", *lines[-20:]]))
    return lines


def _is_variable(word: str) -> bool:
    return re.match(r"\w+=", word) is not None


def check(command: str, expected: list[str], lines: list[str]) -> None:
    """Check that the lines of a page are in the output of a command, in this order.

    Where the output depends on the processor or on trained weights, numbers and the names of
    classes may differ.

    Raises
    ------
    RuntimeError
        If a line is missing.
    """
    left = iter([_compared(line, command) for line in lines])
    for line in expected:
        wanted = _compared(line, command)
        if line != "..." and not any(_shows(printed, wanted, command) for printed in left):
            raise RuntimeError("\n".join([f"{command}\nprinted no line {line!r}:", *lines]))


def _shows(printed: str, wanted: str, command: str) -> bool:
    # A table has one more column if weights are zero.
    return printed == wanted or bool(
        wanted and VARYING.search(command) and printed.startswith(wanted)
    )


def _compared(line: str, command: str) -> str:
    line = re.sub(r"^[IWE]\d{4} \S+ +\d+ \S+\] ", "", line)
    if VARYING.search(command):
        line = re.sub(r"\w+ backend: .*", "BACKEND", line)
        line = re.sub(rf"\b({'|'.join(CLASSES)})\b", "CLASS", line)
        line = re.sub(r"[-+]?[\d.,:]*\d[\d.,:]*(e[-+]\d+)?\*?", "#", line)
    return " ".join(line.split())


def main() -> None:
    """Run the commands of all pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--small", action="store_true")
    parser.add_argument(
        "--show", action="store_true", help="print the output instead of checking it"
    )
    args = parser.parse_args()
    prepare(args.folder, args.small)
    os.chdir(args.folder)
    os.environ["TERM"] = "xterm"
    for page in sorted(Path(__file__).resolve().parent.glob("0*.md")):
        for command, expected in commands(page):
            began = time.perf_counter()
            lines = run(fewer_iterations(command) if args.small else command)
            print(f"{page.stem}: {time.perf_counter() - began:.1f} s: {command}", flush=True)
            if args.show:
                print("\n".join(lines))
            else:
                check(command, expected, lines)


if __name__ == "__main__":
    main()
