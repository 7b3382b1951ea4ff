"""Flags of the command db."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minicaffe.cli.flags import Flags, flag, positional
from minicaffe.errors import UsageError, nearest
from minicaffe.log import logger


@dataclass(frozen=True)
class DbAction:
    """What an action of the command takes.

    Attributes
    ----------
    usage : str
        Its folders.
    least, most : int
        Their number.
    flags : tuple of str
        The flags that it reads.
    """

    usage: str
    least: int
    most: int
    flags: tuple[str, ...] = ()


_ANY = 1000
ACTIONS = {
    "info": DbAction("DB", 1, 1, ("labels",)),
    "verify": DbAction("DB", 1, 1),
    "show": DbAction("DB", 1, 1, ("output", "labels", "count")),
    "export": DbAction("DB DIR", 2, 2, ("labels",)),
    "merge": DbAction("DB ... NEW_DB", 2, _ANY, ("backend",)),
    "split": DbAction("DB NEW_DB NEW_DB ...", 3, _ANY, ("backend", "parts", "seed")),
    "shuffle": DbAction("DB NEW_DB", 2, 2, ("backend", "seed")),
}


class DbFlags(Flags):
    """Flags of the command."""

    action: str = positional(
        metavar="ACTION", help=f"what to do: {', '.join(ACTIONS)}; info if only DB is given"
    )
    paths: list[str] = positional(nargs="*", metavar="DB", help="databases, then what is written")
    labels: str = flag(
        metavar="FILE", help="class names, one a line, or a label map (info, show, export)"
    )
    output: str = flag("-o", "--output", metavar="FILE", help="image file to write (show)")
    count: int | None = flag(at_least=1, help="number of images (show; default: 48)")
    parts: str = flag(
        metavar="A/B", help="sizes of the parts in proportion (split; default: 80/20)"
    )
    seed: int | None = flag(at_least=0, help="number of the random order (default: 0)")
    backend: str = flag(
        metavar="KIND", help="lmdb or leveldb, of new databases (default: as the first one read)"
    )

    def check(self) -> None:
        """Raise an error for a wrong number of folders; warn of flags that are not read."""
        if self.action not in ACTIONS:
            self._take_as_database()
        action = ACTIONS[self.action]
        if not action.least <= len(self.paths) <= action.most:
            raise UsageError(
                f"db {self.action} takes {action.usage}; these are {len(self.paths)} arguments"
            )
        if self.action == "show" and not self.output:
            raise UsageError("db show writes an image; name it with -o FILE.png")
        for name in ("labels", "output", "count", "parts", "seed", "backend"):
            if name not in action.flags and getattr(self, name) not in ("", None):
                logger.warning(f"--{name} has no effect on db {self.action}. Remove it.")

    def _take_as_database(self) -> None:
        """Let the action be info, of the database that is given in its place."""
        if not Path(self.action).is_dir():
            raise UsageError(
                f"{self.action}: neither an action nor a folder. {nearest(self.action, ACTIONS)}"
            )
        self.action, self.paths = "info", [self.action, *self.paths]
