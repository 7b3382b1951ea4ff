"""The layer types: each file translates one message of the schema into ops.

Importing this package registers them all.
"""

from minicaffe.layers import (  # noqa: F401 - importing a module registers its types
    accuracy,
    activations,
    convolution,
    data,
    dropout,
    dummy_data,
    flatten,
    inner_product,
    input,
    pooling,
    python_layer,
    silence,
    softmax,
    softmax_loss,
    split,
)
from minicaffe.layers.base import Layer, LayerContext
from minicaffe.layers.registry import LAYERS, layer_class, register

__all__ = ["LAYERS", "Layer", "LayerContext", "layer_class", "register"]
