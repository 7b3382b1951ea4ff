r"""Score a net with given weights: run it in the TEST phase and average its outputs.

With --confusion FOLDER, also count what every class is taken for: confusion.csv, per_class.csv,
confusion.png, and mistakes.png with the pictures that the net got wrong most surely.

Example:
  minicaffe test --model=lenet_train_test.prototxt --weights=lenet_iter_10000.caffemodel \
      --iterations=100
  minicaffe test --model=lenet_train_test.prototxt --weights=lenet_iter_10000.caffemodel \
      --iterations=100 --confusion=lenet_confusion --labels=digits.txt
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from minicaffe.cli.options import backend as device
from minicaffe.cli.options.net_state import add_state_arguments, apply_state
from minicaffe.errors import UsageError
from minicaffe.log import logger

if TYPE_CHECKING:
    from minicaffe.analysis.confusion import Confusion
    from minicaffe.net import Net


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--model", default="", metavar="FILE", help="the net prototxt")
    parser.add_argument(
        "--weights", default="", metavar="FILES", help="weights; several separated by commas"
    )
    parser.add_argument(
        "--iterations", type=int, default=50, help="number of batches to run (%(default)s)"
    )
    parser.add_argument(
        "--confusion", default="", metavar="FOLDER", help="write the confusion matrix to a folder"
    )
    parser.add_argument(
        "--labels", default="", metavar="FILE", help="names of the classes for it, one a line"
    )
    parser.add_argument(
        "--optimize_memory",
        action="store_true",
        help="let blobs that are needed at different times share memory",
    )
    add_state_arguments(parser)
    device.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if not args.model:
        raise UsageError("a net is needed: --model=FILE")
    if not args.weights:
        raise UsageError("weights to score are needed: --weights=FILE")
    if args.iterations < 1:
        raise UsageError(f"--iterations={args.iterations}: must be at least 1")
    if args.labels and not args.confusion:
        raise UsageError("--labels names the classes of --confusion=FOLDER, which is missing")
    from minicaffe.net import Net
    from minicaffe.net.weights import copy_trained_layers
    from minicaffe.schema import TEST, NetState

    backend = device.choose(args)
    state = NetState(phase=TEST)
    apply_state(args, state)
    net = Net(args.model, state, backend=backend)
    try:
        if net.inputs:
            inputs = ", ".join(f'"{blob.name}"' for blob in net.inputs)
            logger.warning(f"Nothing fills the inputs {inputs}: they are zero. Give a data layer.")
        copy_trained_layers(net, *filter(None, map(str.strip, args.weights.split(","))))
        confusion, names = _prepare_confusion(net, args) if args.confusion else (None, [])
        if args.optimize_memory:
            net.optimize_memory(confusion.blobs if confusion else ())
        logger.info(f"Running for {args.iterations} iterations.")
        loss, totals = _score(net, args.iterations, confusion)
    finally:
        net.close()
    logger.info(f"Loss: {loss / args.iterations:g}")
    _log_means(net, [total / args.iterations for total in totals])
    if confusion is not None:
        from minicaffe.analysis.confusion import write

        write(confusion, args.confusion, names)
    return 0


def _prepare_confusion(net: Net, args: argparse.Namespace) -> tuple[Confusion, list[str]]:
    """Find out before the test whether its confusion can be counted and written."""
    from minicaffe.analysis.confusion import Confusion, check_folder
    from minicaffe.data.preparation import read_classes
    from minicaffe.pictures.figure import new_figure

    check_folder(args.confusion)
    new_figure(1, 1)
    confusion = Confusion(net)
    n = len(confusion.counts)
    return confusion, read_classes(args.labels, n) if args.labels else [str(k) for k in range(n)]


def _score(
    net: Net, iterations: int, confusion: Confusion | None = None
) -> tuple[float, list[Any]]:
    loss = 0.0
    totals: list[Any] = [0.0] * len(net.outputs)
    for batch in range(iterations):
        net.forward()
        loss += net.loss()
        if confusion is not None:
            confusion.take()
        for index, values in enumerate(net.output_values()):
            totals[index] = totals[index] + values
            for value in values.ravel():
                logger.info(f"Batch {batch}, {net.outputs[index].name} = {value:g}")
    return loss, totals


def _log_means(net: Net, means: list[Any]) -> None:
    weights = net.loss_weights()
    for blob, mean in zip(net.outputs, means, strict=True):
        weight = weights.get(blob.name, 0.0)
        for value in mean.ravel():
            loss = f" (* {weight:g} = {weight * value:g} loss)" if weight else ""
            logger.info(f"{blob.name} = {value:g}{loss}")
