"""Bring a .caffemodel of any age to the current form, weights included.

OUTPUT is written even where nothing had to change. Exit code: 0 done, 1 an old form that has no
current one, 2 INPUT cannot be read.

Example:
  minicaffe upgrade_net_proto_binary old.caffemodel new.caffemodel
"""

from __future__ import annotations

import argparse

from minicaffe.cli.commands import _upgrading as upgrading
from minicaffe.log import logger


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    upgrading.add_arguments(parser, ".caffemodel")


def run(args: argparse.Namespace) -> int:
    """Read, upgrade, write."""
    from minicaffe.schema import NetParameter, net_is_current, read_binary, upgrade_net

    with upgrading.reading():
        net = read_binary(args.input, NetParameter)
    if net_is_current(net):
        logger.info("File already in latest proto format: %s", args.input)
    upgrade_net(net, args.input)
    # Weights files of forks lack fields that the schema requires, and are none the worse for it.
    upgrading.write(args.output, net.SerializePartialToString())
    logger.info("Wrote upgraded NetParameter binary proto to %s", args.output)
    return 0
