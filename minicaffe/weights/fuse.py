"""Folding of BatchNorm, Scale, Bias, BN and Power layers into the products before them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from minicaffe import log
from minicaffe.errors import NetError, SnapshotError
from minicaffe.layers.folding import (
    ChannelAffine,
    NotFoldable,
    affine_of,
    fold,
    has_parameters,
    is_affine,
    is_product,
    require_foldable,
)
from minicaffe.net.include_rules import filter_layers
from minicaffe.schema import TRAIN, LayerBlobs, LayerParameter, NetParameter, NetSource, NetState

Floats = npt.NDArray[np.float32]


@dataclass
class FusedNet:
    """A net without the layers that were folded.

    Attributes
    ----------
    source : NetSource
        The net.
    layers : list of LayerBlobs
        Its weights.
    folded : dict of str to list of str
        For each layer that others were folded into, their names.
    kept : dict of str to str
        For each layer that could not be folded, the reason.
    """

    source: NetSource
    layers: list[LayerBlobs]
    folded: dict[str, list[str]] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)

    @property
    def param(self) -> NetParameter:
        """The message of the net."""
        return self.source.param


def fuse_net(source: NetSource, weights: Sequence[LayerBlobs]) -> FusedNet:
    """Fold normalisation into the products before it; in the TEST phase outputs stay the same.

    A layer is folded if it is the only one that reads the output of a Convolution, Deconvolution
    or InnerProduct, and no other layer shares the parameters of the two. Weights of other layers
    are not copied.

    Raises
    ------
    NetError
        If the net is one for training.
    SnapshotError
        If the weights lack those of a layer, or they do not fit.
    """
    _refuse_training(source)
    net = NetParameter()
    net.CopyFrom(source.param)
    origin = list(source.origin)
    fused = FusedNet(replace(source, param=net, origin=origin), [])
    blobs = {layer.name: layer for layer in weights}
    readers = _Readers(net)
    removed: set[int] = set()
    for index, layer in enumerate(net.layer):
        if is_product(layer) and len(layer.top) == len(layer.bottom) == 1:
            removed |= _fold_followers(fused, readers, blobs, index)
        elif is_affine(layer) and index not in removed:
            fused.kept.setdefault(layer.name, "it is not the only layer that reads a product")
    names = {net.layer[index].name for index in removed}
    for index in sorted(removed, reverse=True):
        del net.layer[index], origin[index]
    fused.layers = [layer for layer in blobs.values() if layer.name not in names]
    return fused


def _refuse_training(source: NetSource) -> None:
    advice = "Folded statistics cannot be trained further; give the net of deployment."
    if source.param.state.HasField("phase") and source.param.state.phase == TRAIN:
        raise NetError(f"{source.path}: state has phase: TRAIN. {advice}")
    with log.suppress_info():
        present = {node.index for node in filter_layers(source, NetState(phase="TEST"))}
    for index, layer in enumerate(source.param.layer):
        if index not in present:
            raise NetError(
                f'{source.where(index)}, layer "{layer.name}" ({layer.type}): is not part of the '
                f"net in phase TEST. {advice}"
            )


class _Readers:
    """Which layers read each value of a net; a layer in place makes a new value of its blob."""

    def __init__(self, net: NetParameter) -> None:
        self._layers = net.layer
        self._names = Counter(spec.name for layer in net.layer for spec in layer.param)
        self._readers: dict[tuple[int, str], list[int]] = defaultdict(list)
        producers: dict[str, int] = {}
        for index, layer in enumerate(net.layer):
            for name in layer.bottom:
                if name in producers:
                    self._readers[producers[name], name].append(index)
            producers.update(dict.fromkeys(layer.top, index))

    def chain(self, index: int) -> Iterator[tuple[int, LayerParameter]]:
        """Yield the layers after one, as long as each is the only reader of the one before."""
        while True:
            layer = self._layers[index]
            readers = self._readers[index, layer.top[0]] if len(layer.top) == 1 else []
            if len(readers) != 1:
                return
            index = readers[0]
            yield index, self._layers[index]

    def share_parameters(self, layer: LayerParameter) -> bool:
        """Return whether parameters of a layer are those of another one too."""
        return any(spec.name and self._names[spec.name] > 1 for spec in layer.param)

    def are_apart(self, first: int, last: int, name: str) -> bool:
        """Return whether no layer between two others reads or writes a blob."""
        between = self._layers[first + 1 : last]
        return not any(name in (*layer.bottom, *layer.top) for layer in between)


def _fold_followers(
    fused: FusedNet, readers: _Readers, blobs: dict[str, LayerBlobs], index: int
) -> set[int]:
    """Fold the affine layers after a product into it and return their indices."""
    product = fused.param.layer[index]
    done: dict[int, LayerParameter] = {}
    affine, top = ChannelAffine(np.ones(1), np.zeros(1)), product.top[0]
    for follower, layer in readers.chain(index):
        if not is_affine(layer):
            break
        try:
            for owner in (product, layer):
                if readers.share_parameters(owner):
                    raise NotFoldable(f'"{owner.name}" shares parameters by name')
            if layer.top[0] != top and not readers.are_apart(index, follower, layer.top[0]):
                raise NotFoldable(f'a layer before it has a blob "{layer.top[0]}" too')
            longer = affine.then(affine_of(layer, _weights_of(layer, blobs)))
            require_foldable(product, longer)
        except NotFoldable as reason:
            fused.kept[layer.name] = str(reason)
            break
        affine, top = longer, layer.top[0]
        done[follower] = layer
    if done:
        new = fold(product, _weights_of(product, blobs), affine)
        blobs[product.name] = LayerBlobs(product.name, product.type, new)
        product.top[0] = top
        fused.folded[product.name] = [layer.name for layer in done.values()]
    return set(done)


def _weights_of(layer: LayerParameter, blobs: dict[str, LayerBlobs]) -> list[Floats]:
    found = blobs.get(layer.name)
    if found is not None and found.blobs:
        return found.blobs
    if has_parameters(layer):
        raise SnapshotError(f'the weights have nothing for layer "{layer.name}" ({layer.type})')
    return []
