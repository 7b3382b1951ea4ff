"""Folding of BatchNorm, Scale, Bias and BN layers into the product layers before them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from minicaffe import log
from minicaffe.errors import NetError, SnapshotError
from minicaffe.layers.folding import NotFoldable, affine_of, fold, is_affine, is_product
from minicaffe.net.include_rules import filter_layers
from minicaffe.schema import TRAIN, LayerBlobs, LayerParameter, NetParameter, NetSource, NetState


@dataclass
class FusedNet:
    """A net without the layers that were folded.

    Attributes
    ----------
    param : NetParameter
        The net.
    layers : list of LayerBlobs
        Its weights.
    folded : dict of str to list of str
        For each layer that others were folded into, their names.
    kept : dict of str to str
        For each layer that could not be folded, the reason.
    """

    param: NetParameter
    layers: list[LayerBlobs]
    folded: dict[str, list[str]] = field(default_factory=dict)
    kept: dict[str, str] = field(default_factory=dict)


def fuse_net(source: NetSource, weights: Sequence[LayerBlobs]) -> FusedNet:
    """Fold normalisation into the products before it; in the TEST phase outputs stay the same.

    A layer is folded if it is the only one that reads the output of a Convolution, Deconvolution
    or InnerProduct, with which it shares no parameters by name.

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
    fused = FusedNet(net, [])
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
        del net.layer[index]
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

    def are_apart(self, first: int, last: int, name: str) -> bool:
        """Return whether no layer between two others reads or writes a blob."""
        between = self._layers[first + 1 : last]
        return not any(name in (*layer.bottom, *layer.top) for layer in between)


def _fold_followers(
    fused: FusedNet, readers: _Readers, blobs: dict[str, LayerBlobs], index: int
) -> set[int]:
    """Fold the affine layers after a product into it and return their indices."""
    product = fused.param.layer[index]
    done: set[int] = set()
    for follower, layer in readers.chain(index):
        if not is_affine(layer):
            break
        try:
            _require_foldable(product, layer)
            top = layer.top[0]
            if top != product.top[0] and not readers.are_apart(index, follower, top):
                raise NotFoldable(f'a layer before it has a blob "{top}" too')
            affine = affine_of(layer, _weights_of(layer, blobs).blobs)
            before = _weights_of(product, blobs)
            new = [x.astype(np.float32) for x in fold(product, before.blobs, affine)]
        except NotFoldable as reason:
            fused.kept[layer.name] = str(reason)
            break
        blobs[product.name] = LayerBlobs(product.name, product.type, new)
        product.top[0] = top
        fused.folded.setdefault(product.name, []).append(layer.name)
        done.add(follower)
    return done


def _require_foldable(product: LayerParameter, layer: LayerParameter) -> None:
    for owner in (product, layer):
        if any(spec.name for spec in owner.param):
            raise NotFoldable(f'"{owner.name}" shares parameters by name')


def _weights_of(layer: LayerParameter, blobs: dict[str, LayerBlobs]) -> LayerBlobs:
    found = blobs.get(layer.name)
    if found is None or not found.blobs:
        raise SnapshotError(f'the weights have nothing for layer "{layer.name}" ({layer.type})')
    return found
