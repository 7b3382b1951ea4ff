"""Metrics of a run as columns, which are shorter in JSON than rows."""

from __future__ import annotations

from collections.abc import Sequence

from minicaffe.runs.metrics import MetricsRow

_MOST_ROWS = 20_000  # of displays, and of tests


def metric_columns(
    rows: Sequence[MetricsRow], offset: int, replaced: int | None
) -> dict[str, object]:
    """Return columns of the displays, and of the tests of each net.

    Parameters
    ----------
    rows : sequence of MetricsRow
        Of very many, some are left out.
    offset : int
        The place in the file, which is "next".
    replaced : int or None
        First iteration whose earlier rows are void; None: all of them count.
    """
    train = _thinned([row for row in rows if row.kind == "train"])
    nets = sorted({row.net for row in rows if row.kind == "test"})
    tests = [_thinned([row for row in rows if row.kind == "test" and row.net == n]) for n in nets]
    return {
        "next": offset,
        "replaced": replaced,
        "train": {
            **_columns(train),
            "lr": [row.rate for row in train],
            "loss": [row.loss for row in train],
            "images_per_s": [row.images_per_s for row in train],
        },
        "tests": [{"net": n, **_columns(of_net)} for n, of_net in zip(nets, tests, strict=True)],
    }


def _columns(rows: Sequence[MetricsRow]) -> dict[str, object]:
    names = dict.fromkeys(name for row in rows for name in row.outputs)
    return {
        "iteration": [row.iteration for row in rows],
        "seconds": [row.seconds for row in rows],
        "epoch": [row.epoch for row in rows],
        "outputs": {name: [row.outputs.get(name) for row in rows] for name in names},
    }


def _thinned(rows: Sequence[MetricsRow]) -> Sequence[MetricsRow]:
    """Return every k-th row and the last one."""
    step = len(rows) // _MOST_ROWS + 1
    return [*rows[:-1:step], rows[-1]] if step > 1 else rows
