"""The notebook that runs this process, if one does; IPython is not needed otherwise."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Protocol, cast


class NotebookShell(Protocol):
    """IPython's shell in the kernel of a notebook.

    Attributes
    ----------
    execution_count : int
        The number of the cell that runs.
    """

    execution_count: int


def notebook_shell() -> NotebookShell | None:
    """Return IPython's shell if this process is the kernel of a notebook, otherwise None."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if isinstance(ipython, ModuleType) else None
    return cast(NotebookShell, shell) if getattr(shell, "kernel", None) is not None else None


def display_text(text: str, display_id: str, is_new: bool) -> None:
    """Display a text in the cell that runs, or replace the one with the same id.

    Only for processes in which `notebook_shell` has found a notebook.
    """
    module = importlib.import_module("IPython.display")
    show = module.display if is_new else module.update_display
    show({"text/plain": text}, raw=True, display_id=display_id)
