"""Nets whose inputs change their shape between passes, without a call of `Net.reshape`."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.errors import BackendUnavailable
from probe import BACKEND_NAMES, REFERENCE, make_backend, net_from_text

INPUT = """force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }
"""
END = """layer { name: "ip" type: "InnerProduct" bottom: "y" top: "end"
  inner_product_param { num_output: 1 weight_filler { value: 0.1 } } }
layer { name: "loss" type: "Reduction" bottom: "end" top: "loss" loss_weight: 1 }"""
NETS = {
    "one layer": 'layer { name: "a" type: "Swish" bottom: "x" top: "y" }',
    "views": """layer { name: "a" type: "Convolution" bottom: "x" top: "a"
        convolution_param { num_output: 3 kernel_size: 2 weight_filler { value: 0.2 } } }
      layer { name: "f" type: "Flatten" bottom: "a" top: "f" }
      layer { name: "y" type: "TanH" bottom: "f" top: "y" }
      layer { name: "z" type: "TanH" bottom: "f" top: "z" }""",
    "a branch without a loss": """layer { name: "a" type: "TanH" bottom: "x" top: "a" }
      layer { name: "y" type: "TanH" bottom: "a" top: "y" }
      layer { name: "z" type: "TanH" bottom: "a" top: "z" }
      layer { name: "b" type: "Scale" bottom: "z" top: "z" }""",
}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("backend", BACKEND_NAMES)
def test_a_third_pass_of_a_larger_batch(name, backend):
    try:
        nets = [
            net_from_text(INPUT + NETS[name] + END, backend=make_backend(b))
            for b in (backend, REFERENCE)
        ]
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
    for number, batch in enumerate((2, 2, 3, 3, 3, 1, 4)):
        x = np.random.default_rng(number).standard_normal((batch, 3, 4, 5))
        for net in nets:
            net.blobs["x"].reshape(x.shape)
            net.blobs["x"].data.set(x)
            net.forward()
            net.backward()
        for blob, other in ((net.blobs[b] for net in nets) for b in ("x", "y", "loss")):
            np.testing.assert_allclose(blob.data.get(), other.data.get(), rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(blob.diff.get(), other.diff.get(), rtol=1e-4, atol=1e-5)
