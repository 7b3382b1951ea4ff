r"""Write a report of a run as one HTML file: scores, curves, tests, settings, net and files.

The page needs no other file, no script and no network. It has light and dark colours. If the run
folder, or a folder in it, has what `test --confusion` writes, the page shows it as well.

Example:
  minicaffe report lenet-1
  minicaffe report runs/lenet-1 --output lenet.html
"""

from __future__ import annotations

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.flags import Flags, flag, positional
from minicaffe.log import logger
from minicaffe.runs.folder import find_run


class ReportFlags(Flags):
    """Flags of the command."""

    run: str = positional(metavar="RUN", help="folder or name of a run")
    output: str = flag(
        "--output", "-o", metavar="FILE", help="file to write (default: RUN/report.html)"
    )


def run(flags: ReportFlags) -> int:
    """Write the page."""
    from minicaffe.cli.overview import COMMANDS
    from minicaffe.pictures.run_report import run_report

    folder = find_run(flags.run)
    path = flags.output or str(folder / "report.html")
    content = run_report(folder, COMMANDS)
    with write_atomically(path) as file:
        file.write(content.encode("utf-8", "backslashreplace"))
    logger.info("Wrote %s", path)
    return 0
