"""Measure the data pipeline beside torchvision and OpenCV; print a table.

    python -m benchmarks.pipeline --peer-python peers/bin/python

JPEG files of 500 x 375 are made; then:

* batches: images/s on one core, resized to 256 x 256 (ImageData) or not (ImageData without
  new_height and new_width), cut to 227 x 227 at random and mirrored; the peer is torchvision's
  DataLoader on the same core. It does not run without --peer-python;
* convert: convert_imageset on all cores, with the start of the program, beside a loop of OpenCV and
  LMDB on one core (benchmarks/opencv_conversion.py), which stands in for Caffe's convert_imageset;
* weights: a .caffemodel of 244 MB into a net;
* open: a list and an LMDB of 1.3 million records, in order and shuffled.

All files are in the page cache. Sides alternate; the table has the fastest round of each.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.peer import Peer, interpreter
from benchmarks.table import HEAD, Row
from minicaffe.cores import usable_cores
from minicaffe.data.batches import ImageBatches
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.data.records.base import RecordSource
from minicaffe.data.records.database import DatabaseRecords, ShuffledDatabaseRecords
from minicaffe.data.records.image_list import ImageFiles, ImageListRecords
from minicaffe.data.transformer import DataTransformer
from minicaffe.distributed.parts import BatchRows
from minicaffe.net import Net
from minicaffe.net.weights import copy_trained_layers, save_net
from minicaffe.random import RandomStream
from minicaffe.schema import read_net
from minicaffe.schema.minicaffe_pb2 import TRAIN, TransformationParameter

ROOT = Path(__file__).parents[1]
ALEXNET = ROOT / "models/alexnet/deploy.prototxt"
KINDS = ("batches", "convert", "weights", "open")
ROWS, COLUMNS, SIZE, CROP = 375, 500, 256, 227
BATCH = 50
ROUNDS = 5
WANTED = 1.3
WEIGHTS_LIMIT_S, OPEN_LIMIT_S = 0.5, 1.0
MANY = 1_300_000
WEIGHTS = "weights"


def photograph(rng: np.random.Generator) -> Image.Image:
    """Return an image whose JPEG is as large as a photograph's, 80 kB."""
    coarse = rng.integers(0, 256, (ROWS // 8, COLUMNS // 8, 3)).astype(np.uint8)
    size = COLUMNS, ROWS
    smooth = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))
    return Image.fromarray((smooth + rng.integers(-12, 13, smooth.shape)).clip(0, 255).astype("u1"))


def make_files(folder: Path, n: int, n_different: int = 200) -> list[str]:
    """Write n JPEG files, of which the first `n_different` differ, and a list of them."""
    rng, files = np.random.default_rng(0), [str(folder / f"{k:05}.jpg") for k in range(n)]
    for k, path in enumerate(files):
        if k < n_different:
            photograph(rng).save(path, quality=90)
        else:
            os.link(files[k % n_different], path)
    (folder / "list.txt").write_text("".join(f"{f} {k % 1000}\n" for k, f in enumerate(files)))
    return files


@contextmanager
def one_core() -> Iterator[None]:
    """Let this process, and those that it starts, use one core in the block."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def own_batches(list_file: Path, size: int) -> ImageBatches:
    """Return the batches of an ImageData layer."""
    param = TransformationParameter(crop_size=CROP, mirror=True, mean_value=(104, 117, 123))
    files, order = ImageFiles(str(list_file), "", size, size), RandomStream(1, "order")
    return ImageBatches(
        ImageListRecords(files, order),
        BatchRows(BATCH),
        DataTransformer(param, TRAIN),
        RandomStream(1, "crops"),
    )


def batch_rows(folder: Path, python: str, rounds: int) -> Iterator[Row]:
    """Compare the images/s of one core with torchvision's DataLoader."""
    files = make_files(folder, 200)
    for size in (SIZE, 0):
        for decoder in ("pillow", "tensor"):
            message = {"files": files, "crop": CROP, "size": size, "decoder": decoder}
            with one_core():
                peer = Peer(python, "torchvision_peer.py", message | {"batch": BATCH, "threads": 1})
                own = own_batches(folder / "list.txt", size)
                seconds: list[list[float]] = [[], []]
                for _ in range(rounds):
                    for _ in range(len(files) // BATCH):
                        start = time.perf_counter()
                        own.next()
                        seconds[0].append(time.perf_counter() - start)
                    seconds[1] += peer.run(len(files) // BATCH)
                own.close()
                peer.close()
            mine, others = (BATCH / min(times) for times in seconds)
            form = f"resized to {size} x {size}, " if size else ""
            yield Row(
                f"JPEG {COLUMNS} x {ROWS}, {form}cut to {CROP} x {CROP}, one core",
                f"{mine:.0f} images/s",
                f"{others:.0f} images/s ({peer.version}, {decoder})",
                mine / others,
                WANTED if decoder == "pillow" else None,
                details={"own": seconds[0], "peer": seconds[1]},
            )


def conversion_row(folder: Path, rounds: int, n: int = 1500) -> Row:
    """Compare convert_imageset on all cores with a loop of OpenCV and LMDB on one."""
    make_files(folder, n)
    list_file, database = str(folder / "list.txt"), folder / "db"
    sizes = [f"--resize_height={SIZE}", f"--resize_width={SIZE}"]
    command = [sys.executable, "-m", "minicaffe", "convert_imageset", *sizes]
    peer = [sys.executable, "-m", "benchmarks.opencv_conversion", list_file, str(database)]
    seconds: list[list[float]] = [[], []]
    for _ in range(rounds):
        start = time.perf_counter()
        run([*command, "/", list_file, str(database)])
        seconds[0].append(time.perf_counter() - start)
        shutil.rmtree(database)
        with one_core():
            seconds[1].append(float(run([*peer, str(SIZE)])))
        shutil.rmtree(database)
    own, other = map(min, seconds)
    return Row(
        f"convert_imageset, {n} JPEG {COLUMNS} x {ROWS} to {SIZE} x {SIZE}, {usable_cores()} cores",
        f"{own:.2f} s",
        f"{other:.2f} s (OpenCV and LMDB, one core)",
        other / own,
        WANTED,
        details={"own": seconds[0], "peer": seconds[1]},
    )


def run(command: list[str]) -> str:
    """Run a program in the repository; return its output."""
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return result.stdout


def apart(step: str, path: Path) -> tuple[float, float]:
    """Return seconds and MiB of the growth of peak memory of a step, in a process of its own."""
    found = json.loads(
        run([sys.executable, "-m", "benchmarks.pipeline", "--step", step, str(path)])
    )
    return found["seconds"], found["mib"]


def weights_row(folder: Path, rounds: int) -> Row:
    """Measure the time in which a large .caffemodel is copied into a net."""
    path = folder / "alexnet.caffemodel"
    save_net(Net(read_net(ALEXNET), "TEST", seed=1), path)
    seconds = min(apart(WEIGHTS, path)[0] for _ in range(rounds))
    size = path.stat().st_size / 1e6
    return limit_row(f"weights of {size:.0f} MB into a net", seconds, WEIGHTS_LIMIT_S)


def limit_row(work: str, seconds: float, limit: float, note: str = "") -> Row:
    """Return a row that compares a time with its limit."""
    own = f"{seconds:.2f} s{note}"
    return Row(work, own, f"{limit:g} s (limit)", seconds / limit, 1.0, is_limit=True)


def opening_rows(folder: Path, rounds: int, n: int = MANY) -> Iterator[Row]:
    """Measure the time in which a list and an LMDB of many records are opened."""
    names = [f"n{k % 1000:08}/n{k % 1000:08}_{k}.JPEG" for k in range(n)]
    (folder / "list.txt").write_text("".join(f"{n} {k % 1000}\n" for k, n in enumerate(names)))
    value = encode_datum(np.zeros((1, 4, 4), np.uint8), 0)
    with create_database(str(folder / "db"), "LMDB") as database:
        for k, name in enumerate(names):
            database.put(f"{k:08}_{name}".encode(), value)
    for step, (path, _) in SOURCES.items():
        found = [apart(step, folder / path) for _ in range(rounds)]
        seconds, mib = map(min, zip(*found, strict=True))
        yield limit_row(f"opening of {step}", seconds, OPEN_LIMIT_S, f", {mib:.0f} MiB")


# Path and what opens it, by what it is.
SOURCES: dict[str, tuple[str, Callable[[str], RecordSource]]] = {
    "a list of 1.3 million images": (
        "list.txt",
        lambda path: ImageListRecords(ImageFiles(path)),
    ),
    "a list of 1.3 million images, shuffled": (
        "list.txt",
        lambda path: ImageListRecords(ImageFiles(path), RandomStream(1, "order")),
    ),
    "an LMDB of 1.3 million records": ("db", lambda path: DatabaseRecords(path, "LMDB")),
    "an LMDB of 1.3 million records, shuffled": (
        "db",
        lambda path: ShuffledDatabaseRecords(path, "LMDB", None, RandomStream(1, "order")),
    ),
}


def measure_step(step: str, path: str) -> dict[str, float]:
    """Run a step in this process: copy weights, or open a source and take the first batch."""
    if step == WEIGHTS:
        net = Net(read_net(ALEXNET), "TEST", seed=1)
    before = peak_mib()
    start = time.perf_counter()
    if step == WEIGHTS:
        copy_trained_layers(net, path)
    else:
        SOURCES[step][1](path).take(BATCH)
    return {"seconds": time.perf_counter() - start, "mib": peak_mib() - before}


def peak_mib() -> float:
    """Return the peak memory of this process."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def rows(
    python: str, rounds: int = ROUNDS, kinds: Sequence[str] = KINDS, parent: str | None = None
) -> Iterator[Row]:
    """Yield the rows of some kinds.

    Parameters
    ----------
    python : str
        Python with torchvision; "": no comparison with it.
    rounds : int
        Of each measurement.
    kinds : sequence of str
    parent : str, optional
        Where files are made, in a temporary folder.
    """
    for kind in kinds:
        with tempfile.TemporaryDirectory(dir=parent) as name:
            folder = Path(name)
            if kind == "batches" and python:
                yield from batch_rows(folder, python, rounds)
            elif kind == "convert":
                yield conversion_row(folder, rounds)
            elif kind == "weights":
                yield weights_row(folder, rounds)
            elif kind == "open":
                yield from opening_rows(folder, rounds)


def main(argv: list[str] | None = None) -> None:
    """Run the measurements that the command line selects."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument(
        "--peer-python", type=interpreter, default="", help="Python with torchvision"
    )
    parser.add_argument(
        "--rounds", type=int, default=ROUNDS, help="of each measurement (%(default)s)"
    )
    parser.add_argument("--folder", help="where files are made (default: a temporary folder)")
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.only == ["batches"] and not args.peer_python:
        parser.error("batches are compared with torchvision: --peer-python is missing")
    if args.step:
        print(json.dumps(measure_step(*args.step)))
        return
    print(HEAD, flush=True)
    report: list[dict[str, Any]] = []
    for row in rows(args.peer_python, args.rounds, args.only, args.folder):
        print(row.markdown(), flush=True)
        report.append(row.json())
        if args.json:
            args.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
