"""Net construction: from a NetSource to the parts of a net, one pass after another.

    include rules -> splits -> wiring -> layers (here) -> parameters -> backward plan
                  -> overwritten values

The fourth pass, here, makes the layers one by one: each is set up when the shapes of its bottoms
are known. After a layer that fails, every layer that does not depend on it is tried, and all
problems are raised together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from google.protobuf.message import Message

from minicaffe.blob import Blob
from minicaffe.distributed.parts import WorkShare
from minicaffe.errors import MinicaffeError, NetError, OutOfMemory, Problems, ShapeError
from minicaffe.layers import Layer, LayerContext
from minicaffe.log import logger
from minicaffe.net.backward_plan import plan_backward
from minicaffe.net.include_rules import Node, filter_layers
from minicaffe.net.overwritten_values import keep_overwritten_values
from minicaffe.net.parameters import LearnableParameter, ParameterTable
from minicaffe.net.splits import insert_splits, is_inserted_copy
from minicaffe.net.step import Step
from minicaffe.net.unread_settings import warn_of_unread_settings
from minicaffe.net.wiring import Wire, Wiring, bottom_names, wire
from minicaffe.ops.backend import Backend
from minicaffe.path_hints import files_beside
from minicaffe.schema import TRAIN, NetParameter, NetSource, NetState, format_prototxt

BYTES_PER_VALUE = 4
_QUOTED = re.compile('"([^"]*)"')


@dataclass
class NetParts:
    """The results of all passes: what a net consists of."""

    param: NetParameter
    wiring: Wiring
    steps: list[Step]
    blobs: list[Blob]
    parameters: list[LearnableParameter]


def build(
    source: NetSource, state: NetState, backend: Backend, seed: int, share: WorkShare
) -> NetParts:
    """Run all passes; no value is written yet. If one fails, the layers made so far are closed.

    Parameters
    ----------
    source : NetSource
        The net as read, with the locations of its layers.
    state : NetState
        Phase, level and stages that include and exclude rules are compared with.
    backend : Backend
        Where the net will run.
    seed : int
        For fillers and everything random.
    share : WorkShare
        The part of the work that this process does.

    Raises
    ------
    NetError
        Every independent problem, a line each, with file, line and layer.
    """
    nodes = filter_layers(source, state)
    if not nodes:
        raise NetError(
            f"{source.where()}: no layer is left in phase {_phase_name(state)} "
            f"({len(source.param.layer)} in the file). Look at the include and exclude rules."
        )
    param = _filtered_param(source, state, nodes)
    wiring = wire(insert_splits(nodes), source)
    maker = _LayerPass(source, wiring, state, LayerContext("", True, backend, seed, share))
    try:
        steps = maker.run()
        layers = [step.layer for step in steps]
        weights = [step.loss_weights for step in steps]
        _warn_of_shared_names(layers)
        warn_of_unread_settings(source, state, layers)
        plan = plan_backward(wiring, layers, weights, param.force_backward)
    except BaseException:
        maker.close()
        raise
    for step, needed, down in zip(steps, plan.layers, plan.bottoms, strict=True):
        step.needs_backward, step.propagate_down = needed, down
    keep_overwritten_values(steps)
    for name in wiring.outputs:
        logger.info(f"This network produces output {name}")
    logger.info("Network initialization done.")
    return NetParts(param, wiring, steps, maker.blobs, maker.parameters.parameters)


def _filtered_param(source: NetSource, state: NetState, nodes: Sequence[Node]) -> NetParameter:
    """Return the net with its state and the layers that are left, and log it."""
    param = NetParameter()
    param.CopyFrom(source.param)
    param.state.CopyFrom(state)
    del param.layer[:]
    param.layer.extend(node.param for node in nodes)
    logger.info(f"Initializing net from parameters: \n{format_prototxt(param).rstrip()}")
    return param


def _warn_of_shared_names(layers: Sequence[Layer]) -> None:
    """Warn of layers with parameters whose name another layer has as well."""
    count = Counter(layer.name for layer in layers)
    for layer in layers:
        if layer.blobs and count[layer.name] > 1:
            logger.warning(
                f"{layer.where}: {count[layer.name]} layers have this name, but weights are saved "
                "and found by it. Give each layer a name of its own."
            )


def _texts_of(layer: Message) -> Iterator[str]:
    """Yield the texts in the settings of a layer, which are messages inside it."""
    for _, settings in layer.ListFields():
        if isinstance(settings, Message):
            yield from (value for _, value in settings.ListFields() if isinstance(value, str))
            yield from _texts_of(settings)


def _phase_name(state: NetState) -> str:
    return "TRAIN" if state.phase == TRAIN else "TEST"


class _LayerPass:
    """The pass that makes layers and blobs."""

    def __init__(
        self, source: NetSource, wiring: Wiring, state: NetState, context: LayerContext
    ) -> None:
        self.source, self.wiring, self.state = source, wiring, state
        self.context = context
        self.blobs = [
            Blob(context.backend, name, changes=context.changes) for name in wiring.blob_names
        ]
        self.layers: list[Layer] = []
        self.broken: set[int] = set()
        self.problems = Problems(NetError)
        self.parameters = ParameterTable(self.problems)
        self.bytes = 0

    def run(self) -> list[Step]:
        """Make all layers and set them up.

        Raises
        ------
        NetError
            All problems of layers that do not depend on one another.
        """
        steps = []
        for link in self.wiring.wires:
            if self.broken.intersection(link.bottoms):
                self.broken.update(link.tops)
                continue
            try:
                steps.append(self._make(link))
            except OutOfMemory:
                raise
            except MinicaffeError as error:
                # Notes name the method of the user's class that failed in a Python layer.
                notes = getattr(error, "__notes__", ())
                self.problems.add("\n".join([self._explained(error, link), *notes]))
                self.broken.update(link.tops)
        self.problems.raise_if_any()
        return steps

    def _explained(self, error: MinicaffeError, link: Wire) -> str:
        """Return a layer's error with what its bottoms should be, and where its files are."""
        message = self._as_written(str(error))
        # The bottoms of these types differ, so that they can be in the wrong order.
        if type(error) is ShapeError and link.layer.without_gradient:
            message += f". Bottoms of {link.layer.type}, in this order: {bottom_names(link.layer)}"
        return message + files_beside(_texts_of(link.node.param), message, self.source.path)

    def close(self) -> None:
        """Close the layers made so far."""
        for layer in self.layers:
            layer.close()

    @cached_property
    def _written(self) -> dict[str, str]:
        """The names in the prototxt of the tops that inserted Split layers have."""
        params = [link.node.param for link in self.wiring.wires]
        return {
            copy: param.bottom[0]
            for param in params
            for copy in param.top
            if is_inserted_copy(param, copy)
        }

    def _as_written(self, message: str) -> str:
        """Replace the names of a Split layer's tops by the blob's name in the prototxt."""
        return _QUOTED.sub(lambda found: f'"{self._written.get(found[1], found[1])}"', message)

    def _make(self, link: Wire) -> Step:
        param = link.node.param
        if not param.HasField("phase"):
            param.phase = self.state.phase
        where = link.node.where(self.source)
        context = replace(self.context, where=where, is_training=param.phase == TRAIN)
        logger.info(f"Creating layer {param.name}")
        layer = link.layer(param, context)
        self.layers.append(layer)
        bottom = [self.blobs[blob] for blob in link.bottoms]
        top = [self.blobs[blob] for blob in link.tops]
        self._log_blobs(link)
        step = Step(layer, bottom, top, self._loss_weights(layer, len(top)))
        step.setup()
        self._log_shapes(step)
        self.parameters.add_layer(layer)
        return step

    def _loss_weights(self, layer: Layer, n: int) -> list[float]:
        given = list(layer.param.loss_weight)
        layer.require(
            len(given) in (0, n),
            f"loss_weight is given {len(given)} times for {n} tops; give it once for each, or not "
            "at all",
        )
        return given or [layer.loss_weight if i == 0 else 0.0 for i in range(n)]

    def _log_blobs(self, link: Wire) -> None:
        name = link.node.param.name
        logger.info(f"Creating Layer {name}")
        for blob in link.bottoms:
            logger.info(f"{name} <- {self.blobs[blob].name}")
        for k, blob in enumerate(link.tops):
            in_place = k < len(link.bottoms) and link.bottoms[k] == blob
            suffix = " (in-place)" if in_place else ""
            logger.info(f"{name} -> {self.blobs[blob].name}{suffix}")

    def _log_shapes(self, step: Step) -> None:
        logger.info(f"Setting up {step.layer.name}")
        for blob, weight in zip(step.top, step.loss_weights, strict=True):
            logger.info(f"Top shape: {blob.shape_text()}")
            if weight:
                logger.info(f"    with loss weight {weight:g}")
            self.bytes += blob.count * BYTES_PER_VALUE
        logger.info(f"Memory required for data: {self.bytes}")
