"""Entry point of the ``minicaffe`` program: runs a command and converts errors to exit codes.

A command is a module of `minicaffe.cli.commands` with a function ``run(flags) -> int``. The
annotation of `flags` is the class that declares the command's flags (see `minicaffe.cli.flags`);
the docstring of the module is the help text, and its first line the summary in the overview. A
command whose log few users want sets ``MINLOGLEVEL = 1``, the default of its --minloglevel. One
that several processes can run together has a function ``n_processes(flags) -> int``: how many it
starts itself, 1 for none. To add a command, write its module and add its name to `GROUPS` in
`minicaffe.cli.overview`. Only the module of the command that runs is imported, so that ``minicaffe
--help`` starts fast.
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
from minicaffe.cli.program.failures import INTERRUPTED, Failures, exit_code_of, os_error_text
from minicaffe.cli.program.ranks import (
    prints_for_all,
    program_of_rank,
    refuse_ranks,
    restrict_output,
    run_rank,
    start_ranks,
)
from minicaffe.cli.streams import overwrite_line, prepare_streams
from minicaffe.distributed.launch import detected_launch
from minicaffe.errors import MinicaffeError, UsageError, nearest
from minicaffe.fatal_signals import show_fatal_signals


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
        return _as_process(lambda: _run_words(sys.argv[1:], is_program=True))
    return _with_output(lambda: _run_words(list(argv)))


def _run_words(words: list[str], is_program: bool = False) -> int:
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
        known = nearest(command, (*COMMANDS, "help"))
        if prints_for_all():
            print(f"minicaffe: no command {command}. {known}", file=sys.stderr)
        return 2
    return _run_command(command, words, is_program)


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
        restrict_output()
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
        log.logger.error(os_error_text(error))
        if error.filename is None:
            _drop_output()
        return 1


def _drop_output() -> None:
    """Redirect stdout to the null device, because Python flushes it again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run_command(command: str, argv: Sequence[str], is_program: bool = False) -> int:
    log.to_stderr()
    failures = Failures(command)
    try:
        return _run_parsed(command, argv, failures, is_program)
    except UsageError as error:
        if prints_for_all():
            print(f"minicaffe {command}: {error}", file=sys.stderr)
            print(f"'minicaffe {command} --help' shows the flags.", file=sys.stderr)
        return error.exit_code
    except OSError:
        if failures.debug:
            traceback.print_exc()
        raise
    except Exception as error:
        is_expected = isinstance(error, MinicaffeError | MemoryError)
        if not is_expected and failures.has_traceback(error):
            raise
        if failures.debug:
            traceback.print_exc()
        for line in failures.message_of(error).split("\n"):
            log.logger.error(line)
        return exit_code_of(error)
    except KeyboardInterrupt as error:
        overwrite_line()  # which begins with the terminal's ^C
        log.logger.error(failures.message_of(error))
        return INTERRUPTED
    finally:
        log.close_files()


def _run_parsed(command: str, argv: Sequence[str], failures: Failures, is_program: bool) -> int:
    """Read the flags of a command and run it, as one of several processes if these were started.

    A command that is the whole program may start them.
    """
    module = module_of(command)
    kind = flags_of(command)
    launch = detected_launch()
    values = _parser(command, module, kind).parse(argv)
    common = CommonFlags(values)
    failures.debug = common.debug
    _start_log(common, f"minicaffe-{command}", getattr(module, "MINLOGLEVEL", None))
    flags = kind(values)
    n_processes = getattr(module, "n_processes", None)
    if launch is None:
        if n_processes is not None and (n := n_processes(flags)) > 1:
            start_ranks(n, is_program)
        return int(module.run(flags))
    if n_processes is None:
        refuse_ranks(launch, command)
    return run_rank(launch, lambda: int(module.run(flags)), failures)


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


def _start_log(common: CommonFlags, program: str, default: int | None) -> None:
    if common.minloglevel is not None:
        log.to_stderr(log.level_of(common.minloglevel))
    elif default is not None:
        log.to_stderr(max(log.level_of(default), log.min_level_from_environment()))
    folder = common.log_dir
    if folder is None:
        folder = os.environ.get("GLOG_log_dir")
    if folder:
        try:
            log.to_directory(folder, program_of_rank(program))
        except OSError as error:
            raise UsageError(
                f"--log_dir={folder}: cannot be written: {error.strerror}. Give a folder that can."
            ) from error


def run_as_program() -> int:
    """Run the command named like the program, which pip or the folder ``tools`` provides."""
    return _as_process(lambda: _run_command(Path(sys.argv[0]).stem, sys.argv[1:], is_program=True))


if __name__ == "__main__":
    sys.exit(main())
