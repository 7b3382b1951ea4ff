"""Text about runs: the summary of one with the next commands, and the table of several."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from pathlib import Path

from minicaffe.runs.folder import kept_weights
from minicaffe.runs.record import FINISHED, KILLED, RunRecord, ScoredIteration
from minicaffe.text_width import display_width, padded

# Flags of train that the command to resume replaces.
_OF_THE_START = ("--snapshot=", "--resume=", "--weights=", "--run=")
_NUMBERS = frozenset({"iterations", "best", "last", "time"})  # columns aligned at the right


def summary_lines(record: RunRecord, folder: Path | None, known: Collection[str]) -> list[str]:
    """Return the summary of a run: scores, time, files and the next commands.

    Parameters
    ----------
    record : RunRecord
    folder : Path or None
        The run folder, if there is one.
    known : collection of str
        The commands of the program.
    """
    rows = result_rows(record, folder)
    rows += _files(record, folder)
    rows += next_commands(record, folder, known)
    width = max(display_width(head) for head, _ in rows)
    return [f"{padded(head, width)}  {text}" for head, text in rows]


def result_rows(record: RunRecord, folder: Path | None) -> list[tuple[str, str]]:
    """Return the state of a run, its progress, and its best and last score, with their names."""
    rows = [("run", " ".join(filter(None, [str(folder or ""), _state(record)])))]
    rows.append(("iterations", _progress(record)))
    name = str(record.score.get("output", ""))
    for kind, score in (("best", record.best), ("last", record.last)):
        if score is not None:
            rows.append((f"{kind} {name}", f"{score.value:.6g} at iteration {score.iteration}"))
    return rows


def run_table(runs: Sequence[tuple[str, RunRecord]]) -> list[str]:
    """Return a table of runs, a line each; `runs` are names and records."""
    head = ["name", "state", "iterations", "score", "best", "last", "time", "date"]
    rows = [
        [
            name,
            record.state,
            f"{record.iteration}/{record.max_iter}",
            str(record.score.get("output", "")),
            _value(record.best),
            _value(record.last),
            duration_text(record.seconds),
            record.started[:16].replace("T", " "),
        ]
        for name, record in runs
    ]
    return aligned_table([head, *rows])


def aligned_table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table; the first row names the columns."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(display_width, column)) for column in columns]
    lines = (
        "  ".join(
            padded(cell, width, on_the_left=name in _NUMBERS)
            for cell, width, name in zip(row, widths, rows[0], strict=True)
        )
        for row in rows
    )
    return [line.rstrip() for line in lines]


def duration_text(seconds: float) -> str:
    """Return a time as minutes and seconds, or hours, minutes and seconds: ``1:02:03``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _state(record: RunRecord) -> str:
    return f"{record.state}: {record.error}" if record.error else record.state


def _progress(record: RunRecord) -> str:
    text = f"{record.iteration} of {record.max_iter} in {duration_text(record.seconds)}"
    n = record.iteration - record.first_iteration
    speeds = [f"{n / record.seconds:.1f} iterations/s"] if record.seconds and n else []
    if speeds and record.images_per_s:
        speeds.append(f"{record.images_per_s:.0f} images/s")
    return f"{text} ({', '.join(speeds)})" if speeds else text


def _value(score: ScoredIteration | None) -> str:
    return "" if score is None else f"{score.value:.4g}"


def _files(record: RunRecord, folder: Path | None) -> list[tuple[str, str]]:
    files = [record.best.weights] if record.best is not None and record.best.weights else []
    files += [record.snapshot[key] for key in ("weights", "state") if key in record.snapshot]
    if folder is not None:
        files.append(f"{folder}/log.txt, metrics.jsonl, run.json, solver.prototxt, ...")
    heads = ["files", *[""] * len(files)]
    return list(zip(heads, files, strict=False))


def next_commands(
    record: RunRecord, folder: Path | None, known: Collection[str]
) -> list[tuple[str, str]]:
    """Return the next tasks and their commands; `known` are the commands of the program."""
    return [(task, f"minicaffe {words}") for task, words in _next(record, folder, known)]


def _next(record: RunRecord, folder: Path | None, known: Collection[str]) -> list[tuple[str, str]]:
    found = []
    if words := resume_words(record):
        found.append(("go on" if record.state == FINISHED else "resume", shlex.join(words)))
    if folder is None:
        return found
    kept = next((kind for kind in ("best", "last") if kept_weights(folder, kind)), None)
    if kept and record.test_iter:
        words = ["test", f"--model={folder}/test-0.prototxt", f"--weights={folder}/{kept}"]
        found.append(("test", shlex.join([*words, f"--iterations={max(record.test_iter[0], 1)}"])))
    if kept and "predict" in known:
        found.append(("predict", f"{shlex.join(['predict', str(folder)])} IMAGES"))
    if "report" in known:
        found.append(("report", shlex.join(["report", str(folder)])))
    found.append(("plot", shlex.join(["plot", str(folder), f"--output={folder}/plot.png"])))
    return found


def resume_words(record: RunRecord) -> list[str]:
    """Return the words of the command that resumes a run; [] without a snapshot."""
    begin = tuple(_OF_THE_START)
    more = []
    if record.state == FINISHED:
        if record.iteration < record.max_iter:  # patience has ended it
            return []
        begin += ("--max_iter=",)
        more = [f"--max_iter={2 * record.max_iter}"]
    words = [word for word in record.command if not word.startswith(begin)]
    if record.state == KILLED:
        return [*words, "--resume=auto"]
    if "state" not in record.snapshot:
        return []
    return [*words, f"--snapshot={record.snapshot['state']}", *more]
