"""Measure how fast the board opens, and what it costs a training that it shows; print a table.

    python -m benchmarks.board

Run folders with many lines of metrics are written, and a board is started for each line of the
table. "First answer" is the time of the first request, for all runs. The lines about pages need
Debian's Chromium and the package playwright; their time ends when the last row, or all charts, are
drawn. Then LeNet trains with and without a client that receives what the board streams, in turns;
the board runs in a process of its own, and its processor time is that of the listening.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median

from benchmarks.table import HEAD, Row
from minicaffe.cli.main import run_command
from minicaffe.runs.record import RunRecord, ScoredIteration

ROOT = Path(__file__).parents[1]
CHROMIUM = Path("/usr/bin/chromium")
OPENING_S = 1.0  # that opening may take
SHARE = 0.01  # of a training that watching may cost
TEST_EVERY = 10  # lines
_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def write_runs(folder: Path, n_runs: int, n_lines: int) -> None:
    """Write runs with so many lines of metrics, of which each tenth is a test."""
    lines = []
    for k in range(n_lines):
        at = {"iteration": 10 * k, "epoch": round(k / 15, 4), "time": round(k * 0.11, 3)}
        if k % TEST_EVERY == 0:
            outputs = {"accuracy": round(0.9 - 0.8 / (1 + k / 50), 6), "loss": 2 / (1 + k)}
            lines.append({"kind": "test", **at, "net": 0, "outputs": outputs})
        else:
            loss = round(2.3 / (1 + k / 50), 6)
            values = {"lr": 0.01, "loss": loss, "outputs": {"loss": loss}, "images_per_s": 5800.12}
            lines.append({"kind": "train", **at, **values})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    record = RunRecord(
        state="finished",
        iteration=10 * n_lines,
        max_iter=10 * n_lines,
        seconds=n_lines * 0.11,
        started="2026-01-02T03:04:05+00:00",
        score={"output": "accuracy", "net": 0, "best": "max"},
        best=ScoredIteration(10 * (n_lines - 1), 0.9),
    )
    for k in range(n_runs):
        run = folder / "runs" / f"lenet-{k + 1}"
        run.mkdir(parents=True)
        (run / "metrics.jsonl").write_text(text)
        record.write_to(run)


@contextmanager
def board(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a board; yield its process and its URL."""
    command = [sys.executable, "-m", "minicaffe", "board", str(folder), "--port=0"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[-1].rstrip("/")
    finally:
        process.terminate()
        process.communicate()


def opening(folder: Path, work: str) -> Row:
    """Return the time of the first request for all runs."""
    with board(folder) as (_, url):
        start = time.perf_counter()
        with urllib.request.urlopen(f"{url}/api/runs") as answer:
            n_bytes = len(answer.read())
        seconds = time.perf_counter() - start
    return limited(f"{work}: first answer", seconds, {"bytes": n_bytes})


def pages(folder: Path, work: str, n_runs: int) -> Iterator[Row]:
    """Yield the times until pages are drawn in a browser that has no cache."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return
    if not CHROMIUM.exists():
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        browser.new_page().goto("about:blank")  # the browser itself has started
        for what, path, last in (
            ("page of all runs", "/", f"table.runs tbody tr:nth-child({n_runs})"),
            ("page of one run", "/run?run=runs/lenet-1", ".chart:nth-child(4) canvas"),
        ):
            with board(folder) as (_, url):
                page = browser.new_context().new_page()
                start = time.perf_counter()
                page.goto(url + path)
                page.wait_for_selector(last)
                yield limited(f"{work}: {what} in Chromium", time.perf_counter() - start, {})
                page.close()
        browser.close()


def limited(work: str, seconds: float, details: dict[str, float]) -> Row:
    """Return a row of a time that has a limit."""
    ratio = seconds / OPENING_S
    return Row(work, f"{seconds:.2f} s", f"limit: {OPENING_S:g} s", ratio, 1, True, details)


def prepare_lenet(folder: Path, iterations: int) -> None:
    """Write databases, net and solver of LeNet."""
    images = ROOT / "data" / "fashion-mnist"
    for part, name in (("train", "train"), ("test", "t10k")):
        idx = [str(images / f"{name}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1")]
        assert run_command("convert_mnist_data", [*idx, str(folder / f"{part}_lmdb")]) == 0
    net = (ROOT / "models" / "lenet" / "lenet_train_test.prototxt").read_text(encoding="utf-8")
    (folder / "net.prototxt").write_text(net.replace("data/fashion-mnist/", ""), encoding="utf-8")
    (folder / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.01 momentum: 0.9 lr_policy: "fixed" display: 10 '
        f"test_iter: 2 test_interval: 100 max_iter: {iterations} snapshot_prefix: 'net' "
    )


def trained(folder: Path, run: str) -> float:
    """Train in a process; return the seconds of its iterations and tests."""
    command = [sys.executable, "-m", "minicaffe", "train", "solver.prototxt", f"--run={run}"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, check=True)
    assert done.returncode == 0
    return float(json.loads((folder / run / "run.json").read_text())["seconds"])


@contextmanager
def watched(folder: Path, run: str) -> Iterator[list[float]]:
    """Receive what a board streams of a run; yield a list for the board's processor time."""
    used: list[float] = []
    with board(folder) as (process, url):
        ends = threading.Event()

        def receive() -> None:
            while not ends.is_set():
                address = f"{url}/api/metrics/events?run={run}"
                with suppress(OSError), urllib.request.urlopen(address) as stream:
                    while stream.readline() and not ends.is_set():
                        pass
                time.sleep(0.1)

        listener = threading.Thread(target=receive, daemon=True)
        listener.start()
        before = processor_seconds(process.pid)
        yield used
        used.append(processor_seconds(process.pid) - before)
        ends.set()
    listener.join()


def processor_seconds(process: int) -> float:
    """Return the processor time of a process, user and system."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def watching(folder: Path, iterations: int, repeats: int) -> Iterator[Row]:
    """Yield the times of a training with and without a listener, and the board's processor time."""
    prepare_lenet(folder, iterations)
    alone, together, used = [], [], []
    for k in range(repeats):
        for is_watched in (k % 2 == 1, k % 2 == 0):  # which is first may matter
            if not is_watched:
                alone.append(trained(folder, f"alone-{k}"))
                continue
            with watched(folder, f"watched-{k}") as seconds:
                together.append(trained(folder, f"watched-{k}"))
            used.append(seconds[0] / together[-1])
    work = f"LeNet, {iterations} iterations, watched"
    details = {"alone": alone, "watched": together, "processor": used}
    ratio = median(own / other for own, other in zip(together, alone, strict=True))
    own, other = f"{median(together):.2f} s", f"{median(alone):.2f} s, not watched"
    yield Row(f"{work}: time", own, other, ratio, 1 + SHARE, True, details)
    own, other = f"{100 * median(used):.2f} % of a core", f"limit: {100 * SHARE:g} %"
    ratio = median(used) / SHARE
    yield Row(f"{work}: processor time of the board", own, other, ratio, 1, True, details)


def main(argv: list[str] | None = None) -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=50, help="(%(default)s)")
    parser.add_argument("--lines", type=int, default=10_000, help="of a run (%(default)s)")
    parser.add_argument("--iterations", type=int, default=2000, help="of LeNet (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="of trainings (%(default)s)")
    args = parser.parse_args(argv)
    print(HEAD, flush=True)
    work = f"{args.runs} runs of {args.lines:,} lines"
    with tempfile.TemporaryDirectory() as name:
        write_runs(Path(name), args.runs, args.lines)
        print(opening(Path(name), work).markdown(), flush=True)
        for row in pages(Path(name), work, args.runs):
            print(row.markdown(), flush=True)
    with tempfile.TemporaryDirectory() as name:
        for row in watching(Path(name), args.iterations, args.repeats):
            print(row.markdown(), flush=True)


if __name__ == "__main__":
    main()
