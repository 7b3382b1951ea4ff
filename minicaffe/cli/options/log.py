"""Flag --log: Caffe's log on a terminal, where commands otherwise show their answer only."""

from __future__ import annotations

from minicaffe.cli.flags import Flags, flag
from minicaffe.cli.streams import has_terminal
from minicaffe.log import hide_info


class LogFlags(Flags):
    """Flag of commands whose log is long."""

    log: bool = flag(help="show Caffe's log on a terminal too, as on a pipe")

    @property
    def is_log_short(self) -> bool:
        """Whether there is a terminal, which shows warnings, errors and the answer only."""
        return has_terminal() and not self.log

    def shorten_log(self) -> None:
        """Hide the other lines of the log on a terminal."""
        if self.is_log_short:
            hide_info()
