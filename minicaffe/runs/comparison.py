"""Comparison of runs: the settings of solver and net that differ, and the scores."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from minicaffe.errors import MinicaffeError
from minicaffe.log import logger
from minicaffe.runs.record import RunRecord
from minicaffe.schema import NetParameter, SolverParameter, read_prototxt
from minicaffe.schema.locations import repeated_fields
from minicaffe.schema.text import value_text
from minicaffe.text.durations import duration_text

_NONE = "-"  # in the column of a run that lacks a setting
_LAYER = re.compile(r".*?\.layer\[[^\]]*\]")
_TEST_NET = re.compile(r"^test-\d+\.")


def comparison_rows(runs: Sequence[tuple[Path, RunRecord]]) -> list[list[str]]:
    """Return a table whose columns are runs; its first row has their names.

    Rows are the settings that differ, and then state, iterations, scores and time.
    """
    rows = [["", *(folder.name for folder, _ in runs)]]
    rows += _differing_rows([_settings(folder, record) for folder, record in runs])
    results = [_results(record) for _, record in runs]
    for name in dict.fromkeys(name for one in results for name in one):
        rows.append([name, *(one.get(name, _NONE) for one in results)])
    return rows


def _differing_rows(settings: Sequence[dict[str, str]]) -> Iterator[list[str]]:
    """Yield the settings that differ: one row for a layer that a run lacks, and for all nets."""
    layers = [{_layer_of(name) for name in one} for one in settings]
    shown: dict[str, list[str]] = {}
    for name in dict.fromkeys(name for one in settings for name in one):
        values = [one.get(name, _NONE) for one in settings]
        layer = _layer_of(name)
        compared = {v for v, k in zip(values, layers, strict=True) if not layer or layer in k}
        if layer and any(layer not in known for known in layers):
            shown.setdefault(layer, [one.get(f"{layer}.type", _NONE) for one in settings])
        if len(compared) > 1:
            shown[name] = values
    for name, values in shown.items():
        if not _is_repeated(name, shown):
            yield [name, *values]


def _layer_of(name: str) -> str:
    """Return the beginning of the name of a setting that names a layer; empty without one."""
    found = _LAYER.match(name)
    return found[0] if found else ""


def _is_repeated(name: str, shown: dict[str, list[str]]) -> bool:
    """Return whether a setting of a test net has the values of the training net."""
    of_training = _TEST_NET.sub("net.", name)
    return of_training != name and shown.get(of_training) == shown[name]


def _results(record: RunRecord) -> dict[str, str]:
    name = record.score.get("output", "")
    found = {"state": record.state, "iterations": f"{record.iteration}"}
    for kind, score in (("best", record.best), ("last", record.last)):
        if score is not None:
            found[f"{kind} {name}"] = f"{score.value:.6g}"
            if kind == "best":
                found[f"best {name} at iteration"] = f"{score.iteration}"
    found["time"] = duration_text(record.seconds)
    if record.images_per_s:
        found["images/s"] = f"{record.images_per_s:.0f}"
    return found


def _settings(folder: Path, record: RunRecord) -> dict[str, str]:
    found: dict[str, str] = {}
    files: list[tuple[str, type[Message], str]] = [
        ("solver.prototxt", SolverParameter, ""),
        ("train.prototxt", NetParameter, "net."),
    ]
    tests = sorted(folder.glob("test-*.prototxt"))
    files += [(path.name, NetParameter, f"{path.stem}.") for path in tests]
    for name, kind, prefix in files:
        try:
            message = read_prototxt(folder / name, kind).message
        except MinicaffeError as error:
            logger.warning(f"{folder}: its settings are not compared: {error}")
            continue
        found.update(_flat(message, prefix))
    found["seed"] = str(record.seed)
    if flags := [word for word in record.command if word.startswith("--weights=")]:
        found["weights"] = flags[-1]
    found["computes with"] = record.machine.get("computes_with", _NONE)
    found["version"] = record.versions.get("minicaffe", _NONE)
    return found


def _flat(message: Message, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield the settings of a message: path and value, as `--set` takes them."""
    repeated = repeated_fields(cast(Descriptor, message.DESCRIPTOR))
    for field, value in message.ListFields():
        entries = value if field.name in repeated else [value]
        if field.message_type is None:
            yield prefix + field.name, ", ".join(value_text(field, entry) for entry in entries)
            continue
        for k, entry in enumerate(entries):
            index = f"[{getattr(entry, 'name', '') or k}]" if field.name in repeated else ""
            yield from _flat(entry, f"{prefix}{field.name}{index}.")
