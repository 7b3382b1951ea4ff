"""The small numbers of each layer: grids of weights, bits of activations, and their settings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from minicaffe.layers import LAYERS
from minicaffe.log import logger
from minicaffe.ops.quantize import IntegerGrid
from minicaffe.quantization.calibration import Calibration
from minicaffe.quantization.float_net import FloatNet, Floats, Product
from minicaffe.quantization.ranges import RANGE_RULES, Magnitudes, fraction_bits
from minicaffe.quantization.weight_grids import POWER_OF_TWO, on_grid, weight_grid
from minicaffe.schema import LayerParameter

_BYTES = 4  # of a float, and of a scale


@dataclass(frozen=True)
class Bits:
    """Bits of the weights of a layer, and of its bottom and top; None for floats."""

    weights: int | None = None
    activations: int | None = None


# The bits of layers by name; layers without an entry compute in floats.
Assignment = Mapping[str, Bits]


@dataclass(frozen=True)
class FormatRules:
    """How small numbers are chosen.

    Attributes
    ----------
    per_channel : bool
        Whether each output channel has a scale of its own, or all weights of a layer share one.
    scales : str
        One of `SCALE_RULES`.
    activations : str
        A key of `RANGE_RULES`, "" if activations are not quantised.
    """

    per_channel: bool
    scales: str
    activations: str


@dataclass
class LayerFormats:
    """Chooses the number formats of a net's layers.

    Parameters
    ----------
    net : FloatNet
    rules : FormatRules
    calibration : Calibration, optional
        Needed if activations are quantised.
    """

    net: FloatNet
    rules: FormatRules
    calibration: Calibration | None
    _grids: dict[tuple[str, int], IntegerGrid] = field(default_factory=dict)
    _thresholds: dict[tuple[Magnitudes, int], float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for product in self.net.products.values() if self.rules.per_channel else ():
            if product.output_axis is None:
                logger.info(f"{product.name} has one scale, because its groups share an axis")

    def grid(self, product: Product, bits: int) -> IntegerGrid:
        """Return the grid of a layer's weights."""
        key = product.name, bits
        if key not in self._grids:
            axis = product.output_axis if self.rules.per_channel else None
            self._grids[key] = weight_grid(product.weights, bits, self.rules.scales, axis)
        return self._grids[key]

    def parameter_bytes(self, assignment: Assignment) -> int:
        """Return the size of all parameters, scales included."""
        total = _BYTES * self.net.n_values
        for name, bits in assignment.items():
            if bits.weights is not None:
                total -= self.saving(self.net.products[name], bits.weights)
        return total

    def saving(self, product: Product, bits: int) -> int:
        """Return by how many bytes the weights of a layer become smaller."""
        rounded = product.weights.size + (product.biases if self._rounds_bias else 0)
        scales = len(self.grid(product, bits).scales)
        return _BYTES * rounded - (-(-rounded * bits // 8) + _BYTES * scales)

    @property
    def _rounds_bias(self) -> bool:
        return self.rules.scales == POWER_OF_TWO

    def rounded(self, product: Product, bits: int) -> dict[str, list[Floats]]:
        """Return parameters on the grid, by the names of the layers that share the weights."""
        grid = self.grid(product, bits)
        weights = on_grid(product.weights, grid)
        return {
            name: [weights, *(on_grid(b, grid) if self._rounds_bias else b for b in biases)]
            for name in product.names
            for biases in [self.net.parameters[name][1:]]
        }

    @property
    def measured(self) -> Calibration:
        """The calibration, for callers that need one."""
        if self.calibration is None:
            raise ValueError("activations have not been measured")
        return self.calibration

    def threshold(self, magnitudes: Magnitudes, bits: int) -> float:
        """Return the magnitude above which activations are clipped."""
        key = magnitudes, bits
        if key not in self._thresholds:
            self._thresholds[key] = RANGE_RULES[self.rules.activations](magnitudes, bits)
        return self._thresholds[key]

    def set_activations(self, layer: LayerParameter, bits: int) -> None:
        """Let a layer round its bottoms and its tops."""
        layer.type = LAYERS[layer.type].quantized_type
        found = self.measured.layers[layer.name]
        proto = layer.quantization_param
        proto.bw_layer_in = bits
        proto.fl_layer_in.append(fraction_bits(self.threshold(found.bottom, bits), bits))
        if found.top is not None:
            proto.bw_layer_out = bits
            proto.fl_layer_out.append(fraction_bits(self.threshold(found.top, bits), bits))

    def set_weights(self, layer: LayerParameter, product: Product, bits: int) -> None:
        """Let a layer round its weights."""
        layer.type = LAYERS[layer.type].quantized_type
        proto = layer.quantization_param
        proto.bw_params = bits
        grid = self.grid(product, bits)
        if self._rounds_bias:
            proto.fl_params.append(round(math.log2(grid.scales[0])))
        else:
            proto.scale_params.extend(grid.scales)
