"""The commands by purpose, their summaries and their flags."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import get_type_hints

from minicaffe.cli.flags import Flags, flag

# In the order of the overview.
GROUPS = {
    "Training": ("new", "models", "check", "train", "find_lr", "test", "time", "runs"),
    "Using a trained net": (
        *("predict", "classify", "classification", "detect", "segment", "extract_features"),
        *("serve", "deploy", "export", "quantize", "fuse"),
    ),
    "Looking at nets and logs": (
        *("board", "summarize", "draw", "draw_net", "show", "report", "plot"),
        "plot_training_log",
        *("parse_log", "extract_seconds"),
    ),
    "Images and databases": (
        *("get", "db", "convert_imageset", "compute_image_mean", "convert_annoset"),
        *("convert_mnist_data", "convert_mnist_siamese_data", "convert_cifar_data"),
        "resize_and_crop_images",
    ),
    "Files of other programs and versions": (
        *("import", "convert_weights"),
        *("upgrade_net_proto_text", "upgrade_net_proto_binary", "upgrade_solver_proto_text"),
    ),
    "This computer": ("device_query", "completion", "language_server"),
}
COMMANDS = tuple(command for group in GROUPS.values() for command in group)


class CommonFlags(Flags):
    """Flags of all commands."""

    log_dir: str | None = flag(metavar="FOLDER", help="also write the log to a file in this folder")
    minloglevel: int | None = flag(
        metavar="N", help="smallest severity to log: 0 info, 1 warning, 2 error"
    )
    debug: bool = flag(help="print a traceback if the command fails")


def module_of(command: str) -> ModuleType:
    """Import a command."""
    return importlib.import_module(f"minicaffe.cli.commands.{command}")


def flags_of(command: str) -> type[Flags]:
    """Return the class of a command's flags."""
    kind: type[Flags] = next(iter(get_type_hints(module_of(command).run).values()))
    return kind


def overview() -> str:
    """Return the text of ``minicaffe --help``."""
    width = max(map(len, COMMANDS))
    lines = [
        "minicaffe: trains and runs nets in Caffe's files, with Caffe's commands.",
        "",
        "usage: minicaffe COMMAND [FLAGS]     (minicaffe COMMAND --help shows the flags)",
    ]
    for group, commands in GROUPS.items():
        lines += ["", f"{group}:"]
        lines += [f"  {command:{width}}  {summary(command)}" for command in commands]
    lines += ["", "Example: minicaffe train --solver=models/lenet/lenet_solver.prototxt"]
    return "\n".join(lines)


def summary(command: str) -> str:
    """Return the first line of a command's docstring, read from its file without importing it."""
    module = Path(__file__).with_name("commands") / f"{command}.py"
    with module.open(encoding="utf-8") as file:
        return file.readline().partition('"""')[2].rstrip(".\n")
