"""The command line of scripts/fuzz."""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import signal
import sys
import time
from contextlib import ExitStack, chdir
from pathlib import Path

from fuzzing.runner import PREPARED, Finding, files_of, fuzz, lay_out, prepared
from fuzzing.target import TARGETS
from minicaffe import log
from minicaffe.cli.main import main as run_minicaffe

_INPUTS_A_TURN = 20


def main() -> int:
    """Run what the arguments ask for; return 1 if there are findings."""
    flags = _parser().parse_args()
    names = flags.target or sorted(TARGETS)
    if flags.list:
        for name in names:
            print(f"{name:14} {(TARGETS[name].__doc__ or '').strip()}")
        return 0
    if flags.one is not None:
        return sum(_run_one(name, flags.seed, flags.one, flags.keep) for name in names)
    found = run_all(names, flags.seed, flags.seconds, flags.first)
    for finding in found:
        print(finding)
    return 1 if found else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/fuzz", description="Read files that are changed at random."
    )
    parser.add_argument(
        "--target", action="append", choices=sorted(TARGETS), help="may be repeated; default: all"
    )
    parser.add_argument("--seconds", type=float, default=120, help="how long (default: 120)")
    parser.add_argument("--seed", type=int, default=1, help="other inputs (default: 1)")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--one", type=int, metavar="N", help="run input N only, with its messages")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="with --one: copy its files")
    parser.add_argument("--list", action="store_true", help="list the targets")
    return parser


def run_all(names: list[str], seed: int, seconds: float, first: int = 0) -> list[Finding]:
    """Run inputs of all targets in turn until the time is over, and print the numbers of inputs."""
    found: list[Finding] = []
    counts = dict.fromkeys(names, 0)
    end = time.monotonic() + seconds
    with ExitStack() as stack:
        folders = {}
        for name in names:
            with log.suppress_info():
                PREPARED[name] = stack.enter_context(prepared(name))
            folders[name] = Path.cwd()
        for name in itertools.cycle(names):
            if time.monotonic() > end:
                break
            with chdir(folders[name]):
                found += fuzz(name, seed, first + counts[name], _INPUTS_A_TURN)
            counts[name] += _INPUTS_A_TURN
    print(f"{sum(counts.values())} inputs, {len(found)} findings:", end=" ")
    print(", ".join(f"{count} {name}" for name, count in counts.items()), flush=True)
    return found


def _run_one(name: str, seed: int, number: int, keep: Path | None) -> int:
    keep = keep and keep.resolve()
    with prepared(name) as target:
        files = files_of(target, name, seed, number)
        lay_out(target, files)
        for path, data in files.items():
            print(f"{path}: {len(data)} bytes: {data[:2000]!r}", flush=True)
            if keep:
                (keep / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, keep / path)
        child = os.fork()  # so that a crash can be reported
        if not child:
            signal.alarm(60)
            for words in target.commands:
                print("$ minicaffe", *words, flush=True)
                print("exit code", run_minicaffe(list(words)), flush=True)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print("ended well" if code == 0 else f"ended with {code}")
    return int(code != 0)


if __name__ == "__main__":
    sys.exit(main())
