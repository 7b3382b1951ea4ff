"""The upgrade_* commands: read a file of any age, convert it to the current format, write it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.flags import Flags, positional
from minicaffe.errors import SchemaError
from minicaffe.log import logger
from minicaffe.schema import (
    NetParameter,
    SolverParameter,
    format_prototxt,
    net_is_current,
    read_binary,
    read_prototxt,
    upgrade_net,
    upgrade_solver,
)

_UNREADABLE = 2  # exit code of Caffe's upgrade tools for a file that cannot be parsed

M = TypeVar("M", NetParameter, SolverParameter)


class UpgradeFlags(Flags):
    """Arguments of an upgrade command."""

    input: str = positional(metavar="INPUT", help="file to upgrade")
    output: str = positional(metavar="OUTPUT", help="file to write; may be INPUT")


@dataclass(frozen=True)
class Upgrade(Generic[M]):
    """One upgrade command.

    Attributes
    ----------
    format_name : str
        Message and encoding, for the log.
    read : callable
        Reads the message from a file.
    is_current : callable
        Whether a message is in the current format.
    upgrade : callable
        Converts a message in place; the second argument is the file's name for error messages.
    serialize : callable
    """

    format_name: str
    read: Callable[[str], M]
    is_current: Callable[[M], bool]
    upgrade: Callable[[M, str], object]
    serialize: Callable[[M], bytes]

    def run(self, flags: UpgradeFlags) -> int:
        """Upgrade a file."""
        try:
            message = self.read(flags.input)
        except SchemaError as error:
            error.exit_code = _UNREADABLE
            raise
        if self.is_current(message):
            logger.info("File already in latest proto format: %s", flags.input)
        self.upgrade(message, flags.input)
        content = self.serialize(message)
        with write_atomically(flags.output) as file:
            file.write(content)
        logger.info("Wrote upgraded %s proto to %s", self.format_name, flags.output)
        return 0


NET_TEXT = Upgrade[NetParameter](
    "NetParameter text",
    read=lambda path: read_prototxt(path, NetParameter).message,
    is_current=net_is_current,
    upgrade=upgrade_net,
    serialize=lambda net: format_prototxt(net).encode(),
)
NET_BINARY = Upgrade[NetParameter](
    "NetParameter binary",
    read=lambda path: read_binary(path, NetParameter),
    is_current=net_is_current,
    upgrade=upgrade_net,
    # Partial, because weights files of forks lack fields that the schema requires.
    serialize=lambda net: net.SerializePartialToString(),
)
SOLVER_TEXT = Upgrade[SolverParameter](
    "SolverParameter text",
    read=lambda path: read_prototxt(path, SolverParameter).message,
    is_current=lambda solver: not solver.HasField("solver_type"),
    upgrade=upgrade_solver,
    serialize=lambda solver: format_prototxt(solver).encode(),
)
