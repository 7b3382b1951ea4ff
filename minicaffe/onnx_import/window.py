"""Windows of convolutions and pooling: pads of ONNX, which may differ between the two sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minicaffe.onnx_import.writer import NetWriter


@dataclass(frozen=True)
class OnnxWindow:
    """Kernel, strides, dilations and pads before and after each spatial axis."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    before: list[int]
    after: list[int]

    @classmethod
    def of(cls, writer: NetWriter, kernel: Sequence[int]) -> OnnxWindow:
        """Return the window of the writer's node."""
        attributes, n = writer.node.attributes, len(kernel)
        strides = list(attributes.get("strides", [1] * n))
        dilations = list(attributes.get("dilations", [1] * n))
        pads = list(attributes.get("pads", [0] * 2 * n))
        how = attributes.get("auto_pad", "NOTSET")
        if how in ("SAME_UPPER", "SAME_LOWER"):
            writer.require("Transpose" not in writer.node.op, f"auto_pad: {how} is not read")
            sizes = writer.shape(writer.node.inputs[0])[2:]
            sums = [
                max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
                for size, s, d, k in zip(sizes, strides, dilations, kernel, strict=True)
            ]
            small, large = [x // 2 for x in sums], [x - x // 2 for x in sums]
            pads = small + large if how == "SAME_UPPER" else large + small
        return cls(list(kernel), strides, dilations, pads[:n], pads[n:])

    def symmetric_pads(self, writer: NetWriter) -> tuple[list[int], list[tuple[int, int]]]:
        """Return pads that are equal on both sides, and the zeros that kernels then need.

        Zeros before or after the kernel's values move its window against the image.
        """
        pads, around = [], []
        for before, after, dilation in zip(self.before, self.after, self.dilations, strict=True):
            pad = max(before, after, 0)
            moves = pad - before, pad - after
            writer.require(
                all(move % dilation == 0 for move in moves),
                f"pads {before} and {after} differ; with dilation {dilation} no kernel is equal",
            )
            pads.append(pad)
            around.append((moves[0] // dilation, moves[1] // dilation))
        return pads, around


def take_padding(writer: NetWriter, window: OnnxWindow) -> tuple[str, OnnxWindow]:
    """Return the input of a node and its window, with the pads of a Pad node before it."""
    source = writer.node.inputs[0]
    padding = writer.paddings.get(source)
    if padding is None:
        return source, window
    writer.require(
        not any((*padding.before[:2], *padding.after[:2])), "batch or channels are padded"
    )
    before = [a + b for a, b in zip(window.before, padding.before[2:], strict=True)]
    after = [a + b for a, b in zip(window.after, padding.after[2:], strict=True)]
    return padding.source, OnnxWindow(
        window.kernel, window.strides, window.dilations, before, after
    )
