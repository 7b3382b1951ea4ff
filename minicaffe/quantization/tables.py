"""Calibration tables of other programs, for numbers of 8 bits.

ncnn's table (of ncnn2table, read by ncnn2int8) is text. A line of each layer's weights has the
name with "_param_0" and a scale for each output channel, 127 / largest weight; then a line of each
layer's bottom has the name and 127 / threshold. ncnn computes 3x3 convolutions of stride 1 by
Winograd's algorithm, for which weights have 6 bits: 31 / largest weight. Layers of several groups
have a scale for each group.

TensorRT's calibration cache is text: a line with TensorRT's version and the kind of calibrator,
then a line "blob: hexadecimal" for each blob, the bits of the float32 threshold / 127.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from minicaffe.errors import NetError
from minicaffe.layers.convolution import Convolution
from minicaffe.log import logger
from minicaffe.quantization.findings import Study
from minicaffe.quantization.float_net import Product
from minicaffe.quantization.formats import LayerFormats
from minicaffe.quantization.ranges import Magnitudes
from minicaffe.quantization.weight_grids import Doubles

_BITS = 8
_LARGEST = 127
_LARGEST_OF_WINOGRAD = 31
# The first line names the release of TensorRT that reads it: 8.6.1, the last one of TensorRT 8.
_TENSORRT = "TRT-8601-EntropyCalibration2"


def ncnn_table(study: Study, formats: LayerFormats) -> str:
    """Return the text of ncnn's table.

    Raises
    ------
    NetError
        If a name contains a space, which separates words in ncnn's files.
    """
    weights, bottoms = [], []
    for product in formats.net.products.values():
        scales = _ncnn_scales(product)
        for name in product.names:
            if len(name.split()) != 1:
                raise NetError(
                    f'layer "{name}": ncnn\'s files cannot hold names with spaces; rename the layer'
                )
            if scales is None:
                logger.info(f"{name} is not in ncnn's table: ncnn does not quantise deconvolutions")
                continue
            threshold = formats.threshold(formats.measured.layers[name].bottom, _BITS)
            weights.append(f"{name}_param_0 {' '.join(f'{x:f}' for x in scales)}")
            bottoms.append(f"{name} {_LARGEST / threshold if threshold else 1.0:f}")
    return "".join(f"{line}\n" for line in (*weights, *bottoms))


def _ncnn_scales(product: Product) -> Doubles | None:
    """Return the scales of a layer's weights; None if ncnn does not quantise it."""
    layer, largest, groups = product.layer, _LARGEST, 1
    rows = np.moveaxis(product.weights, product.output_axis or 0, 0)
    if isinstance(layer, Convolution):
        if layer.transposed:
            return None
        window, groups = layer.window, int(layer.settings.group)
        plain = (window.kernel, window.stride, window.dilation) == ((3, 3), (1, 1), (1, 1))
        if plain and groups == 1:
            largest = _LARGEST_OF_WINOGRAD
    n = groups if groups > 1 else len(rows)
    limits = np.abs(rows.reshape(n, -1)).max(axis=1).astype(np.float64)
    return largest / np.where(limits > 0, limits, largest)


def tensorrt_cache(study: Study, formats: LayerFormats) -> str:
    """Return the text of TensorRT's calibration cache."""
    lines = [_TENSORRT]
    for name, magnitudes in formats.measured.blobs.items():
        scale = formats.threshold(magnitudes, _BITS) / _LARGEST
        lines.append(f"{name}: {struct.pack('>f', scale).hex()}")
    return "".join(f"{line}\n" for line in lines)


def json_table(study: Study, formats: LayerFormats) -> str:
    """Return all results as JSON: scores, the net that was found, ranges of activations."""
    blobs = formats.calibration.blobs if formats.calibration else {}
    content = {
        "score": study.score.name,
        "floats": {"score": _finite(study.float_score), "bytes": study.float_bytes},
        "all_layers": [
            {
                "bits": row.bits,
                "weights": _finite(row.weights),
                "activations": _finite(row.activations),
                "both": _finite(row.both),
                "bytes": row.size_bytes,
            }
            for row in study.uniform
        ],
        "one_layer": [
            {"layer": name, "bits": bits, "weights": _finite(value)}
            for (name, bits), value in study.alone.items()
        ],
        "found": {
            "score": _finite(study.found.score),
            "bytes": study.found.size_bytes,
            "is_within_margin": study.found.is_within,
            "layers": _layers(study, formats),
        },
        "blobs": {name: _range(formats, magnitudes) for name, magnitudes in blobs.items()},
    }
    return json.dumps(content, indent=2) + "\n"


def _finite(score: float | None) -> float | None:
    """Return a score, None for NaN and infinity, which JSON lacks."""
    return score if score is not None and math.isfinite(score) else None


def _layers(study: Study, formats: LayerFormats) -> dict[str, object]:
    return {
        name: {
            "weight_bits": bits.weights,
            "weight_scales": list(formats.grid(formats.net.products[name], bits.weights).scales),
            "activation_bits": bits.activations,
        }
        for name, bits in study.found.assignment.items()
        if bits.weights is not None
    }


def _range(formats: LayerFormats, magnitudes: Magnitudes) -> Mapping[str, float]:
    threshold = formats.threshold(magnitudes, _BITS)
    return {"largest": magnitudes.largest, "threshold": threshold, "scale": threshold / _LARGEST}


class Table(NamedTuple):
    """A kind of table: the end of its file's name, its text, whether it holds ranges only."""

    suffix: str
    text: Callable[[Study, LayerFormats], str]
    needs_ranges: bool


TABLES = {
    "ncnn": Table(".table", ncnn_table, needs_ranges=True),
    "tensorrt": Table(".cache", tensorrt_cache, needs_ranges=True),
    "json": Table(".json", json_table, needs_ranges=False),
}
