"""The flags --level and --stage, which include and exclude rules of a net ask for."""

from __future__ import annotations

import argparse
from typing import Any


def add_state_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --level and --stage."""
    parser.add_argument(
        "--level", type=int, help="level of the net that include rules ask for (0, or the solver's)"
    )
    parser.add_argument(
        "--stage", default="", metavar="STAGES", help="stages likewise, separated by commas"
    )


def apply_state(args: argparse.Namespace, state: Any) -> None:
    """Write the flags into a NetState; what is not given leaves what the state says."""
    state.level = state.level if args.level is None else args.level
    state.stage.extend(stage for stage in args.stage.split(",") if stage)
