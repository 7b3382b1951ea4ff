"""The layer types: each file translates one message of the schema into ops.

Importing this package registers them all.
"""

from minicaffe.layers import (  # noqa: F401 - importing a module registers its types
    accuracy,
    activations,
    arg_max,
    batch_norm,
    batch_reindex,
    bias,
    concat,
    convolution,
    crop,
    data,
    dropout,
    dummy_data,
    eltwise,
    embed,
    filter,
    flatten,
    inner_product,
    input,
    lrn,
    mvn,
    parameter,
    pooling,
    powers,
    prelu,
    reduction,
    reshape,
    scale,
    silence,
    slice,
    softmax,
    softmax_loss,
    split,
    tile,
)
from minicaffe.layers.base import Layer, LayerContext
from minicaffe.layers.registry import LAYERS, layer_class, register

__all__ = ["LAYERS", "Layer", "LayerContext", "layer_class", "register"]
