"""Measurements as lines of a markdown table and as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

HEAD = "| work | minicaffe | compared with | ratio | wanted | |\n|---|---|---|---|---|---|"


@dataclass
class Row:
    """One measurement.

    Parameters
    ----------
    work : str
        What was measured.
    own, other : str
        The two figures with units; `other` also names its source.
    ratio : float, optional
        Speedup, or fraction of a limit; None: there was nothing to compare with.
    wanted : float, optional
        The ratio to reach, or not to exceed if `is_limit`; None: no requirement.
    details : dict
        More figures for the JSON file.
    """

    work: str
    own: str
    other: str
    ratio: float | None
    wanted: float | None
    is_limit: bool = False
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def is_met(self) -> bool:
        """Whether the ratio meets the requirement, if there are both."""
        if self.wanted is None or self.ratio is None:
            return True
        return self.ratio <= self.wanted if self.is_limit else self.ratio >= self.wanted

    def markdown(self) -> str:
        """Return the line of the table."""
        bound = "at most" if self.is_limit else "at least"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        wanted = "" if self.wanted is None else f"{bound} {self.wanted:.3g}"
        verdict = ("met" if self.is_met else "missed") if ratio and wanted else ""
        cells = (self.work, self.own, self.other, ratio, wanted, verdict)
        return f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|"

    def json(self) -> dict[str, Any]:
        """Return all fields for the JSON file."""
        return {**asdict(self), "is_met": self.is_met}
