"""Upgrade a .caffemodel of any age to the current format.

Weights are preserved. OUTPUT is written even if INPUT is in the current format. Exit code: 0 done,
1 INPUT has no equivalent in the current format, 2 INPUT cannot be read.

Example:
  minicaffe upgrade_net_proto_binary old.caffemodel new.caffemodel
"""

from minicaffe.cli.commands._upgrades import NET_BINARY

run = NET_BINARY.run
