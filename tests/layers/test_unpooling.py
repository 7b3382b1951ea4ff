"""Upsample with the mask of a Pooling layer, whose other top needs a gradient."""

from __future__ import annotations

import numpy as np

from probe import net_from_text
from tolerances import BY_DTYPE, assert_close

NET = """
force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 10 } } }
layer { name: "pool" type: "Pooling" bottom: "x" top: "y" top: "mask"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "up" type: "Upsample" bottom: "y" bottom: "mask" top: "up" }
layer { name: "down" type: "Upsample" bottom: "y" bottom: "mask" top: "again" }
layer { name: "sum" type: "Eltwise" bottom: "up" bottom: "again" top: "z" }
"""


def test_unpooling_keeps_the_maxima_in_their_places(backend):
    net = net_from_text(NET, backend=backend)
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 10))
    net.blobs["x"].data.set(x)
    net.forward()
    blocks = x.reshape(2, 3, 3, 2, 5, 2)
    is_largest = (blocks == blocks.max((3, 5), keepdims=True)).reshape(x.shape)
    allowed = BY_DTYPE[backend.dtype.name]
    assert_close(net.blobs["z"].data.get(), 2 * x * is_largest, allowed, "z")
    net.blobs["z"].diff.set(x + 1)
    net.backward()
    assert_close(net.blobs["x"].diff.get(), 2 * (x + 1) * is_largest, allowed, "gradient of x")
