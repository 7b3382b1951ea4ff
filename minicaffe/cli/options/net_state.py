"""Flags --phase, --level and --stage: the NetState that selects the layers of a net."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minicaffe.cli.flags import Flags, flag

if TYPE_CHECKING:  # imports protobuf, which --help must not
    from minicaffe.schema import NetState


def phase_flag(default: str, *others: str) -> str:
    """Declare the flag --phase, whose value may be given in lower case."""
    declaration: str = flag(
        type=str.upper,
        choices=("TRAIN", "TEST", *others),
        default=default,
        help="phase whose layers are used",
    )
    return declaration


class NetStateFlags(Flags):
    """Flags that include and exclude rules of a net are compared with."""

    level: int | None = flag(help="level for include rules of layers (default: 0 or the solver's)")
    stage: str = flag(metavar="STAGES", help="stages for include rules, separated by commas")

    def apply_to(self, state: NetState) -> None:
        """Set the level, to its present value if the flag is not given, and add the stages."""
        # Assigning the present value makes the field present, so that it is logged as by Caffe.
        state.level = state.level if self.level is None else self.level
        state.stage.extend(stage for stage in self.stage.split(",") if stage)
