"""Charts of a study of quantisation: bits against score and size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicaffe.pictures.curves import Curve, Panel
from minicaffe.quantization.findings import Study


def study_panels(study: Study) -> list[Panel]:
    """Return charts over the number of bits: all layers, one layer alone, size in bytes."""
    bits = [row.bits for row in study.uniform]
    name = study.score.name
    together = Panel(f"{name}, all layers")
    columns: dict[str, list[float | None]] = {
        "weights": [*(row.weights for row in study.uniform)],
        "activations": [row.activations for row in study.uniform],
        "weights and activations": [row.both for row in study.uniform],
    }
    for label, values in columns.items():
        known = [value for value in values if value is not None]
        if known:
            together.curves.append(_curve(label, bits, known, len(together.curves)))
    floats = [study.float_score] * len(bits)
    together.curves.append(_curve("floats", bits, floats, len(together.curves), nth=-1))
    alone = Panel(f"{name}, one layer alone")
    for layer in dict.fromkeys(layer for layer, _ in study.alone):
        scores = [study.alone[layer, number] for number in bits]
        alone.curves.append(_curve(layer, bits, scores, len(alone.curves)))
    size = Panel("bytes of all parameters")
    size.curves.append(_curve("all layers", bits, [row.size_bytes for row in study.uniform], 0))
    return [together, alone, size]


def _curve(
    label: str, bits: Sequence[int], values: Sequence[float], run: int, nth: int = 0
) -> Curve:
    return Curve(label, np.array(bits, float), np.array(values, float), run, nth)
