"""Convert a training log to two tables: LOG.train and LOG.test.

Both have the columns NumIters, Seconds, LearningRate, and one for every output of the net; Seconds
count from the start of training. Logs of resumed runs may be concatenated: later lines replace
earlier lines of the same iterations, and the time between runs is not counted.

Example:
  minicaffe train --solver=lenet_solver.prototxt 2>&1 | tee lenet.log
  minicaffe parse_log lenet.log .
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

from minicaffe.analysis.training_log import LogRow, TrainingLog, read_log
from minicaffe.atomic_file import write_atomically
from minicaffe.cli.flags import Flags, flag, positional
from minicaffe.errors import UsageError
from minicaffe.log import logger
from minicaffe.runs import log_of


class ParseLogFlags(Flags):
    """Flags of the command."""

    logfile_path: str = positional(metavar="LOG", help="training log, or run folder")
    output_dir: str = positional(metavar="OUTPUT_DIR", help="folder to write the tables to")
    verbose: bool = flag(help="print the names of the files written")
    delimiter: str = flag(default=",", help="separator of the columns")
    table: bool = flag(help="write aligned columns instead, as Caffe's parse_log.sh does")


def run(flags: ParseLogFlags) -> int:
    """Read the log, write two files."""
    if len(flags.delimiter) != 1:
        raise UsageError(f"--delimiter={flags.delimiter!r}: must be one character")
    if flags.table and flags.delimiter != ",":
        logger.warning("--delimiter has no effect with --table, which aligns columns by spaces.")
    log = read_log(log_of(flags.logfile_path))
    for kind, rows in (("train", log.train), ("test", log.test)):
        path = Path(flags.output_dir, f"{Path(flags.logfile_path).name}.{kind}")
        if not rows:
            logger.warning(f"{flags.logfile_path}: has no {kind} values, so {path} has no rows.")
        if flags.table:
            text = _aligned(_train_table(log) if kind == "train" else _test_table(log))
        else:
            text = _csv(log, rows, flags.delimiter)
        with write_atomically(path) as file:
            file.write(text.encode())
        if flags.verbose:
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
    """Return a table of the first two outputs, which are accuracy and loss in Caffe's nets."""
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
