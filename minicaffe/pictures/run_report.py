"""Report of a run: one HTML page that needs no other file, no script and no network."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator, Sequence
from html import escape
from pathlib import Path

from minicaffe.analysis.confusion_tables import (
    MISTAKES,
    PER_CLASS,
    confusion_folders,
    read_table,
)
from minicaffe.analysis.training_log import read_log
from minicaffe.errors import DataError, MinicaffeError
from minicaffe.pictures.curves import training_panels
from minicaffe.pictures.graph_drawing import graph_bytes
from minicaffe.pictures.net_drawing import graph_of
from minicaffe.pictures.svg_chart import CHART_STYLE, svg_chart
from minicaffe.runs import log_of
from minicaffe.runs.metrics import MetricsRow, read_metrics
from minicaffe.runs.record import RunRecord, read_record
from minicaffe.runs.summary import next_commands, result_rows
from minicaffe.schema import read_net
from minicaffe.text.durations import duration_text

_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1f2328; --grey: #59636e;
  --line: #d8dde3; --box: #f4f6f8; --best: #dff3e3;
  --c0: #1f77b4; --c1: #c22f2f; --c2: #2a8a2a; --c3: #8256b3; --c4: #b35900; --c5: #0e8a99; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #15191e; --ink: #e6e9ed; --grey: #a0a9b3; --line: #363d45; --box: #20262d;
    --best: #1d4427; --c0: #6cb4ee; --c1: #f28b82; --c2: #7fce7f; --c3: #c4a3ea; --c4: #f0a35c;
    --c5: #5fd0dd; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60em; margin: 0 auto; padding: 1em; }
h2 { border-bottom: 1px solid var(--line); margin-top: 1.6em; }
table { border-collapse: collapse; } .wide { overflow: auto; max-height: 36em; }
th, td { text-align: left; padding: .2em .9em .2em 0; vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.best td { background: var(--best); }
pre, code { font: 14px/1.45 ui-monospace, monospace; background: var(--box); }
pre { padding: .7em; white-space: pre-wrap; overflow-wrap: anywhere; }
img { max-width: 100%; background: white; }
.small { color: var(--grey); font-size: 14px; }
"""
_NOT_FINITE = "not finite"
_MOST_MISTAKES = 30  # in the table
_MOST_IMAGE_BYTES = 20_000_000

Cells = Sequence[Sequence[str]]


def run_report(folder: Path, known: Collection[str]) -> str:
    """Return the report of a run as HTML.

    Parameters
    ----------
    folder : Path
        The run folder.
    known : collection of str
        The commands of the program.

    Raises
    ------
    DataError
        If run.json cannot be read. Sections without data say so.
    """
    record = read_record(folder)
    sections = [
        ("Result", _table(result_rows(record, folder))),
        ("Next commands", _commands(record, folder, known)),
        ("Curves", _curves(folder)),
        ("Tests", _tests(record, read_metrics(folder))),
        *(_confusion(path) for path in confusion_folders(folder)),
        ("Settings", _settings(record, folder)),
        ("Net", _net(folder)),
        ("Files", _files(folder)),
    ]
    title = f"Run {folder.resolve().name}"
    body = "\n".join(f"<h2>{escape(head)}</h2>\n{content}" for head, content in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}{CHART_STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{escape(title)}</h1>\n<p class="small">{escape(_dates(record))}</p>\n'
        f"{body}\n</body>\n</html>\n"
    )


def _dates(record: RunRecord) -> str:
    started, ended = (text[:16].replace("T", " ") for text in (record.started, record.ended))
    return f"started {started}" + (f", ended {ended}" if ended else ", has not ended")


def _table(rows: Cells, head: Sequence[str] = (), best: int | None = None) -> str:
    """Return a table; columns whose cells are all numbers are aligned at the right."""
    columns = zip(*rows, strict=True)
    kinds = [' class="number"' if all(map(_is_number, column)) else "" for column in columns]
    lines = []
    if head:
        cells = zip(head, kinds or [""] * len(head), strict=True)
        lines.append("<tr>" + "".join(f"<th{kind}>{escape(cell)}</th>" for cell, kind in cells))
    for k, row in enumerate(rows):
        cells = zip(row, kinds, strict=True)
        line = "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in cells)
        lines.append(f"<tr{' class=best' if k == best else ''}>{line}")
    content = "".join(f"{line}</tr>\n" for line in lines)
    return f'<div class="wide"><table>\n{content}</table></div>'


def _is_number(text: str) -> bool:
    return text == _NOT_FINITE or not text.strip("0123456789.,:+-e")


def _commands(record: RunRecord, folder: Path, known: Collection[str]) -> str:
    parts = [f'<p class="small">In the folder {escape(record.folder)}:</p>']
    for task, command in next_commands(record, folder, set(known) - {"report"}):
        parts.append(f"<p>{escape(task)}</p><pre>{escape(command)}</pre>")
    return "".join(parts)


def _details(title: str, content: str, is_open: bool = False) -> str:
    state = " open" if is_open else ""
    return f"<details{state}><summary>{escape(title)}</summary>\n{content}</details>"


def _curves(folder: Path) -> str:
    try:
        panels = training_panels([read_log(log_of(str(folder)))])
    except DataError as error:
        return f"<p>{escape(str(error))}</p>"
    return "\n".join(svg_chart(panel, "iteration") for panel in panels)


def _tests(record: RunRecord, metrics: Sequence[MetricsRow]) -> str:
    tests = [row for row in metrics if row.kind == "test"]
    if not tests:
        return "<p>Nothing was tested.</p>"
    parts = []
    for net in dict.fromkeys(row.net for row in tests):
        rows = [row for row in tests if row.net == net]
        names = list(dict.fromkeys(name for row in rows for name in row.outputs))
        cells = [
            [
                str(row.iteration),
                duration_text(row.seconds),
                *(_value(row.outputs.get(name)) for name in names),
            ]
            for row in rows
        ]
        is_scored = record.best is not None and record.score.get("net") == net
        at = record.best.iteration if record.best is not None and is_scored else None
        best = next((k for k, row in enumerate(rows) if row.iteration == at), None)
        if net:
            parts.append(f"<h3>Test net {net}</h3>")
        parts.append(_table(cells, ["iteration", "time", *names], best))
    return "\n".join(parts)


def _value(value: float | None) -> str:
    return _NOT_FINITE if value is None else f"{value:.6g}"


def _confusion(folder: Path) -> tuple[str, str]:
    parts = [_image(folder / f"{name}.png") for name in ("confusion", "mistakes")]
    rows = read_table(folder / PER_CLASS)
    if rows:
        parts.append(_details("Accuracy of each class", _table(rows[1:], rows[0])))
    rows = read_table(folder / MISTAKES)
    if rows[1:]:
        shown = rows[1 : 1 + _MOST_MISTAKES]
        title = f"Mistakes: {len(shown)} of {len(rows) - 1}"
        parts.append(_details(title, _table(shown, rows[0])))
    return f"Confusion matrix in {folder.name}", "\n".join(filter(None, parts))


def _image(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError:
        return ""
    if len(content) > _MOST_IMAGE_BYTES:
        return f"<p>{escape(path.name)} is too large to be included.</p>"
    data = base64.b64encode(content).decode()
    return f'<p><img alt="{escape(path.stem)}" src="data:image/png;base64,{data}"></p>'


def _settings(record: RunRecord, folder: Path) -> str:
    rows = [
        ("command", " ".join(["minicaffe", *record.command])),
        ("folder", record.folder),
        ("overrides", " ".join(record.overrides) or "none"),
        ("seed", str(record.seed)),
        *record.versions.items(),
        *((key.replace("_", " "), str(value)) for key, value in record.machine.items()),
    ]
    files = [folder / "solver.prototxt", folder / "train.prototxt"]
    files += sorted(folder.glob("test-*.prototxt"))
    parts = [_table(rows)]
    for path in files:
        if path.is_file():
            text = path.read_text("utf-8", "replace")
            parts.append(_details(path.name, f"<pre>{escape(text)}</pre>"))
    return "\n".join(parts)


def _net(folder: Path) -> str:
    try:
        graph, sizes = graph_of(read_net(folder / "train.prototxt"), ("TRAIN",))
        svg = graph_bytes(graph, ".svg").decode()
    except MinicaffeError as error:
        return f"<p>The net cannot be drawn: {escape(str(error))}</p>"
    notes = "".join(f'<p class="small">{escape(note)}</p>' for note in sizes.notes())
    return f'{notes}<div class="wide">{svg}</div>'


def _files(folder: Path) -> str:
    return _table(list(_file_rows(folder)), ["file", "bytes"])


def _file_rows(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield str(path.relative_to(folder)), f"{path.stat().st_size:,}"
