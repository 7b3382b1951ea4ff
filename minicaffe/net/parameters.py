"""Fifth pass, a step of it after each layer of the fourth: learnable and shared parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minicaffe.blob import Blob
from minicaffe.errors import Problems
from minicaffe.layers import Layer
from minicaffe.log import logger
from minicaffe.schema import ParamSpec


@dataclass
class LearnableParameter:
    """A parameter that a solver can train. Of several layers that share it, the first owns it.

    Parameters
    ----------
    blob : Blob
        Values and gradient.
    layer : Layer
        The owner.
    index : int
        Index in the owner's blobs.
    name : str
        The name by which layers share it; empty if it has none.
    lr_mult, decay_mult : float
        Factors of the solver's learning rate and weight decay.
    """

    blob: Blob
    layer: Layer
    index: int
    name: str
    lr_mult: float
    decay_mult: float
    # Whether the prototxt sets these factors.
    has_lr: bool
    has_decay: bool

    @property
    def needs_diff(self) -> bool:
        """Whether the backward pass computes its gradient."""
        return self.layer.param_needs_diff[self.index]


class ParameterTable:
    """The parameters in the order of the layers; parameters of the same name are one.

    A parameter with the name of an earlier one shares its values and gradient. The shapes must
    agree (share_mode: STRICT, the default) or only the counts (PERMISSIVE).

    Parameters
    ----------
    problems : Problems
        Collects shapes, counts and rates that contradict each other.
    """

    def __init__(self, problems: Problems) -> None:
        self.parameters: list[LearnableParameter] = []
        self._owners: dict[str, LearnableParameter] = {}
        self._problems = problems

    def add_layer(self, layer: Layer) -> None:
        """Add the parameters of the next layer, which is set up."""
        if len(layer.param.param) > len(layer.blobs):
            self._problems.add(
                f"{layer.where}: param is given {len(layer.param.param)} times; "
                f"{layer.type} has {len(layer.blobs)} parameters here"
            )
        for index, blob in enumerate(layer.blobs):
            spec = layer.param.param[index] if index < len(layer.param.param) else None
            name = spec.name if spec is not None else ""
            if spec is not None and name in self._owners:
                _share(self._owners[name], layer, index, spec, self._problems)
                continue
            parameter = _own(blob, layer, index, spec)
            self.parameters.append(parameter)
            if name:
                self._owners[name] = parameter


def _own(blob: Blob, layer: Layer, index: int, spec: ParamSpec | None) -> LearnableParameter:
    return LearnableParameter(
        blob=blob,
        layer=layer,
        index=index,
        name=spec.name if spec is not None else "",
        lr_mult=spec.lr_mult if spec is not None else 1.0,
        decay_mult=spec.decay_mult if spec is not None else 1.0,
        has_lr=spec is not None and spec.HasField("lr_mult"),
        has_decay=spec is not None and spec.HasField("decay_mult"),
    )


def _share(
    owner: LearnableParameter, layer: Layer, index: int, spec: ParamSpec, problems: Problems
) -> None:
    logger.info(
        f"Sharing parameters '{owner.name}' owned by layer '{owner.layer.name}', "
        f"param index {owner.index}"
    )
    blob = layer.blobs[index]
    permissive = spec.share_mode == ParamSpec.PERMISSIVE
    fits = blob.count == owner.blob.count if permissive else blob.shape == owner.blob.shape
    if not fits:
        rule = "as many values" if permissive else "the same shape"
        hint = "" if permissive else ", or share_mode: PERMISSIVE with as many values"
        problems.add(
            f'{layer.where}: parameter {index}, "{owner.name}", has shape {blob.shape}; layer '
            f'"{owner.layer.name}", which it shares it with, has {owner.blob.shape}. They need '
            f"{rule}{hint}."
        )
        return
    for field, has in (("lr_mult", "has_lr"), ("decay_mult", "has_decay")):
        if not spec.HasField(field):
            continue
        given, known = getattr(spec, field), getattr(owner, field)
        if getattr(owner, has) and given != known:
            problems.add(
                f'{layer.where}: parameter "{owner.name}" has {field}: {given:g} here and '
                f'{known:g} in layer "{owner.layer.name}"; it can have one only'
            )
        setattr(owner, field, given)
        setattr(owner, has, True)
    blob.share_data(owner.blob)
    blob.share_diff(owner.blob)


def share_trained_parameters(
    layers: Sequence[Layer], trained: Sequence[Layer], is_quiet: bool
) -> bool:
    """Use the parameters of the trained layers of the same names; return whether any is new.

    Trained layers without a counterpart are logged, as in Caffe, unless `is_quiet`.

    Raises
    ------
    NetError
        If a layer of the same name has parameters of another shape.
    """
    mine = {layer.name: layer for layer in layers}
    has_changed = False
    for theirs in trained:
        layer = mine.get(theirs.name)
        if layer is None:
            if not is_quiet:
                logger.info(f"Ignoring source layer {theirs.name}")
            continue
        shapes = [blob.shape for blob in layer.blobs], [blob.shape for blob in theirs.blobs]
        layer.require(
            shapes[0] == shapes[1],
            f"parameters have shapes {shapes[0]} here and {shapes[1]} in the training net; "
            "they must agree. Give both the same settings, and data of the same size and channels.",
        )
        for blob, source in zip(layer.blobs, theirs.blobs, strict=True):
            if blob.data is not source.data:
                blob.share_data(source)
                has_changed = True
    return has_changed
