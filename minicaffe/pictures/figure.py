"""matplotlib figures: creation without pyplot (no display, no global state) and saving."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from minicaffe.atomic_file import write_atomically
from minicaffe.errors import MissingPackage, UsageError
from minicaffe.pictures.font import font_file, warn_of_missing_font

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TYPES = (".png", ".svg", ".pdf")
_DOTS_PER_INCH = 150
_FAMILY = ("DejaVu Sans",)  # comes with matplotlib
_MISSING_GLYPH = re.compile(r"Glyph (\d+)\b.* missing from ")


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
    _choose_fonts(figure)
    with (
        write_atomically(path) as file,
        mpl.rc_context({"svg.hashsalt": "minicaffe"}),
        _one_warning_of_glyphs(),
    ):
        figure.savefig(file, format=kind[1:], metadata=metadata)


def _choose_fonts(figure: Figure) -> None:
    """Let texts with Korean, Chinese or Japanese characters fall back to an installed font."""
    from matplotlib import font_manager
    from matplotlib.text import Text

    for axes in figure.axes:  # which makes the texts of the ticks
        axes.get_xticklabels(), axes.get_yticklabels()
    texts = [text for text in figure.findobj(Text) if not text.get_text().isascii()]
    for text in texts:
        path = font_file(text.get_text())
        if path is not None:
            font_manager.fontManager.addfont(path)
            name = font_manager.FontProperties(fname=path).get_name()
            text.set_fontfamily([*_FAMILY, name])


@contextmanager
def _one_warning_of_glyphs() -> Iterator[None]:
    """Replace matplotlib's warnings about missing glyphs, one for each, by one for all."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    missing = ""
    for one in caught:
        if glyph := _MISSING_GLYPH.match(str(one.message)):
            missing += chr(int(glyph[1]))
        else:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    if missing:
        warn_of_missing_font("".join(dict.fromkeys(missing)))
