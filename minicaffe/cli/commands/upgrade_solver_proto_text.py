"""Upgrade a solver prototxt to the current format.

The field `solver_type` becomes `type`. OUTPUT is written even if INPUT is in the current format.
Exit code: 0 done, 1 the settings contradict each other, 2 INPUT cannot be read.

Example:
  minicaffe upgrade_solver_proto_text old_solver.prototxt solver.prototxt
"""

from minicaffe.cli.commands._upgrades import SOLVER_TEXT

run = SOLVER_TEXT.run
