"""Turn a training log into tables: LOG.train and LOG.test.

Both have the columns NumIters, Seconds, LearningRate, and one for every output of the net; Seconds
count from the beginning of the training. Logs of resumed runs may be appended to each other: later
lines replace earlier ones of the same iterations, and pauses do not count.

Example:
  minicaffe train --solver=lenet_solver.prototxt 2>&1 | tee lenet.log
  minicaffe parse_log lenet.log .
"""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path

from minicaffe.analysis.training_log import LogRow, TrainingLog, read_log
from minicaffe.atomic_file import write_atomically
from minicaffe.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("logfile_path", metavar="LOG", help="the log of a training")
    parser.add_argument("output_dir", metavar="OUTPUT_DIR", help="folder to write the tables to")
    parser.add_argument("--verbose", action="store_true", help="name the files written")
    parser.add_argument("--delimiter", default=",", help="between columns (%(default)s)")
    parser.add_argument(
        "--table",
        action="store_true",
        help="write aligned columns instead, as Caffe's parse_log.sh does",
    )


def run(args: argparse.Namespace) -> int:
    """Read the log, write two files."""
    if len(args.delimiter) != 1:
        raise UsageError(f"--delimiter={args.delimiter!r}: must be one character")
    log = read_log(args.logfile_path)
    for kind, rows in (("train", log.train), ("test", log.test)):
        path = Path(args.output_dir, f"{Path(args.logfile_path).name}.{kind}")
        if args.table:
            text = _aligned(_train_table(log) if kind == "train" else _test_table(log))
        else:
            text = _csv(log, rows, args.delimiter)
        with write_atomically(path) as file:
            file.write(text.encode())
        if args.verbose:
            print(f"Wrote {path}")
    return 0


def _csv(log: TrainingLog, rows: list[LogRow], delimiter: str) -> str:
    names = log.names(rows)
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerow(["NumIters", "Seconds", "LearningRate", *names])
    for row in rows:
        rate = log.rate_at(row.iteration)
        outputs = [row.values.get(name, float("nan")) for name in names]
        writer.writerow([float(row.iteration), row.seconds, rate, *outputs])
    return text.getvalue()


def _train_table(log: TrainingLog) -> list[list[str]]:
    head = ["#Iters", "Seconds", "TrainingLoss", "LearningRate"]
    return [head] + [
        [*_when(row), f"{row.values['loss']:g}", f"{log.rate_at(row.iteration):g}"]
        for row in log.loss
    ]


def _test_table(log: TrainingLog) -> list[list[str]]:
    """Return the first two outputs, which are accuracy and loss in every net of Caffe's."""
    table = [["#Iters", "Seconds", "TestAccuracy", "TestLoss"]]
    for row in log.test:
        values = [*row.values.values(), float("nan")][:2]
        table.append([*_when(row), *(f"{value:g}" for value in values)])
    return table


def _when(row: LogRow) -> list[str]:
    return [str(row.iteration), f"{row.seconds:f}"]


def _aligned(table: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ("  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table)
    return "".join(f"{line}\n" for line in lines)
