"""Forms of the commands that the board runs, made from the declarations of their flags."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from minicaffe.cli.flags import WholeNumber
from minicaffe.cli.gflags import FlagParser
from minicaffe.cli.options.files import weights_files
from minicaffe.cli.options.overrides import BatchSizeText
from minicaffe.cli.overview import flags_of
from minicaffe.errors import UsageError
from minicaffe.web.jobs.forms import CommandForm, FormField

COMMANDS = ("new", "train", "check", "test")
# The first fields of a form, in their order. New flags come below "more" until they are named here.
_MAIN = {
    "new": ("images", "directory", "task", "net", "weights", "size", "split", "seed", "gray"),
    "train": (
        *("solver_file", "max_iter", "base_lr", "batch_size", "seed", "weights"),
        *("keep_best", "patience", "settings"),
    ),
}
# Flags that a form does not show: the board sets them, a signal of the board would miss, or they
# are about several processes.
_HIDDEN = {
    "train": frozenset(
        {
            *("solver", "snapshot", "resume", "run", "no_run", "log"),
            *("sigint_effect", "sigterm_effect", "sighup_effect"),
            *("summation_parts", "gradient_type", "check_interval"),
        }
    ),
}
_PATHS = {
    **dict.fromkeys(("directory", "images", "solver_file", "solver", "snapshot", "run"), "path"),
    **dict.fromkeys(("model", "confusion", "labels"), "path"),
    "weights": "paths",
    "net": "net",
    "settings": "setting",
}
_BASE_LR = FormField(
    "base_lr",
    "--set=base_lr",
    "text",
    "learning rate at the beginning, as --set base_lr=RATE",
    group="main",
    rank=_MAIN["train"].index("base_lr"),
)


def job_forms() -> dict[str, CommandForm]:
    """Return the form of each command that jobs may run."""
    return {command: _form(command) for command in COMMANDS}


def _form(command: str) -> CommandForm:
    parser = FlagParser(prog=f"minicaffe {command}", allow_abbrev=False, add_help=False)
    flags_of(command).add_to(parser)
    for action in parser._actions:
        if action.type is weights_files:  # paths are relative to the job, not to the board
            action.type = None
    fields = [_field(action, command) for action in parser._actions]
    if any(field.name == "settings" for field in fields):
        fields.append(_BASE_LR)

    def parse(words: Sequence[str]) -> Mapping[str, object]:
        if any(word.lstrip("-").startswith("flagfile") for word in words):
            raise UsageError("no job may have --flagfile")
        return vars(parser.parse(words))

    return CommandForm(command, tuple(fields), parse)


def _field(action: argparse.Action, command: str) -> FormField:
    name = action.dest
    kind = "text"
    if isinstance(action, argparse._StoreTrueAction):
        kind = "switch"
    elif isinstance(action, argparse._AppendAction):
        kind = "lines"
    elif action.choices:
        kind = "choice"
    elif isinstance(action.type, WholeNumber | BatchSizeText):
        kind = "integer"
    main = _MAIN.get(command, ())
    group = "main" if name in main else "more"
    return FormField(
        name,
        action.option_strings[0] if action.option_strings else "",
        kind,
        (action.help or "") % {"default": action.default},
        tuple(map(str, action.choices or ())),
        "" if action.default in (None, False) or kind == "lines" else str(action.default),
        _PATHS.get(name, ""),
        action.required and not action.default,
        "hidden" if name in _HIDDEN.get(command, ()) else group,
        main.index(name) if name in main else 0,
    )
