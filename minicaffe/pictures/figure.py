"""matplotlib figures: creation without pyplot (no display, no global state) and saving."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from minicaffe.atomic_file import write_atomically
from minicaffe.errors import MissingPackage, UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TYPES = (".png", ".svg", ".pdf")
_DOTS_PER_INCH = 100


def check_figure_type(path: str | Path) -> None:
    """Raise UsageError unless the extension of a file is one that figures are saved as."""
    if Path(path).suffix.lower() not in _TYPES:
        raise UsageError(
            f"{path}: unknown type of figure; the extension must be {', '.join(_TYPES)}"
        )


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return an empty matplotlib Figure with constrained layout.

    Raises
    ------
    MissingPackage
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingPackage(
            "drawing figures needs matplotlib, which is not installed. "
            "Run: pip install 'minicaffe[plot]'"
        ) from error
    return Figure((width_in, height_in), dpi=_DOTS_PER_INCH, layout="constrained")


def save_figure(figure: Figure, path: str | Path) -> None:
    """Save a figure in the format of the file's extension; equal figures give equal bytes."""
    import matplotlib as mpl

    path = Path(path)
    kind = path.suffix.lower()
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(kind)
    with write_atomically(path) as file, mpl.rc_context({"svg.hashsalt": "minicaffe"}):
        figure.savefig(file, format=kind[1:], metadata=metadata)
