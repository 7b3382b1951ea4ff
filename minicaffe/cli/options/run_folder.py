"""Flags --run and --no_run: where train writes the run folder."""

from __future__ import annotations

from pathlib import Path

from minicaffe.atomic_file import is_held
from minicaffe.cli.flags import Flags, flag
from minicaffe.errors import DataError, UsageError
from minicaffe.log import logger
from minicaffe.runs.folder import RUNS, is_run, new_run_folder, run_name


class RunFlags(Flags):
    """Flags of train about its run folder."""

    run: str = flag(
        metavar="DIR", help="folder for log, metrics and settings (default: runs/NAME-N)"
    )
    no_run: bool = flag(help="write no run folder")
    tensorboard: bool = flag(help="write the metrics as an event file of TensorBoard, too")

    def check_run(self, resumes: bool) -> None:
        """Raise UsageError if the flags contradict each other or name a folder that is in use."""
        if self.run and self.no_run:
            raise UsageError("--run and --no_run exclude each other; give one of them")
        if self.tensorboard and self.no_run:
            raise UsageError("--tensorboard needs a run folder; remove --no_run")
        folder = Path(self.run)
        if not self.run or not is_run(folder):
            return
        if not resumes:
            raise UsageError(
                f"--run={self.run}: the folder has a run already. Give a new one, remove it, or "
                "go on with it: --snapshot=FILE or --resume=auto"
            )
        if is_held(folder):
            raise UsageError(f"--run={self.run}: another training is writing to it.")

    def run_folder(self, solver: str) -> Path | None:
        """Return the run folder, which is created; None for --no_run, or if that is impossible.

        Raises
        ------
        DataError
            If the folder of --run cannot be created.
        """
        if self.no_run:
            return None
        try:
            if self.run:
                Path(self.run).mkdir(parents=True, exist_ok=True)
                return Path(self.run)
            return new_run_folder(run_name(solver))
        except OSError as error:
            if self.run:
                raise DataError(f"--run={self.run}: cannot be created: {error.strerror}.") from None
            logger.warning(
                f"{RUNS}/ cannot be written: {error.strerror}. This training has no run folder; "
                "--run=DIR selects another place, --no_run none."
            )
            return None
