"""Answer a text editor about prototxt: completion, documentation, problems.

Editors start it and speak to it through its standard streams, in the Language Server Protocol.
docs/editors.md has the settings for VS Code, Neovim, Helix, Emacs and Kate. It needs the package
pygls: pip install 'minicaffe[editor]'.

Example:
  minicaffe language_server
"""

from __future__ import annotations

import os
import sys

from minicaffe.cli.flags import Flags, flag
from minicaffe.errors import MissingPackage, UsageError

MINLOGLEVEL = 2


class LanguageServerFlags(Flags):
    """Flags of the command."""

    stdio: bool = flag(help="use the standard streams, as is done anyway; some editors add it")


def run(flags: LanguageServerFlags) -> int:
    """Run the command."""
    if sys.stdin.isatty():
        raise UsageError(
            "standard input is a terminal; text editors start this command and speak to it. "
            "docs/editors.md has their settings."
        )
    try:
        from minicaffe.editor.server import PrototxtServer
    except ImportError as error:
        raise MissingPackage(
            f"the language server needs package pygls ({error}). Install it with: "
            "pip install 'minicaffe[editor]'"
        ) from error
    # pygls closes the stream that it writes to.
    with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as stdout:
        PrototxtServer().start_io(stdout=stdout)
    return 0
