"""What a command says of the exception that ends it, and its exit code."""

from __future__ import annotations

from minicaffe.cli.program.unexpected import is_from_users_code, unexpected_error
from minicaffe.errors import MinicaffeError
from minicaffe.path_hints import missing_file_hint, one_line

# The exit code of programs that Ctrl-C ends: 128 + SIGINT.
INTERRUPTED = 130


class Failures:
    """Texts for the exceptions of a command.

    Parameters
    ----------
    command : str

    Attributes
    ----------
    debug : bool
        Whether each exception is shown with its traceback.
    """

    def __init__(self, command: str) -> None:
        self.command, self.debug = command, False

    def has_traceback(self, error: BaseException) -> bool:
        """Return whether the traceback is shown: with --debug, or for the author of a layer."""
        return self.debug or (isinstance(error, Exception) and is_from_users_code(error))

    def message_of(self, error: BaseException) -> str:
        """Return the message, of one line or several."""
        if isinstance(error, MinicaffeError):
            return _with_notes(str(error), error)
        if isinstance(error, MemoryError):
            return f"out of memory: {error}. Use a smaller batch_size and a larger iter_size."
        if isinstance(error, OSError):
            return os_error_text(error)
        if isinstance(error, KeyboardInterrupt):
            return _with_notes("stopped by Ctrl-C", error)
        if isinstance(error, Exception) and is_from_users_code(error):
            return _with_notes(f"{type(error).__name__}: {error}", error)
        if isinstance(error, Exception):
            return unexpected_error(error, self.command)
        return f"stopped by {type(error).__name__}({error})"


def os_error_text(error: OSError) -> str:
    """Return the message for an error of the operating system, with a hint about the file."""
    hint = missing_file_hint(error.filename) if isinstance(error.filename, str) else ""
    where = one_line(str(error.filename or "standard output"))
    return f"{where}: {error.strerror or error}{hint and '.'}{hint}"


def exit_code_of(error: BaseException) -> int:
    """Return the exit code of a process that an exception ends."""
    if isinstance(error, MinicaffeError):
        return error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    return 1


def _with_notes(text: str, error: BaseException) -> str:
    """Return the text of an error, followed by its notes."""
    notes = getattr(error, "__notes__", ())
    if not notes:
        return text
    return f"{text}{'' if text.endswith(('.', '?')) else '.'} {'. '.join(notes)}"
