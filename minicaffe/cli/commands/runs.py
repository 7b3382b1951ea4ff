r"""List the runs of training, show one, or compare several.

Each training writes a folder runs/NAME-N with its log, metrics, settings and weights (see train).
Without arguments, lists the runs in runs/; with one, shows its scores, its files and the next
commands; with several, compares them: the settings that differ, and the scores. A run is given as
its folder or as its name in runs/.

Example:
  minicaffe runs
  minicaffe runs lenet-1
  minicaffe runs lenet-1 lenet-2 lenet-3
"""

from __future__ import annotations

from pathlib import Path

from minicaffe.cli.flags import Flags, positional
from minicaffe.errors import DataError
from minicaffe.log import logger
from minicaffe.runs.folder import RUNS, find_run, run_folders
from minicaffe.runs.record import RunRecord, read_record
from minicaffe.runs.summary import aligned_table, run_table, summary_lines


class RunsFlags(Flags):
    """Flags of the command."""

    runs: list[str] = positional(metavar="RUN", nargs="*", help="folders or names of runs")


def run(flags: RunsFlags) -> int:
    """Print a table, a summary or a comparison."""
    folders = [find_run(text) for text in flags.runs]
    if not folders:
        print("\n".join(_all_runs()))
    elif len(folders) == 1:
        from minicaffe.cli.main import COMMANDS

        print("\n".join(summary_lines(read_record(folders[0]), folders[0], COMMANDS)))
    else:
        from minicaffe.runs.comparison import comparison_rows

        rows = comparison_rows([(folder, read_record(folder)) for folder in folders])
        print("\n".join(aligned_table(rows)))
    return 0


def _all_runs() -> list[str]:
    runs: list[tuple[str, RunRecord]] = []
    for folder in run_folders():
        try:
            runs.append((folder.name, read_record(folder)))
        except DataError as error:
            logger.warning(str(error))
    if not runs:
        return [f"{RUNS}/ has no runs in {Path.cwd()}. minicaffe train writes them."]
    return run_table(runs)
