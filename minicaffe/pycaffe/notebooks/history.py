"""What the displays and tests of a solver have logged, for plots and tables."""

from __future__ import annotations

import html

from minicaffe.errors import UsageError, nearest
from minicaffe.solver.reports import DisplayReport, ScoreReport

_MOST_ROWS = 10

Rows = list[dict[str, float]]


class TrainingHistory:
    """What the displays and tests of a solver have logged.

    ``pandas.DataFrame(solver.history.test)`` is a table of it. A notebook shows its last rows.

    Attributes
    ----------
    train : list of dict
        One for each display: iteration, lr, loss (the mean of the last average_loss iterations),
        and the outputs of the net by name.
    test : list of dict
        One for each test of a test net: iteration, net (its index), and its outputs by name.

    Examples
    --------
    >>> plt.plot(*solver.history.curve("loss"))
    >>> plt.plot(*solver.history.curve("accuracy", "test"))
    """

    def __init__(self) -> None:
        self.train: Rows = []
        self.test: Rows = []

    def add_display(self, report: DisplayReport) -> None:
        """Add what a display logs."""
        row = {"iteration": report.iteration, "lr": report.rate, "loss": report.loss}
        self.train.append(row | {k: v for k, v in report.outputs.items() if k not in row})

    def add_scores(self, report: ScoreReport) -> None:
        """Add the scores of a test net."""
        row = {"iteration": report.iteration, "net": report.net}
        self.test.append(row | {k: v for k, v in report.outputs.items() if k not in row})

    def curve(self, name: str, kind: str = "train", net: int = 0) -> tuple[list[int], list[float]]:
        """Return iterations and values of an output, to plot one against the other.

        Parameters
        ----------
        name : str
            An output, "loss" or "lr".
        kind : {"train", "test"}
            Displays or tests.
        net : int
            The index of the test net.

        Raises
        ------
        UsageError
            If nothing of this name has been logged.
        """
        if kind not in ("train", "test"):
            raise UsageError(f'history.curve: kind is "{kind}"; it must be "train" or "test"')
        rows = self.train if kind == "train" else [row for row in self.test if row["net"] == net]
        found = [row for row in rows if name in row]
        if not found:
            known = {key for row in rows for key in row} - {"iteration", "net"}
            why = nearest(name, known) if known else "Nothing has been logged yet."
            raise UsageError(f'history.curve: no "{name}" of kind "{kind}". {why}')
        return [int(row["iteration"]) for row in found], [row[name] for row in found]

    def __repr__(self) -> str:
        return f"TrainingHistory({len(self.train)} displays, {len(self.test)} tests)"

    def _repr_html_(self) -> str:
        return _table("displays", self.train) + _table("tests", self.test)


def _table(what: str, rows: Rows) -> str:
    """Return the last rows as an HTML table."""
    if not rows:
        return f"<p>no {what}</p>"
    names = list(dict.fromkeys(name for row in rows[-_MOST_ROWS:] for name in row))
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr>{''.join(f'<td>{_cell(row.get(name))}</td>' for name in names)}</tr>"
        for row in rows[-_MOST_ROWS:]
    )
    first = f"the last {_MOST_ROWS} of " if len(rows) > _MOST_ROWS else ""
    return (
        f"<table><caption>{first}{len(rows)} {what}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
