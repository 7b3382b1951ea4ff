"""Warnings of a solver's settings that have no effect, and of a training that cannot learn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from minicaffe.layers import Layer
from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.log import logger
from minicaffe.net import Net
from minicaffe.schema import SolverParameter, SolverSource
from minicaffe.schema.without_effect import sentence_about_fields_without_effect
from minicaffe.solver.lr_policy import unread_rate_fields
from minicaffe.solver.rules import unread_rule_fields

# What display shows, and fields that have an effect there only.
_DISPLAYED = {"average_loss": "the mean of the last losses", "debug_info": "the means of the blobs"}
_MOST_NAMES = 10  # of layers in a warning


def warn_of_training(source: SolverSource, net: Net, test_nets: Sequence[Net]) -> None:
    """Warn of solver fields without effect, of nets that cannot learn, and of data tested on."""
    warn_of_unread_fields(source, len(test_nets))
    warn_of_idle_training(net)
    warn_of_common_data(net, test_nets)


def warn_of_unread_fields(source: SolverSource, n_test_nets: int) -> None:
    """Warn of the fields of a solver that have no effect beside its other fields."""
    param = source.param
    if sentence := sentence_about_fields_without_effect(param):
        logger.warning(f"{source.path}: {sentence}")
    for field, message in (
        *unread_rate_fields(param),
        *unread_rule_fields(param),
        *_unread_test_fields(param, n_test_nets),
        *_unread_output_fields(param),
        *_fields_that_stop_learning(param),
    ):
        logger.warning(f"{source.where(field)}: {message}")


def _unread_test_fields(param: SolverParameter, n_test_nets: int) -> Iterator[tuple[str, str]]:
    if not n_test_nets:
        for field in ("test_interval", "test_compute_loss"):
            if getattr(param, field):
                yield (
                    field,
                    f"{_text(param, field)} has no effect, because no net is tested. Add "
                    "test_iter, the number of batches of a test",
                )
        return
    for k, n in enumerate(param.test_iter):
        if not n:
            yield "test_iter", f"test_iter: 0 tests nothing: test net #{k} has no score. Raise it"


def _unread_output_fields(param: SolverParameter) -> Iterator[tuple[str, str]]:
    if not param.display:
        for field, what in _DISPLAYED.items():
            if getattr(param, field) != param.DESCRIPTOR.fields_by_name[field].default_value:
                yield (
                    field,
                    f"{_text(param, field)} has no effect, because {what} is logged at display "
                    "iterations, and display is 0. Set display",
                )
    if param.keep_last and not param.snapshot:
        yield (
            "keep_last",
            f"keep_last: {param.keep_last} removes nothing of this training, because it writes at "
            "most one snapshot, at its end. Set snapshot",
        )
    if param.snapshot_after_train or param.keep_best:
        return
    if not param.snapshot and (param.snapshot_diff or param.HasField("snapshot_format")):
        field = "snapshot_diff" if param.snapshot_diff else "snapshot_format"
        yield field, f"{field} has no effect, because no snapshot is written. Set snapshot"
    if param.snapshot > param.max_iter > 0:
        yield (
            "snapshot",
            f"no snapshot is due: snapshot: {param.snapshot} is larger than max_iter: "
            f"{param.max_iter}, and snapshot_after_train is false. Lower snapshot",
        )


def _fields_that_stop_learning(param: SolverParameter) -> Iterator[tuple[str, str]]:
    if not param.base_lr:
        yield "base_lr", "base_lr: 0 changes no parameter: nothing is learnt. Raise it"
    if math.isnan(param.clip_gradients):
        yield (
            "clip_gradients",
            "clip_gradients: nan clips nothing. Give the largest norm that gradients may have, or "
            "remove the field",
        )
    if param.clip_gradients == 0:
        yield (
            "clip_gradients",
            "clip_gradients: 0 makes every gradient 0: nothing is learnt. Give the largest norm "
            "that gradients may have, or remove the field",
        )


def _text(param: SolverParameter, field: str) -> str:
    value = getattr(param, field)
    return f"{field}: {str(value).lower() if isinstance(value, bool) else f'{value:g}'}"


def warn_of_idle_training(net: Net) -> None:
    """Warn if training cannot change a net, or cannot change some of its layers."""
    where = net.source.where()
    if not net.loss_weights():
        logger.warning(
            f"{where}: nothing is learnt, because the training net has no loss. {_loss_advice(net)}"
        )
        return
    learning = [p for p in net.parameters if p.lr_mult]
    if not learning:
        why = "every lr_mult is 0" if net.parameters else "no layer has parameters"
        logger.warning(
            f"{where}: nothing is learnt, because {why} in the training net. Set lr_mult in "
            "param { } of the layers that are to learn."
        )
        return
    idle = [
        step.layer.name
        for step in net.steps
        if step.layer.blobs and not step.needs_backward and _learns(step.layer)
    ]
    if idle:
        names = ", ".join(f'"{name}"' for name in idle[:_MOST_NAMES])
        rest = f" and {len(idle) - _MOST_NAMES} more" if len(idle) > _MOST_NAMES else ""
        logger.warning(
            f"{where}: no loss depends on layers {names}{rest}, so that they do not learn. Add a "
            "loss after them, or set lr_mult: 0 to keep their parameters."
        )


def _learns(layer: Layer) -> bool:
    rates = [spec.lr_mult for spec in layer.param.param]
    rates += [1.0] * (len(layer.blobs) - len(rates))
    return any(rates)


def _loss_advice(net: Net) -> str:
    """Return the most likely reason why a net has no loss, and the fix."""
    names = {layer.name for layer in net.layers}
    for step in net.steps:
        if step.layer.role == "loss":
            return f'Layer "{step.layer.name}" has loss_weight: 0; remove it.'
    for index, param in enumerate(net.source.param.layer):
        if param.type.endswith("Loss") and param.name not in names:
            return (
                f'Layer "{param.name}" ({net.source.where(index)}) is not in phase TRAIN; correct '
                "its include or exclude rule."
            )
    for step in net.steps:
        if step.layer.exposes_blobs and step.bottom:  # a layer in Python
            return f'Is layer "{step.layer.name}" the loss? Add loss_weight: 1 to it.'
    return "Add a layer such as SoftmaxWithLoss or EuclideanLoss."


def warn_of_common_data(net: Net, test_nets: Sequence[Net]) -> None:
    """Warn if tests read the data of the training, because a layer has no rule for its phase."""
    for layer in net.layers:
        if not isinstance(layer, BatchLayer) or not layer.has_own_source:
            continue
        rules = (*layer.param.include, *layer.param.exclude)
        for test_net in test_nets if not rules else ():
            if test_net.source.path == net.source.path and any(
                other.name == layer.name and other.context.where == layer.context.where
                for other in test_net.layers
            ):
                logger.warning(
                    f"{layer.where}: is in the training net and in a test net, so that tests score "
                    "the training data. Add include { phase: TRAIN }, and a layer of the test data "
                    "with include { phase: TEST }."
                )
                break
