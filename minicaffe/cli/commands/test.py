r"""Score a net with trained weights in the TEST phase.

Outputs are averaged over the batches; detections give a mean average precision. With
--confusion=FOLDER, also writes a confusion matrix: confusion.csv, per_class.csv, confusion.png,
mistakes.png with the misclassified images of the highest confidence, and mistakes.csv with the key
or file, the classes and the score of up to 10,000 of them.

Example:
  minicaffe test --model=lenet_train_test.prototxt --weights=lenet_iter_10000.caffemodel \
      --iterations=100
  minicaffe test --model=lenet_train_test.prototxt --weights=lenet_iter_10000.caffemodel \
      --iterations=100 --confusion=lenet_confusion --labels=digits.txt
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.flags import flag
from minicaffe.cli.item_progress import with_progress
from minicaffe.cli.options.backend import BackendFlags, choose_backend
from minicaffe.cli.options.files import MODEL, WEIGHTS_LIST
from minicaffe.cli.options.log import LogFlags
from minicaffe.cli.options.net_state import NetStateFlags
from minicaffe.errors import DataError, UsageError
from minicaffe.log import log_result, logger

if TYPE_CHECKING:
    from minicaffe.analysis.confusion import Confusion
    from minicaffe.net import Net
    from minicaffe.ops.backend import HostArray


class TestFlags(NetStateFlags, LogFlags, BackendFlags):
    """Flags of the command."""

    model: str = MODEL
    weights: str = WEIGHTS_LIST
    iterations: int = flag(default=50, at_least=1, help="number of batches to run")
    confusion: str = flag(metavar="FOLDER", help="folder to write the confusion matrix to")
    labels: str = flag(metavar="FILE", help="class names for the confusion matrix, one per line")
    ap_version: str = flag(
        choices=("Integral", "MaxIntegral", "11point"),
        default="Integral",
        help="how the average precision of detections is computed",
    )
    optimize_memory: bool = flag(
        help="share memory between blobs that are not in use at the same time"
    )


def run(flags: TestFlags) -> int:
    """Run the command."""
    flags.shorten_log()
    if flags.labels and not flags.confusion:
        raise UsageError("--labels has an effect with --confusion=FOLDER only, which is missing")
    from minicaffe.cli.data_checks import warn_of_unfilled_inputs
    from minicaffe.net import Net
    from minicaffe.net.weights import copy_trained_layers
    from minicaffe.schema import TEST, NetState

    backend = choose_backend(flags, model=flags.model)
    state = NetState(phase=TEST)
    flags.apply_to(state)
    with closing(Net(flags.model, state, backend=backend, fills=False)) as net:
        if not flags.optimize_memory:
            net.check_memory()
        net.fill()
        warn_of_unfilled_inputs(net)
        copy_trained_layers(net, *filter(None, map(str.strip, flags.weights.split(","))))
        confusion, names = _prepare_confusion(net, flags) if flags.confusion else (None, [])
        if flags.optimize_memory:
            net.optimize_memory(confusion.blobs if confusion else ())
        logger.info(f"Running for {flags.iterations} iterations.")
        loss, means = _score(net, flags, confusion)
    log_result(f"Loss: {loss / flags.iterations:g}")
    _log_means(net, means)
    if confusion is not None:
        _write_confusion(confusion, Path(flags.confusion), names)
    return 0


def _prepare_confusion(net: Net, flags: TestFlags) -> tuple[Confusion, list[str]]:
    """Return a confusion matrix and its class names; check beforehand that it can be written."""
    from minicaffe.analysis.confusion import Confusion
    from minicaffe.data.preparation import read_classes
    from minicaffe.pictures.figure import new_figure

    # The folder comes last, so that none is left behind if something else is missing.
    new_figure(1, 1)
    confusion = Confusion(net)
    n = len(confusion.counts)
    names = read_classes(flags.labels, n) if flags.labels else [str(k) for k in range(n)]
    try:
        Path(flags.confusion).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{flags.confusion}: cannot be created: {error.strerror}.") from error
    return confusion, names


def _write_confusion(confusion: Confusion, folder: Path, names: list[str]) -> None:
    """Write tables and figures to a folder, and print the report."""
    from minicaffe.analysis.confusion import confusion_report, write_confusion_tables
    from minicaffe.pictures.confusion import draw_confusion, draw_mistakes
    from minicaffe.pictures.figure import save_figure

    counts = confusion.counts
    write_confusion_tables(confusion, names, folder)
    save_figure(draw_confusion(counts, names), folder / "confusion.png")
    if sheet := draw_mistakes(confusion.mistakes.ordered(), names):
        with write_atomically(folder / "mistakes.png") as file:
            sheet.save(file, "PNG", optimize=True)
    print("\n".join(confusion_report(counts, names)))
    log_result(f"Wrote confusion.csv, per_class.csv, mistakes.csv and images to {folder}")


def _score(
    net: Net, flags: TestFlags, confusion: Confusion | None = None
) -> tuple[float, list[HostArray]]:
    """Return the sum of the losses, and the means of the outputs."""
    from minicaffe.solver.scores.output_scores import OutputScores

    loss = 0.0
    scores = OutputScores(net, flags.ap_version)
    for batch in with_progress(range(flags.iterations), "batches", flags.iterations):
        net.forward()
        loss += net.loss()
        if confusion is not None:
            confusion.add_batch()
        for blob, values in zip(net.outputs, scores.add(), strict=True):
            for value in values.ravel():
                logger.info(f"Batch {batch}, {blob.name} = {value:g}")
    return loss, scores.scores(lists_classes=True)


def _log_means(net: Net, means: list[HostArray]) -> None:
    weights = net.loss_weights()
    for blob, mean in zip(net.outputs, means, strict=True):
        weight = weights.get(blob.name, 0.0)
        for value in mean.ravel():
            loss = f" (* {weight:g} = {weight * value:g} loss)" if weight else ""
            log_result(f"{blob.name} = {value:g}{loss}")
