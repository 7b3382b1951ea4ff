"""Bring a net prototxt of any age to the current form.

Reads V0 and V1 layers, old transformation settings, `input` fields and listed BatchNorm statistics.
OUTPUT is written even where nothing had to change. Exit code: 0 done, 1 an old form that has no
current one, 2 INPUT cannot be read.

Example:
  minicaffe upgrade_net_proto_text old_train_val.prototxt train_val.prototxt
"""

from __future__ import annotations

import argparse

from minicaffe.cli.commands import _upgrading as upgrading
from minicaffe.log import logger


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    upgrading.add_arguments(parser, "net prototxt")


def run(args: argparse.Namespace) -> int:
    """Read, upgrade, write."""
    from minicaffe.schema import (
        NetParameter,
        format_prototxt,
        net_is_current,
        read_prototxt,
        upgrade_net,
    )

    with upgrading.reading():
        net = read_prototxt(args.input, NetParameter).message
    if net_is_current(net):
        logger.info("File already in latest proto format: %s", args.input)
    upgrade_net(net, args.input)
    upgrading.write(args.output, format_prototxt(net).encode())
    logger.info("Wrote upgraded NetParameter text proto to %s", args.output)
    return 0
