"""Fetch a data set: mnist, fashion-mnist or cifar10.

Downloads the full set, checks every SHA-256 and leaves what the converters need in a folder. With
--from, copies the files from a folder that has them already (Debian's package dataset-fashion-mnist
puts them in /usr/share/datasets/fashion-mnist), after the same check. Files that are there are
kept, but for archives, which are removed once they are unpacked.

Example:
  minicaffe get fashion-mnist --from /usr/share/datasets/fashion-mnist --to data/fashion-mnist-full
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minicaffe.data.datasets import (
    DATA_SETS,
    Progress,
    Source,
    download,
    problem_of,
    take,
    unpack_archive,
)
from minicaffe.errors import DataError, UsageError, nearest
from minicaffe.log import logger


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("name", metavar="SET", help=", ".join(DATA_SETS))
    parser.add_argument("--from", dest="source", metavar="DIR", help="folder that has the files")
    parser.add_argument("--to", metavar="DIR", help="folder to put them in (default: data/SET)")


def run(args: argparse.Namespace) -> int:
    """Fetch, check, unpack."""
    if args.name not in DATA_SETS:
        raise UsageError(f"no data set {args.name}. {nearest(args.name, DATA_SETS)}")
    data_set = DATA_SETS[args.name]
    folder = Path(args.to or f"data/{args.name}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made: {error.strerror}.") from error
    for source in data_set.sources:
        path = _get(source, data_set.urls, args.source, folder)
        logger.info("%s: checked", path)
        if source.is_archive:
            for file in unpack_archive(path):
                logger.info("%s: unpacked", file)
    print(f"Next: {data_set.next_command.replace('FOLDER', str(folder))}")
    return 0


def _get(source: Source, urls: tuple[str, ...], given: str | None, folder: Path) -> Path:
    path = folder / source.name
    if problem_of(path, source) is None:
        return path
    if given is not None:
        return take(source, Path(given), folder)
    with _bar(source.name) as progress:
        return download(source, urls, folder, progress)


@contextmanager
def _bar(name: str) -> Iterator[Progress]:
    """Show a progress bar on stderr if that is a terminal."""
    from rich import progress as bars
    from rich.console import Console

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
    )
    shown = bars.Progress(
        *columns, console=Console(file=sys.stderr), disable=not sys.stderr.isatty()
    )
    with shown:
        task = shown.add_task(name, total=None)
        yield lambda done, total: shown.update(task, completed=done, total=total)
