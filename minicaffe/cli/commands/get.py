"""Download a data set: mnist, fashion-mnist or cifar10.

Downloads the full set to a folder, in the form that the converters read, and checks the SHA-256 of
every file. With --from, copies the files from a folder instead, after the same check (Debian's
package dataset-fashion-mnist installs them in /usr/share/datasets/fashion-mnist). Files that exist
already are not downloaded again; archives are removed after unpacking.

Example:
  minicaffe get fashion-mnist --from /usr/share/datasets/fashion-mnist --to data/fashion-mnist-full
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from minicaffe.cli.flags import Flags, flag, positional
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


class GetFlags(Flags):
    """Flags of the command."""

    name: str = positional(metavar="SET", help=", ".join(DATA_SETS))
    source: str | None = flag("--from", metavar="DIR", help="folder to copy the files from")
    to: str | None = flag(metavar="DIR", help="folder to write to (default: data/SET)")


def run(flags: GetFlags) -> int:
    """Download, check, unpack."""
    if flags.name not in DATA_SETS:
        raise UsageError(f"no data set {flags.name}. {nearest(flags.name, DATA_SETS)}")
    data_set = DATA_SETS[flags.name]
    folder = Path(flags.to or f"data/{flags.name}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be created: {error.strerror}.") from error
    for source in data_set.sources:
        path = _get(source, data_set.urls, flags.source, folder)
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
    """Show a progress bar on stderr if it is a terminal."""
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
