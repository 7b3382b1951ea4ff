"""The ``minicaffe`` program: finds the command, reads its flags, turns errors into exit codes.

A command is a module of this package with ``add_arguments(parser)`` and ``run(args) -> int``; its
docstring is the help text, from the first line to the example. Only the command asked for is
imported, so that ``minicaffe --help`` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from minicaffe import __version__, log
from minicaffe.cli.gflags import FlagParser
from minicaffe.errors import MinicaffeError, UsageError, nearest

COMMANDS = {
    "train": "train or fine-tune a net as a solver prototxt says",
    "test": "score a net with given weights",
    "time": "time every layer of a net, forward and backward",
    "device_query": "show the devices that training can use",
    "convert_imageset": "write a folder of pictures to an LMDB or LevelDB database",
    "compute_image_mean": "compute the mean picture of a database",
    "convert_mnist_data": "write MNIST-format (IDX) files to a database",
    "convert_mnist_siamese_data": "write pairs of MNIST-format pictures to a database",
    "convert_cifar_data": "write CIFAR-10's binary batches to databases",
    "upgrade_net_proto_text": "bring a net prototxt to the current form",
    "upgrade_net_proto_binary": "bring a .caffemodel to the current form",
    "upgrade_solver_proto_text": "bring a solver prototxt to the current form",
    "parse_log": "turn a training log into tables",
    "extract_seconds": "write the times of a training log",
    "plot": "draw loss, accuracy and learning rate of trainings",
    "plot_training_log": "draw one of Caffe's eight charts of training logs",
    "summarize": "show a net as a table: shapes, parameters, multiply-adds, memory",
    "draw": "draw a net with shapes, parameters and multiply-adds",
    "draw_net": "the same with the arguments of Caffe's draw_net.py",
    "extract_features": "run a net over its data and write blobs to databases",
    "classification": "print the five likeliest classes of pictures",
    "show": "draw filters of a net, or its activations for a picture",
    "classify": "classify pictures as Caffe's classify.py does",
    "detect": "classify windows of pictures as Caffe's detect.py does",
    "resize_and_crop_images": "make squares of a folder of pictures",
    "get": "fetch a data set: mnist, fashion-mnist, cifar10",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    return _with_output(lambda: _run_words(words))


def _run_words(words: list[str]) -> int:
    if len(words) == 2 and words[0] == "help" and words[1] in COMMANDS:
        words = [words[1], "--help"]
    if not words or words[0] in ("-h", "--help", "-help", "help", "--helpshort", "-helpshort"):
        print(_overview())
        return 0 if words else 2
    if words[0] in ("--version", "-version"):
        print(f"minicaffe {__version__}")
        return 0
    # gflags lets flags stand before the command: caffe --solver=x train
    flags_first = words[0].startswith("-")
    at = next((i for i, word in enumerate(words) if flags_first and word in COMMANDS), 0)
    command = words.pop(at)
    if command not in COMMANDS:
        print(f"minicaffe: no command {command}. {nearest(command, COMMANDS)}", file=sys.stderr)
        return 2
    return _run_command(command, words)


def run_command(command: str, argv: Sequence[str]) -> int:
    """Run one command with its arguments and return the exit code."""
    return _with_output(lambda: _run_command(command, argv))


def _with_output(program: Callable[[], int]) -> int:
    """Run `program` and return its exit code, whatever becomes of what it prints."""
    try:
        code = program()
        if sys.stdout is not None:
            sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader of our output (head, less) went away. Nothing is lost; be as quiet as cat.
        _drop_output()
        return 0
    except OSError as error:
        log.to_stderr()
        log.logger.error(f"{error.filename or 'standard output'}: {error.strerror or error}")
        if error.filename is None:
            _drop_output()
        return 1


def _drop_output() -> None:
    """Have what is still to be printed go nowhere: Python tries once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run_command(command: str, argv: Sequence[str]) -> int:
    module = importlib.import_module(f"minicaffe.cli.commands.{command}")
    parser = _parser(command, module)
    log.to_stderr()
    debug = False
    try:
        args = parser.parse(argv)
        debug = args.debug
        _start_log(args, command)
        return int(module.run(args))
    except UsageError as error:
        print(f"minicaffe {command}: {error}", file=sys.stderr)
        print(f"'minicaffe {command} --help' shows the flags.", file=sys.stderr)
        return error.exit_code
    except MinicaffeError as error:
        if debug:
            traceback.print_exc()
        for line in str(error).splitlines():
            log.logger.error(line)
        return error.exit_code
    except MemoryError as error:
        if debug:
            traceback.print_exc()
        log.logger.error(
            f"out of memory: {error}. Use a smaller batch_size; iter_size makes up for it."
        )
        return 1
    except OSError:
        if debug:
            traceback.print_exc()
        raise
    except KeyboardInterrupt:
        log.logger.error("stopped by Ctrl-C")
        return 130
    finally:
        log.close_files()


def _parser(command: str, module: ModuleType) -> FlagParser:
    """Return the parser of a command, whose help is the docstring of its module."""
    text, _, example = (module.__doc__ or "").partition("\nExample")
    parser = FlagParser(
        prog=f"minicaffe {command}",
        description=text.strip(),
        epilog=f"Example{example}".rstrip() if example else None,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    _add_common_arguments(parser)
    return parser


def _start_log(args: argparse.Namespace, command: str) -> None:
    if args.minloglevel is not None:
        log.to_stderr(log.level_of(args.minloglevel))
    if args.log_dir:
        try:
            log.to_directory(args.log_dir, f"minicaffe-{command}")
        except OSError as error:
            raise UsageError(
                f"--log_dir={args.log_dir}: cannot be written: {error.strerror}. Give a folder "
                "that can."
            ) from error


def _add_common_arguments(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("common")
    group.add_argument(
        "--log_dir",
        default=os.environ.get("GLOG_log_dir", ""),
        metavar="FOLDER",
        help="write the log to a file in this folder as well",
    )
    group.add_argument(
        "--minloglevel",
        type=int,
        metavar="N",
        help="show lines from this severity on: 0 info, 1 warning, 2 error",
    )
    # glog's flags in old scripts: the log goes to stderr anyway, in glog's form.
    for name in ("--logtostderr", "--alsologtostderr", "--colorlogtostderr", "--log_prefix"):
        group.add_argument(name, action="store_true", help=argparse.SUPPRESS)
    for name in ("--v", "--vmodule", "--stderrthreshold", "--logbuflevel", "--logbufsecs"):
        group.add_argument(name, help=argparse.SUPPRESS)
    group.add_argument("--debug", action="store_true", help="show a traceback with an error")
    group.add_argument("--version", action="version", version=f"minicaffe {__version__}")


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {what}" for name, what in COMMANDS.items()]
    return "\n".join(
        [
            "minicaffe: Caffe's world without Caffe.",
            "",
            "usage: minicaffe COMMAND [FLAGS]     (minicaffe COMMAND --help shows the flags)",
            "",
            *lines,
            "",
            "Example: minicaffe train --solver=models/lenet/lenet_solver.prototxt",
        ]
    )


def run_as_program() -> int:
    """Run the command that the running program is named after, as ``tools/`` and pip install it."""
    return run_command(Path(sys.argv[0]).stem, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
