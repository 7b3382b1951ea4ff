"""Upgrade a net prototxt of any age to the current format.

Reads V0 and V1 layers, old transformation settings, `input` fields and listed BatchNorm statistics.
OUTPUT is written even if INPUT is in the current format. Exit code: 0 done, 1 INPUT has no
equivalent in the current format, 2 INPUT cannot be read.

Example:
  minicaffe upgrade_net_proto_text old_train_val.prototxt train_val.prototxt
"""

from minicaffe.cli.commands._upgrades import NET_TEXT

run = NET_TEXT.run
