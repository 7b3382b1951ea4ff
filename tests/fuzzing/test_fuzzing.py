"""Earlier findings stay fixed; random inputs of every target are read or refused."""

from __future__ import annotations

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fuzzing.mutations import change_bytes, change_list, change_text
from fuzzing.runner import PREPARED, Finding, files_of, fuzz, lay_out, prepared
from fuzzing.target import TARGETS, Target

ROOT = Path(__file__).parents[2]
PAST = sorted(path for path in Path(__file__).with_name("past").glob("*/*") if path.is_dir())


@pytest.mark.parametrize("folder", PAST, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_past_finding_is_fixed(folder):
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    with prepared(folder.parent.name) as target:
        PREPARED["past"] = replace(target, make=lambda rng, number: files)
        assert not list(map(str, fuzz("past", 1, 0, 1)))


def test_an_input_depends_on_target_seed_and_number_only():
    with prepared("net_text") as target:
        first = files_of(target, "net_text", 1, 5)
        assert first == files_of(target, "net_text", 1, 5)
        assert first != files_of(target, "net_text", 2, 5)
        assert first != files_of(target, "net_text", 1, 6)


@pytest.mark.parametrize("number", range(200))
def test_changes_accept_any_data(number):
    rng = random.Random(number)
    for data in (b"", b"a", bytes(100)):
        change_bytes(data, rng)
    for text in ("", "a", "layer { dim: 1 }"):
        change_text(text, rng, ["x { y: 2 }"])
    change_list("a 1\n", rng, ["b"])


def test_crashes_hangs_tracebacks_and_memory_are_found(monkeypatch, tmp_path):
    """Each kind of finding once, and the inputs after it are still run."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fuzzing.runner.TIMEOUT_S", 2.0)
    monkeypatch.setattr("fuzzing.runner.MOST_BYTES", 100 << 20)
    programs = {
        0: "import os; os.abort()",
        1: "pass",
        2: "import time; time.sleep(60)",
        3: "raise KeyError('x')",
        4: "bytearray(200 << 20)[::4096] = bytes(51200)",
    }

    def make(rng: random.Random, number: int) -> dict[str, bytes]:
        return {"program.py": programs[number].encode()}

    def run(target: Target) -> str:
        try:
            exec(Path("program.py").read_text())
        except KeyError as error:
            return f"KeyError: {error}"
        return ""

    monkeypatch.setattr("fuzzing.runner.run_commands", run)
    monkeypatch.setitem(PREPARED, "own", Target(make, []))
    found = [(f.number, f.kind) for f in fuzz("own", 1, 0, 5)]
    assert found == [(0, "crash"), (2, "hang"), (3, "traceback"), (4, "memory")]


def test_outputs_of_earlier_inputs_are_removed(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    Path("db").mkdir()
    lay_out(Target(lambda rng, number: {}, [], ["db"]), {"sub/file": b"x"})
    assert not Path("db").exists()
    assert Path("sub/file").read_bytes() == b"x"


def test_a_finding_says_how_to_repeat_it():
    text = str(Finding("lmdb", 3, 17, "crash", "SIGSEGV"))
    assert text == "crash: scripts/fuzz --target lmdb --seed 3 --one 17\n    SIGSEGV"


def test_command_repeats_an_input():
    words = [sys.executable, "-m", "fuzzing", "--target", "net_text", "--one", "3"]
    run = subprocess.run(words, cwd=ROOT / "tests", capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("q.prototxt: ")
    assert "$ minicaffe upgrade_net_proto_text q.prototxt out.prototxt" in run.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TARGETS))
def test_random_inputs_are_read_or_refused(name):
    with prepared(name) as target:
        PREPARED[name] = target
        found = fuzz(name, seed=1, first=0, count=60)
    assert not list(map(str, found))
