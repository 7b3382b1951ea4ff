"""Figures of matplotlib: made without pyplot, so that no display or state is involved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minicaffe.atomic_file import write_atomically
from minicaffe.errors import MissingPackage, UsageError

_TYPES = (".png", ".svg", ".pdf")
_DOTS_PER_INCH = 100


def check_figure_type(path: str | Path) -> None:
    """Refuse a file name whose ending says nothing that can be drawn."""
    if Path(path).suffix.lower() not in _TYPES:
        raise UsageError(f"{path}: the ending says what to draw; give one of {', '.join(_TYPES)}")


def new_figure(width_in: float, height_in: float) -> Any:
    """Return an empty matplotlib Figure that fits its content into its size.

    Raises
    ------
    MissingPackage
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackage(
            "drawing curves needs matplotlib, which is not installed. "
            "Run: pip install 'minicaffe[plot]'"
        ) from error
    return Figure((width_in, height_in), dpi=_DOTS_PER_INCH, layout="constrained")


def save_figure(figure: Any, path: str | Path) -> None:
    """Write a figure as the ending of `path` says; the same figure gives the same bytes."""
    import matplotlib as mpl

    path = Path(path)
    kind = path.suffix.lower()
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(kind)
    with write_atomically(path) as file, mpl.rc_context({"svg.hashsalt": "minicaffe"}):
        figure.savefig(file, format=kind[1:], metadata=metadata)
