"""The layer types: each file translates one message of the schema into ops.

Importing this package registers them all.
"""

from minicaffe.layers import (  # noqa: F401 - importing a module registers its types
    accuracy,
    activations,
    arg_max,
    batch_reindex,
    concat,
    contrastive_loss,
    convolution,
    crop,
    data,
    dropout,
    dummy_data,
    eltwise,
    embed,
    euclidean_loss,
    filter,
    flatten,
    hinge_loss,
    im2col,
    infogain_loss,
    inner_product,
    input,
    multinomial_logistic_loss,
    parameter,
    pooling,
    python_layer,
    reduction,
    reshape,
    sigmoid_cross_entropy_loss,
    silence,
    slice,
    softmax,
    softmax_loss,
    split,
    spp,
    tile,
)
from minicaffe.layers.base import Layer, LayerContext
from minicaffe.layers.registry import LAYERS, layer_class, register

__all__ = ["LAYERS", "Layer", "LayerContext", "layer_class", "register"]
