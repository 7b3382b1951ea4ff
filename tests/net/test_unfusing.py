"""Backward passes of nets that ran forward with fused layers, against separate layers."""

from __future__ import annotations

import numpy as np
import pytest

from probe import EMULATED, backend_or_skip, make_backend, net_from_text

INPUT = """
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }
"""
HOSTS = {
    "conv": "convolution_param { num_output: 5 kernel_size: 3 }",
    "ip": "inner_product_param { num_output: 5 }",
    # Draws new numbers in each forward pass that is one, and none where layers run again.
    "rounded": "convolution_param { num_output: 5 kernel_size: 3 } "
    "quantization_param { bw_params: 5 fl_params: 2 rounding_scheme: STOCHASTIC }",
}
TYPES = {"conv": "Convolution", "ip": "InnerProduct", "bn": "BatchNorm", "scale": "Scale"}
SETTINGS = {
    "bn": "",
    "bn_batch": "batch_norm_param { use_global_stats: false }",
    "scale": "scale_param { bias_term: true }",
    "relu": "",
    "sigmoid": "",
    "dropout": "",
    "tanh": "",
    "flatten": "",
}
KINDS = {"bn_batch": "BatchNorm", "relu": "ReLU", "sigmoid": "Sigmoid", "dropout": "Dropout"}
KINDS |= {"tanh": "TanH", "flatten": "Flatten", "rounded": "ConvolutionRistretto"} | TYPES


@pytest.fixture(params=["onednn", *EMULATED])
def backend(request):
    return backend_or_skip(request.param)


class Pair:
    """The same net on a backend and, in float64, on the reference backend."""

    def __init__(self, names, backend, phase="TEST", force=True):
        text, bottom = ("force_backward: true" if force else "") + INPUT, "x"
        for i, name in enumerate(names.split()):
            top = bottom if bottom != "x" and name != "flatten" else f"y{i}"
            settings = (HOSTS | SETTINGS)[name]
            text += f'layer {{ name: "{name}{i}" type: "{KINDS[name]}" bottom: "{bottom}" '
            text += f'top: "{top}" {settings} }}\n'
            bottom = top
        text += f"""layer {{ name: "end" type: "InnerProduct" bottom: "{bottom}" top: "end"
          inner_product_param {{ num_output: 1 }} }}
        layer {{ name: "loss" type: "Reduction" bottom: "end" top: "loss" loss_weight: 1 }}"""
        self.nets = [
            net_from_text(text, phase, backend=b)
            for b in (backend, make_backend("reference-float64"))
        ]
        for net in self.nets:
            rng = np.random.default_rng(4)
            for layer in net.layers:
                for i, blob in enumerate(layer.blobs):
                    is_statistic = layer.type == "BatchNorm"
                    values = (
                        rng.uniform(0.5, 1.5, blob.shape)
                        if is_statistic
                        else (rng.standard_normal(blob.shape))
                    )
                    blob.data.set(np.ones(1) if is_statistic and i == 2 else values)
            net.blobs["x"].data.set(rng.standard_normal(net.blobs["x"].shape))

    def forward(self, *span):
        for net in self.nets:
            net.forward(*span)

    def backward(self, *span):
        for net in self.nets:
            net.clear_param_diffs()
            net.backward(*span)

    def assert_equal(self):
        got, want = self.nets
        for name, blob in want.blobs.items():
            self._close(got.blobs[name].data.get(), blob.data.get(), name)
            self._close(got.blobs[name].diff.get(), blob.diff.get(), f"gradient of {name}")
        for a, b in zip(got.layers, want.layers, strict=True):
            for x, y in zip(a.blobs, b.blobs, strict=True):
                self._close(x.diff.get(), y.diff.get(), f"gradient of {x.name}")

    @staticmethod
    def _close(got, want, what):
        scale = max(abs(want).max(), 1e-3)
        np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-4 * scale, err_msg=what)


@pytest.mark.parametrize(
    "names",
    [
        "conv bn scale sigmoid",
        "conv bn scale relu tanh dropout",
        "conv scale sigmoid",
        "ip bn scale tanh",
        "conv bn scale flatten sigmoid",
        "bn_batch scale relu tanh",
        "bn_batch scale relu",
        "conv bn_batch scale relu sigmoid",
        "conv relu scale",
        "rounded bn scale sigmoid",
        "rounded relu scale",
    ],
)
@pytest.mark.parametrize("phase", ["TEST", "TRAIN"])
def test_the_first_and_second_backward_pass(names, phase, backend):
    if phase == "TRAIN" and "dropout" in names:
        pytest.skip("masks of backends may differ")
    pair = Pair(names, backend, phase)
    for _ in range(2):
        pair.forward()
        pair.backward()
        pair.assert_equal()


@pytest.mark.parametrize("names", ["bn_batch scale", "bn_batch scale relu"])
def test_a_scale_learns_where_nothing_before_it_needs_a_gradient(names, backend):
    pair = Pair(names, backend, force=False)
    for _ in range(2):
        pair.forward()
        pair.backward()
        pair.assert_equal()
    scale = pair.nets[0].layers[2]
    assert scale.blobs[0].diff.get().any()


def test_backward_after_a_pass_that_ran_the_end_of_a_fused_chain_only(backend):
    pair = Pair("conv bn scale sigmoid", backend)
    pair.forward()
    pair.forward(4)
    pair.backward()
    for name in ("x",):
        pair._close(*(net.blobs[name].diff.get() for net in pair.nets), name)
    for a, b in zip(*(net.layers for net in pair.nets), strict=True):
        for x, y in zip(a.blobs, b.blobs, strict=True):
            pair._close(x.diff.get(), y.diff.get(), f"gradient of {x.name}")


@pytest.mark.parametrize("head", ["conv", "rounded"])
def test_the_last_layers_of_a_training_chain_run_backward_alone(head, backend):
    pair = Pair(f"{head} bn_batch scale relu tanh", backend, "TRAIN")
    pair.forward()
    pair.backward(len(pair.nets[0].steps) - 1, 3)
    pair.assert_equal()
