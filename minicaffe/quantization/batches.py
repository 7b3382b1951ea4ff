"""Batches of a net's data layers, read once, and the net that is fed with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from minicaffe import host_memory, log
from minicaffe.errors import OutOfMemory
from minicaffe.net import Net
from minicaffe.net.include_rules import filter_layers
from minicaffe.net.step import Step
from minicaffe.ops.backend import HostArray
from minicaffe.schema import LayerParameter, NetSource, NetState

_MIB = 1 << 20


@dataclass(frozen=True)
class RecordedBatches:
    """Batches in memory.

    Attributes
    ----------
    layers : frozenset of str
        Names of the layers that made them.
    batches : list of dict of str to ndarray
        The values of the layers' tops, by name, for each batch.
    """

    layers: frozenset[str]
    batches: Sequence[dict[str, HostArray]]

    @classmethod
    def read(cls, net: Net, n: int) -> RecordedBatches:
        """Read the next `n` batches of a net's data layers.

        Raises
        ------
        OutOfMemory
            If they do not fit into the main memory.
        """
        sources = [k for k, step in enumerate(net.steps) if _is_source(step)]
        batches: list[dict[str, HostArray]] = []
        for _ in range(n):
            for k in sources:
                net.forward(k, k)
            tops = [blob for k in sources for blob in net.steps[k].top]
            batches.append({blob.name: blob.data.get() for blob in tops})
            if len(batches) == 1:
                _require_memory(net, batches[0], n)
        return cls(frozenset(net.steps[k].layer.name for k in sources), batches)

    def feed(self, net: Net, n: int) -> Iterator[int]:
        """Write the first `n` batches, one after another, into the inputs of a net; yield each."""
        for k, batch in enumerate(self.batches[:n]):
            has_new_shape = False
            for name, values in batch.items():
                blob = net.blobs[name]
                has_new_shape |= blob.shape != values.shape
                blob.reshape(values.shape)
            if has_new_shape:
                net.reshape()
            for name, values in batch.items():
                net.blobs[name].data.set(values)
            yield k

    def fed_source(self, source: NetSource, state: NetState) -> NetSource:
        """Return the layers of a net's phase, with inputs in place of the layers of the batches."""
        with log.suppress_info():
            nodes = filter_layers(source, state)
        param = type(source.param)()
        param.CopyFrom(source.param)
        del param.layer[:]
        for node in nodes:
            layer = node.param
            is_source = layer.name in self.layers and not layer.bottom
            param.layer.append(self._input(layer) if is_source else layer)
            for rules in ("include", "exclude"):
                param.layer[-1].ClearField(rules)
        origin = [None if node.index is None else source.origin[node.index] for node in nodes]
        return replace(source, param=param, origin=origin)

    def _input(self, layer: LayerParameter) -> LayerParameter:
        made = LayerParameter(name=layer.name, type="Input", top=layer.top)
        for top in layer.top:
            made.input_param.shape.add(dim=self.batches[0][top].shape)
        return made


def _is_source(step: Step) -> bool:
    layer = step.layer
    return not (step.bottom or layer.blobs or layer.is_filled_by_program)


def _require_memory(net: Net, batch: dict[str, HostArray], n: int) -> None:
    each = sum(values.nbytes for values in batch.values())
    most = host_memory.most_bytes()
    if n * each > most:
        raise OutOfMemory(
            f"{net.source.where()}: {n} batches need {n * each / _MIB:.0f} MiB of memory, and no "
            f"more than {most / _MIB:.0f} MiB can be had. Give at most "
            f"--iterations={int(most / each)}, or a smaller batch_size."
        )
