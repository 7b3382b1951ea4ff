"""Values of flags that a shell completes: runs and their weights, nets, outputs, settings.

Modules that import NumPy or protobuf are imported where they are needed, so that Tab answers fast.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from minicaffe.editor.paths import paths_that_begin_with
from minicaffe.errors import MinicaffeError
from minicaffe.log import suppress_info

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor, FieldDescriptor

# Takes the beginning of the value and the arguments before it.
Completer: TypeAlias = Callable[[str, argparse.Namespace], Iterable[str]]

_WEIGHTS = (".caffemodel", ".h5", ".npz", ".safetensors")
# A name, and in brackets the layers that are meant.
_STEP = re.compile(r"([^.\[\]=]+)(?:\[[^\]]*\])?\.")


def add_completers(parser: argparse.ArgumentParser) -> None:
    """Give the flags of a parser functions that complete their values, for argcomplete."""
    for action in parser._actions:
        completer = _completer_of(action)
        if completer is not None:
            action.completer = _for_argcomplete(completer)  # type: ignore[attr-defined]


def _for_argcomplete(completer: Completer) -> Callable[..., list[str]]:
    def complete(prefix: str, parsed_args: argparse.Namespace, **others: object) -> list[str]:
        return [word for word in completer(prefix, parsed_args) if word.startswith(prefix)]

    return complete


def _completer_of(action: argparse.Action) -> Completer | None:
    if getattr(action.type, "__name__", "") == "weights_files":
        return _weights
    return _COMPLETERS.get((action.metavar, action.dest)) or _COMPLETERS.get((action.metavar, ""))


def _runs(prefix: str, given: argparse.Namespace) -> Iterator[str]:
    """Yield the runs of runs/ by name, and the folders that may contain others."""
    from minicaffe.runs.folder import run_folders

    yield from (path.name for path in run_folders())
    yield from _files((), prefix)


def _weights(prefix: str, given: argparse.Namespace) -> Iterator[str]:
    """Yield weights files, folders, and RUN/best and RUN/last of the runs that have them."""
    from minicaffe.runs.folder import is_run, kept_weights, run_folders

    inside = [Path(prefix).parent if "/" in prefix else Path(prefix)]
    for run in dict.fromkeys([*run_folders(), *filter(is_run, inside)]):
        yield from (
            f"{run.as_posix()}/{kind}" for kind in ("best", "last") if kept_weights(run, kind)
        )
    yield from _files(_WEIGHTS, prefix)


def _snapshots(prefix: str, given: argparse.Namespace) -> Iterator[str]:
    yield from _files((".solverstate", ".solverstate.h5"), prefix)


def _files(endings: tuple[str, ...], prefix: str) -> Iterator[str]:
    """Yield files with one of some endings, and folders with a slash."""
    for path, is_folder in paths_that_begin_with(prefix, [Path()]).items():
        if is_folder:
            yield f"{path}/"
        elif path.endswith(endings):
            yield path


def _shipped_nets(prefix: str, given: argparse.Namespace) -> Iterator[str]:
    from minicaffe.shipped_files import shipped_folder

    with suppress(MinicaffeError):
        yield from sorted(
            readme.parent.name for readme in shipped_folder("models").glob("*/readme.md")
        )


def _data_sets(prefix: str, given: argparse.Namespace) -> Iterable[str]:
    from minicaffe.data.datasets import DATA_SETS

    return list(DATA_SETS)


def _scores(prefix: str, given: argparse.Namespace) -> Iterator[str]:
    """Yield the outputs of the solver's test nets."""
    from minicaffe.net.include_rules import filter_layers
    from minicaffe.net.splits import insert_splits
    from minicaffe.net.wiring import wire
    from minicaffe.schema import read_solver
    from minicaffe.solver.nets import test_net_sources

    with suppress(MinicaffeError, OSError), suppress_info():
        for source, state in test_net_sources(read_solver(_solver(given))):
            yield from wire(insert_splits(filter_layers(source, state)), source).outputs


def _solver(given: argparse.Namespace) -> str:
    return str(given.solver_file or given.solver or "")


def _settings(prefix: str, given: argparse.Namespace) -> Iterator[str]:
    """Yield fields of the solver and of its nets with "=" or ".", or values of one."""
    from minicaffe.schema import NetParameter, SolverParameter

    path, has_value, _ = prefix.partition("=")
    message: Descriptor | None = cast("Descriptor", SolverParameter.DESCRIPTOR)
    done = 0
    while message is not None and (step := _STEP.match(path, done)) is not None:
        if done == 0 and step[1] == "net":
            message = cast("Descriptor", NetParameter.DESCRIPTOR)
        else:
            field = message.fields_by_name.get(step[1])
            message = field.message_type if field is not None else None
        done = step.end()
    if message is None:
        return
    if has_value:
        field = message.fields_by_name.get(path[done:])
        yield from (f"{path}={value}" for value in _values_of(field))
        return
    yield from ["net."] if done == 0 else []
    for name, field in message.fields_by_name.items():
        if path[:done] == "net." and name == "layer":
            yield from (f"net.layer[{layer}]." for layer in _layers(given))
        yield f"{path[:done]}{name}" + ("=" if field.message_type is None else ".")


def _values_of(field: FieldDescriptor | None) -> Iterable[str]:
    from minicaffe.editor.known_values import names_of
    from minicaffe.editor.manual import name_in_schema

    if field is None:
        return ()
    if field.enum_type is not None:
        return [value.name for value in field.enum_type.values]
    if field.cpp_type == field.CPPTYPE_BOOL:
        return ("true", "false")
    return names_of(name_in_schema(field))


def _layers(given: argparse.Namespace) -> list[str]:
    """Return the names of the layers of the solver's training net."""
    from minicaffe.schema import read_solver
    from minicaffe.solver.nets import train_net_source

    with suppress(MinicaffeError, OSError), suppress_info():
        source, _ = train_net_source(read_solver(_solver(given)))
        return list(dict.fromkeys(layer.name for layer in source.param.layer))
    return []


def _database_actions(prefix: str, given: argparse.Namespace) -> Iterator[str]:
    """Yield the actions of the command db, and the folders that may be databases."""
    from minicaffe.cli.commands._db_flags import ACTIONS

    yield from ACTIONS
    yield from _files((), prefix)


# By metavar, and by the name of the attribute if others have the metavar.
_COMPLETERS: dict[tuple[object, str], Completer] = {
    ("RUN", ""): _runs,
    ("SET", ""): _data_sets,
    ("ACTION", "action"): _database_actions,
    ("NAME", "name"): _shipped_nets,
    ("NAME", "net"): _shipped_nets,
    ("FILE", "snapshot"): _snapshots,
    ("OUTPUT[:max|min]", ""): _scores,
    ("FIELD=VALUE", ""): _settings,
}
