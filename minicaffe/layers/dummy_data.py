"""DummyData: blobs from fillers."""

from __future__ import annotations

from collections.abc import Collection

from minicaffe import fillers
from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.layers.settable_batch import SettableBatch, set_first_axis
from minicaffe.ops.backend import Shape
from minicaffe.random import RandomStream
from minicaffe.schema import LayerParameter
from minicaffe.schema.minicaffe_pb2 import DummyDataParameter


@register("DummyData")
class DummyData(SettableBatch, Layer[DummyDataParameter]):
    """Fill blobs of given shapes: constants once, random values again in each pass.

    Shapes: -> x (...)[, x (...) and so on]

    Notes
    -----
    Shapes come from `shape`, or from num, channels, height and width; fillers from `data_filler`.
    A single one of either applies to all tops. Without a filler the blobs are 0.
    """

    role = "data"
    bottoms = 0
    tops = (1, None)

    @classmethod
    def deployed(cls, param: LayerParameter) -> LayerParameter:
        """Return an Input layer for random values, which stand for data; keep constants."""
        proto = param.dummy_data_param
        if all(filler.type == "constant" for filler in proto.data_filler):
            return param
        return cls.as_input(param)

    @classmethod
    def as_input(cls, param: LayerParameter, read: Collection[str] | None = None) -> LayerParameter:
        """Return an Input layer of the same tops, or of those that are in `read`."""
        proto = param.dummy_data_param
        shapes = [list(shape.dim) for shape in proto.shape]
        sizes = zip(proto.num, proto.channels, proto.height, proto.width, strict=True)
        shapes += [list(four) for four in sizes]
        layer = LayerParameter(name=param.name, type="Input")
        for k, top in enumerate(param.top):
            if read is None or top in read:
                layer.top.append(top)
                layer.input_param.shape.add(dim=shapes[k if len(shapes) > 1 else 0])
        return layer

    @classmethod
    def set_batch(cls, param: LayerParameter, samples: int, batch: int) -> None:
        """Change the first axis of the shapes that have `samples` there."""
        proto = param.dummy_data_param
        set_first_axis(proto.shape, samples, batch)
        for k, n in enumerate(proto.num):
            proto.num[k] = batch if n == samples else n

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Shape the tops."""
        proto = self.settings
        shapes = self._shapes(len(top))
        count = len(proto.data_filler)
        self.require(
            count in (0, 1, len(top)),
            f"{count} data_fillers for {len(top)} tops; give none, one for all, or one for each",
        )
        # Blobs are zero-initialised, so that a missing filler equals constant 0.
        self.fillers = list(proto.data_filler) * (len(top) if count == 1 else 1)
        for i, (blob, shape) in enumerate(zip(top, shapes, strict=True)):
            blob.reshape(shape)
            if i < len(self.fillers):
                self.require_filler(self.fillers[i], shape, f"data_filler {i}")

    def fill(self, top: Blobs) -> None:
        """Fill the tops for the first time."""
        super().fill(top)
        self._fill(top, refill=False)

    def fill_count(self, top: Blobs) -> int:
        """Return the number of values that `fill` writes."""
        filled = zip(top, self.fillers, strict=False)
        return sum(blob.count for blob, filler in filled if not self.context.is_zero(filler))

    def _shapes(self, n: int) -> list[Shape]:
        proto = self.settings
        if len(proto.shape):
            self.require(not len(proto.num), "give shape or num, channels, height, width, not both")
            shapes = [tuple(int(d) for d in shape.dim) for shape in proto.shape]
        else:
            four = (proto.num, proto.channels, proto.height, proto.width)
            lengths = {len(sizes) for sizes in four}
            self.require(
                len(lengths) == 1 and lengths != {0},
                "give shape { dim: ... }, or num, channels, height and width equally often",
            )
            shapes = [tuple(map(int, sizes)) for sizes in zip(*four, strict=True)]
        self.require(
            len(shapes) in (1, n), f"{len(shapes)} shapes for {n} tops; give one, or one for each"
        )
        return shapes * n if len(shapes) == 1 else shapes

    def _fill(self, top: Blobs, refill: bool) -> None:
        for i, (blob, filler) in enumerate(zip(top, self.fillers, strict=False)):
            if filler.type == "constant" if refill else self.context.is_zero(filler):
                continue
            stream = self.stream(f"top/{i}")
            if refill:
                generator = stream.generator()
            else:
                generator = RandomStream(stream.seed, stream.name).generator()
                stream.pass_over(1)
            blob.data.set(fillers.fill(filler, blob.shape, generator))

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Keep the shapes."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Fill the tops whose filler is not constant."""
        self._fill(top, refill=True)


def make_dummy(param: LayerParameter, shape: Shape) -> None:
    """Turn a data layer into DummyData: images of `shape`, then one label per image."""
    for field, _ in param.ListFields():
        if field.name.endswith("_param"):
            param.ClearField(field.name)
    param.type = DummyData.type
    for k in range(len(param.top)):
        param.dummy_data_param.shape.add(dim=shape if k == 0 else shape[:1])
