"""The layer types: each file translates one message of the schema into ops.

Importing this package registers them all.
"""

from minicaffe.layers import (  # noqa: F401 - importing a module registers its types
    accuracy,
    activations,
    arg_max,
    batch_reindex,
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
    hdf5_data,
    hdf5_output,
    im2col,
    image_data,
    inner_product,
    input,
    lstm,
    lstm_unit,
    memory_data,
    parameter,
    pooling,
    python_layer,
    reduction,
    reshape,
    rnn,
    silence,
    slice,
    softmax,
    softmax_loss,
    split,
    spp,
    tile,
    window_data,
)
from minicaffe.layers.base import Layer, LayerContext
from minicaffe.layers.registry import LAYERS, layer_class, register

__all__ = ["LAYERS", "Layer", "LayerContext", "layer_class", "register"]
