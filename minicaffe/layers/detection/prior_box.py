"""PriorBox."""

from __future__ import annotations

import math
from collections.abc import Iterator

from minicaffe.layers.base import Blobs, Layer
from minicaffe.layers.registry import register
from minicaffe.ops.detection.prior_box import PriorBox as PriorBoxOp
from minicaffe.schema import LayerParameter
from minicaffe.schema.forks_pb2 import PriorBoxParameter

_DEFAULT_VARIANCE = 0.1
_SAME_RATIO = 1e-6


@register("PriorBox")
class PriorBox(Layer[PriorBoxParameter]):
    """Write prior boxes of several sizes and aspect ratios for each cell of a feature map.

    Shapes: x (N, C, H, W), image (N, D, h, w) -> boxes (1, 2, 4 * H * W * S)

    Notes
    -----
    The first channel of the top has xmin, ymin, xmax, ymax of each box, by row, column and size, in
    units of the image's width and height; the second has four variances for each. The center of a
    cell is (column + offset, row + offset) * step; without a step, the image is divided evenly.

    The S boxes of a cell: for each min_size s a square of side s, with max_size t one of side
    sqrt(s t), and for each aspect ratio r but 1 a box of width s sqrt(r) and height s / sqrt(r).
    With flip, 1 / r follows each r. As in SSD, the digits of sizes behind the point are cut off.

    References
    ----------
    Liu et al., "SSD: single shot multibox detector", 2016, section 2.2. From the fork SSD.
    """

    bottoms = 2
    without_gradient = (0, 1)

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return the sizes."""
        proto = param.prior_box_param
        return ", ".join(f"{size:g}" for size in (*proto.min_size, *proto.max_size))

    @property
    def reads_bottoms(self) -> bool:
        """Nothing but their shapes."""
        return False

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings."""
        proto = self.settings
        self.require(len(proto.min_size) > 0, "min_size is missing; a PriorBox needs one at least")
        for name in ("min_size", "aspect_ratio", "variance"):
            values = getattr(proto, name)
            self.require(
                all(value > 0 for value in values), f"{name}: {list(values)}; all must be above 0"
            )
        self.require(
            len(proto.max_size) in (0, len(proto.min_size)),
            f"{len(proto.max_size)} max_sizes for {len(proto.min_size)} min_sizes; give as many, "
            "or none",
        )
        for smallest, largest in zip(proto.min_size, proto.max_size, strict=False):
            self.require(
                smallest < largest, f"max_size: {largest:g} must be above min_size: {smallest:g}"
            )
        self.require(
            len(proto.variance) in (0, 1, 4),
            f"{len(proto.variance)} variances; give four, or one for all",
        )

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the top its shape and plan."""
        for blob in bottom:
            self.require_shape(
                len(blob.shape) == 4 and blob.shape[2] > 0 and blob.shape[3] > 0,
                f'bottom "{blob.name}" {blob.shape} must be (N, C, H, W) with pixels',
            )
        rows, columns = bottom[0].shape[2:]
        image = self._pair("img_size", "img_h", "img_w") or bottom[1].shape[2:]
        step = self._pair("step", "step_h", "step_w") or (image[0] / rows, image[1] / columns)
        given = list(self.settings.variance) or [_DEFAULT_VARIANCE]
        v0, v1, v2, v3 = given if len(given) == 4 else given * 4
        op = PriorBoxOp(
            tuple(self._sizes()),
            (rows, columns),
            (int(image[0]), int(image[1])),
            (step[0], step[1]),
            self.settings.offset,
            (v0, v1, v2, v3),
            self.settings.clip,
        )
        top[0].reshape((1, 2, rows * columns * len(op.sizes) * 4))
        self.kernel = self.plan(op, top[0].data)

    def _pair(self, both: str, rows: str, columns: str) -> tuple[float, float] | None:
        """Return the value of a setting along rows and columns; None if it is not given."""
        proto = self.settings
        given = [name for name in (both, rows, columns) if proto.HasField(name)]
        if not given:
            return None
        self.require(
            given in ([both], [rows, columns]),
            f"{', '.join(given)}: give either {both} or both {rows} and {columns}",
        )
        values = [float(getattr(proto, name)) for name in given]
        self.require(min(values) > 0, f"{', '.join(given)}: {values}; they must be above 0")
        return values[0], values[-1]

    def _sizes(self) -> Iterator[tuple[float, float]]:
        """Yield rows and columns of the boxes of a cell."""
        proto = self.settings
        ratios = self._ratios()
        for i, given in enumerate(proto.min_size):
            size = int(given)
            yield size, size
            if proto.max_size:
                middle = math.sqrt(size * int(proto.max_size[i]))
                yield middle, middle
            for ratio in ratios:
                yield size / math.sqrt(ratio), size * math.sqrt(ratio)

    def _ratios(self) -> list[float]:
        """Return the aspect ratios but 1, each once."""
        ratios = [1.0]
        for ratio in self.settings.aspect_ratio:
            if all(abs(ratio - other) >= _SAME_RATIO for other in ratios):
                ratios += [ratio, 1 / ratio] if self.settings.flip else [ratio]
        return ratios[1:]

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the top."""
        self.kernel.forward(top[0].data)
