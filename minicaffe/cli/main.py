"""Entry point of the ``minicaffe`` program: runs a command and converts errors to exit codes.

A command is a module of `minicaffe.cli.commands` with a function ``run(flags) -> int``. The
annotation of `flags` is the class that declares the command's flags (see `minicaffe.cli.flags`);
the docstring of the module is the help text, and its first line the summary in the overview. A
command whose log few users want sets ``MINLOGLEVEL = 1``, the default of its --minloglevel. To add
a command, write its module and add its name to `GROUPS` in `minicaffe.cli.overview`. Only the
module of the command that runs is imported, so that ``minicaffe --help`` starts fast.
"""

from __future__ import annotations

import argparse
import atexit
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, ModuleType

from minicaffe import __version__, log
from minicaffe.cli import shell_completion
from minicaffe.cli.flags import Flags
from minicaffe.cli.gflags import FlagParser
from minicaffe.cli.overview import COMMANDS, CommonFlags, flags_of, module_of, overview
from minicaffe.cli.streams import overwrite_line, prepare_streams
from minicaffe.cli.unexpected import is_from_users_code, unexpected_error
from minicaffe.errors import MinicaffeError, UsageError, nearest
from minicaffe.fatal_signals import show_fatal_signals
from minicaffe.path_hints import missing_file_hint, one_line

# The exit code of programs that Ctrl-C ends: 128 + SIGINT.
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Command and flags. By default those of the process, which is then this program: its SIGINT
        handler and `faulthandler` are set, and stay so.
    """
    if argv is None:
        if shell_completion.REQUEST in os.environ:
            shell_completion.complete()
        return _as_process(lambda: _run_words(sys.argv[1:]))
    return _with_output(lambda: _run_words(list(argv)))


def _run_words(words: list[str]) -> int:
    if len(words) == 2 and words[0] == "help" and words[1] in COMMANDS:
        words = [words[1], "--help"]
    if not words or words[0] in ("-h", "--help", "-help", "help", "--helpshort", "-helpshort"):
        print(overview())
        return 0 if words else 2
    if words[0] in ("--version", "-version"):
        print(f"minicaffe {__version__}")
        return 0
    # gflags accepts flags before the command: caffe --solver=x train
    flags_first = words[0].startswith("-")
    at = next((i for i, word in enumerate(words) if flags_first and word in COMMANDS), 0)
    command = words.pop(at)
    if command not in COMMANDS:
        print(
            f"minicaffe: no command {command}. {nearest(command, (*COMMANDS, 'help'))}",
            file=sys.stderr,
        )
        return 2
    return _run_command(command, words)


def run_command(command: str, argv: Sequence[str]) -> int:
    """Run one command with its arguments and return the exit code."""
    return _with_output(lambda: _run_command(command, argv))


class _CtrlC:
    """SIGINT handler of the process: the first signal ends the command, the next one the process.

    The second one therefore leaves no traceback of code that was ending the command.
    """

    def __init__(self) -> None:
        self._is_ending = False

    def install(self) -> None:
        """Handle SIGINT, unless the process was started with SIGINT ignored (nohup, `&`)."""
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._catch)
            # Python resets its handlers after the last of the exit functions, the first registered.
            atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)

    def end(self) -> None:
        """Let the next signal end the process: the command has ended."""
        self._is_ending = True

    def _catch(self, number: int, frame: FrameType | None) -> None:
        if self._is_ending:
            os._exit(INTERRUPTED)
        self._is_ending = True
        raise KeyboardInterrupt


def _as_process(program: Callable[[], int]) -> int:
    """Run `program` as the whole process and return its exit code."""
    ctrl_c = _CtrlC()
    try:
        ctrl_c.install()
        show_fatal_signals()
        return _with_output(program)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        ctrl_c.end()


def _with_output(program: Callable[[], int]) -> int:
    """Run `program` and return its exit code, also if its output cannot be written."""
    prepare_streams()
    try:
        code = program()
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader of stdout (head, less) has exited, which is not an error.
        _drop_output()
        return 0
    except OSError as error:
        log.to_stderr()
        hint = missing_file_hint(error.filename) if isinstance(error.filename, str) else ""
        where = one_line(str(error.filename or "standard output"))
        log.logger.error(f"{where}: {error.strerror or error}{hint and '.'}{hint}")
        if error.filename is None:
            _drop_output()
        return 1


def _drop_output() -> None:
    """Redirect stdout to the null device, because Python flushes it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run_command(command: str, argv: Sequence[str]) -> int:
    log.to_stderr()
    debug = False
    try:
        module = module_of(command)
        kind = flags_of(command)
        parser = _parser(command, module, kind)
        values = parser.parse(argv)
        common = CommonFlags(values)
        debug = common.debug
        _start_log(common, command, getattr(module, "MINLOGLEVEL", None))
        return int(module.run(kind(values)))
    except UsageError as error:
        print(f"minicaffe {command}: {error}", file=sys.stderr)
        print(f"'minicaffe {command} --help' shows the flags.", file=sys.stderr)
        return error.exit_code
    except (MinicaffeError, MemoryError) as error:
        if debug:
            traceback.print_exc()
        for line in _message(error).split("\n"):
            log.logger.error(line)
        return getattr(error, "exit_code", 1)
    except OSError:
        if debug:
            traceback.print_exc()
        raise
    except Exception as error:
        if debug or is_from_users_code(error):
            raise
        log.logger.error(unexpected_error(error, command))
        return 1
    except KeyboardInterrupt as error:
        overwrite_line()  # which begins with the terminal's ^C
        log.logger.error(_with_notes("stopped by Ctrl-C", error))
        return INTERRUPTED
    finally:
        log.close_files()


def _message(error: MinicaffeError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return f"out of memory: {error}. Use a smaller batch_size and a larger iter_size."
    return _with_notes(str(error), error)


def _with_notes(text: str, error: BaseException) -> str:
    """Return the text of an error, followed by its notes."""
    notes = getattr(error, "__notes__", ())
    if not notes:
        return text
    return f"{text}{'' if text.endswith(('.', '?')) else '.'} {'. '.join(notes)}"


def _parser(command: str, module: ModuleType, kind: type[Flags]) -> FlagParser:
    """Return the parser of a command, whose help text is the docstring of its module."""
    text, _, example = (module.__doc__ or "").partition("\nExample")
    parser = FlagParser(
        prog=f"minicaffe {command}",
        description=text.strip(),
        epilog=f"Example{example}".rstrip() if example else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    kind.add_to(parser)
    group = parser.add_argument_group("common")
    CommonFlags.add_to(group)
    # Flags of glog that old scripts set. They have no effect: the log always goes to stderr.
    for name in ("--logtostderr", "--alsologtostderr", "--colorlogtostderr", "--log_prefix"):
        group.add_argument(name, action="store_true", help=argparse.SUPPRESS)
    for name in ("--v", "--vmodule", "--stderrthreshold", "--logbuflevel", "--logbufsecs"):
        group.add_argument(name, help=argparse.SUPPRESS)
    group.add_argument("--version", action="version", version=f"minicaffe {__version__}")
    return parser


def _start_log(common: CommonFlags, command: str, default: int | None) -> None:
    if common.minloglevel is not None:
        log.to_stderr(log.level_of(common.minloglevel))
    elif default is not None:
        log.to_stderr(max(log.level_of(default), log.min_level_from_environment()))
    folder = common.log_dir
    if folder is None:
        folder = os.environ.get("GLOG_log_dir")
    if folder:
        try:
            log.to_directory(folder, f"minicaffe-{command}")
        except OSError as error:
            raise UsageError(
                f"--log_dir={folder}: cannot be written: {error.strerror}. Give a folder that can."
            ) from error


def run_as_program() -> int:
    """Run the command named like the program, which pip or the folder ``tools`` provides."""
    return _as_process(lambda: _run_command(Path(sys.argv[0]).stem, sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
