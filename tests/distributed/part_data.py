"""A Python layer with the rows of each batch that a process computes, for tests of training.

Passes are counted, so the layer must not be used in test nets. Its values are a function of the
number of the batch and of the row within the whole batch.
"""

from __future__ import annotations

import threading

import numpy as np

from minicaffe.distributed.parts import WHOLE

# `parts` and `rows` of the solver that this thread builds.
STATED = threading.local()


class PartData:
    """Tops: images of `rows` rows, and a class for each."""

    def __init__(self, param):
        self._parts = getattr(STATED, "parts", WHOLE)
        self._rows = STATED.rows
        self._pass = 0

    def setup(self, bottom, top):
        top[0].reshape(self._rows, 2, 7, 5)
        top[1].reshape(self._rows)

    def reshape(self, bottom, top):
        pass

    def forward(self, bottom, top):
        batch, own = divmod(self._pass, self._parts.n)
        self._pass += 1
        rng = np.random.default_rng(batch)
        images = rng.standard_normal((self._rows * self._parts.count, 2, 7, 5), np.float32)
        classes = rng.integers(0, 4, len(images))
        first = (self._parts.first + own) * self._rows
        top[0].data[...] = images[first : first + self._rows]
        top[1].data[...] = classes[first : first + self._rows]

    def backward(self, top, propagate_down, bottom):
        pass


NET = """
name: "parts"
layer { name: "data" type: "Python" top: "data" top: "label"
  python_param { module: "part_data" layer: "PartData" } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "scale" type: "Scale" bottom: "conv" top: "conv" scale_param { bias_term: true } }
layer { name: "relu" type: "PReLU" bottom: "conv" top: "conv" }
layer { name: "wide" type: "InnerProduct" bottom: "conv" top: "wide"
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "fixed" type: "InnerProduct" bottom: "wide" top: "fixed"
  param { lr_mult: 0 } param { lr_mult: 0 }
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "first" type: "InnerProduct" bottom: "fixed" top: "first"
  param { name: "w" } param { name: "b" }
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "tanh" type: "TanH" bottom: "first" top: "first" }
layer { name: "second" type: "InnerProduct" bottom: "first" top: "second"
  param { name: "w" lr_mult: 2 } param { name: "b" }
  inner_product_param { num_output: 6 weight_filler { type: "xavier" } } }
layer { name: "classes" type: "InnerProduct" bottom: "second" top: "classes"
  inner_product_param { num_output: 4 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "classes" bottom: "label" top: "loss" }
"""
