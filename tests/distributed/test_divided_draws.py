"""Layers with random numbers on parts of batches: together they compute what one process does."""

from __future__ import annotations

import numpy as np
import pytest

import caffe
from distributed.test_divided_data import DIVISIONS, ONE, parts_of
from distributed.thread_communicator import run_ranks
from minicaffe.distributed.parts import BatchParts, WorkShare
from probe import BACKEND_NAMES, make_backend, net_from_text

BATCH = 8
GRID = "quantization_param { precision: DYNAMIC_FIXED_POINT rounding_scheme: STOCHASTIC"
# Settings, and the shapes of a row of each bottom; sizes that are no multiples of 4.
LAYERS = {
    "Dropout": ("dropout_param { dropout_ratio: 0.3 }", [(3, 5, 7)]),
    "SpatialDropout": ("spatial_dropout_param { dropout_ratio: 0.4 }", [(5, 3, 2)]),
    "SeLuDropout": ("selu_dropout_param { dropout_ratio: 0.3 }", [(3, 5)]),
    "RReLU": ("rrelu_param { lb: 3 ub: 8 }", [(3, 5, 3)]),
    "Pooling": ("pooling_param { pool: STOCHASTIC kernel_size: 2 }", [(3, 5, 7)]),
    "SPP": ("spp_param { pool: STOCHASTIC pyramid_height: 2 }", [(3, 4, 6)]),
    "AdaptiveBiasChannel": ("adaptive_bias_channel_param { num_iter: 2 }", [(6, 3, 5), (5, 1, 1)]),
    "ConvolutionRistretto": (
        "convolution_param { num_output: 3 kernel_size: 2 weight_filler { type: 'gaussian' "
        f"std: 1 }} }} {GRID} bw_layer_in: 5 bw_layer_out: 5 bw_params: 4 fl_layer_in: 2 "
        "fl_layer_out: 1 fl_params: 2 }",
        [(3, 4, 5)],
    ),
    "FcRistretto": (
        "inner_product_param { num_output: 7 weight_filler { type: 'gaussian' std: 1 } } "
        f"{GRID} bw_layer_out: 5 bw_params: 4 fl_layer_out: 1 fl_params: 2 }}",
        [(3, 5)],
    ),
}


def inputs(layer_type, batch):
    """Return the values of the bottoms in a batch."""
    rng = np.random.default_rng(batch)
    _, shapes = LAYERS[layer_type]
    low = -3 if layer_type == "RReLU" else 0.2
    values = [rng.uniform(low, 3, (BATCH, *shape)) for shape in shapes]
    if layer_type == "AdaptiveBiasChannel":
        values[1] = rng.integers(-1, 6, values[1].shape).astype(float)
    return values


def net_of(layer_type, parts, backend):
    settings, shapes = LAYERS[layer_type]
    text = ""
    for k, shape in enumerate(shapes):
        dims = " ".join(f"dim: {size}" for size in (BATCH // parts.count, *shape))
        settings_of_input = f"input_param {{ shape {{ {dims} }} }}"
        text += f'layer {{ name: "x{k}" type: "Input" top: "x{k}" {settings_of_input} }}'
    bottoms = " ".join(f'bottom: "x{k}"' for k in range(len(shapes)))
    text += f'layer {{ name: "y" type: "{layer_type}" {bottoms} top: "y" {settings} }}'
    return net_from_text(text, backend=backend, share=WorkShare(parts))


def run(nets, layer_type, division, batch):
    """Return the tops of all parts of a batch, joined."""
    values, found = inputs(layer_type, batch), []
    for net, parts in zip(nets, division, strict=True):
        size = BATCH // parts.count
        for k in range(parts.first, parts.first + parts.n):
            for blob, whole in zip(net.inputs, values, strict=True):
                blob.data.set(whole[k * size : (k + 1) * size])
            net.forward()
            found.append(net.blobs["y"].data.get())
    return np.concatenate(found)


@pytest.mark.parametrize("backend_name", BACKEND_NAMES)
@pytest.mark.parametrize("layer_type", LAYERS)
def test_parts_draw_what_one_process_draws(layer_type, backend_name):
    backend = make_backend(backend_name)
    whole = [net_of(layer_type, BatchParts(), backend)]
    expected = [run(whole, layer_type, ONE, k) for k in range(3)]
    assert (expected[0] != run(whole, layer_type, ONE, 0)).any()  # the step counts
    for division in DIVISIONS.values():
        nets = [net_of(layer_type, parts, backend) for parts in division]
        for net in nets:
            net.share_parameters_with(whole[0])
        for k, want in enumerate(expected):
            found = run(nets, layer_type, division, k)
            if "Ristretto" in layer_type:  # sums of other batch sizes may be rounded otherwise
                np.testing.assert_allclose(found, want, rtol=1e-5, atol=1e-5)
            else:
                np.testing.assert_array_equal(found, want)
        state = nets[0].state()
        assert all(net.state() == state for net in nets)
        run(nets, layer_type, division, 0)
        assert nets[-1].state() == whole[0].state()
        # Another division continues, and skips.
        (resumed,) = [net_of(layer_type, BatchParts(), backend)]
        resumed.share_parameters_with(whole[0])
        resumed.skip_batches(2)
        np.testing.assert_array_equal(run([resumed], layer_type, ONE, 2), expected[2])
        assert resumed.state() == state


def test_numbers_that_are_not_drawn_by_value_differ_by_part():
    text = (
        'layer { name: "x" type: "DummyData" top: "x" '
        'dummy_data_param { shape { dim: 20 } data_filler { type: "gaussian" std: 1 } } }'
    )
    found = []
    for parts in DIVISIONS["4 parts in 2 processes"]:
        net = net_from_text(text, share=WorkShare(parts))
        for _ in range(2):
            found += [part["x"].tobytes() for part in parts_of([net], [parts])]
        assert net.state()["x"]["top/0"][1] == 3  # one for the first values, one a batch
    assert len(set(found)) == 8
    net = net_from_text(text)
    net.forward()
    assert net.blobs["x"].data.get().tobytes() == found[0]


class Counting(caffe.Layer):
    """Counts its batches, and says for which process."""

    def setup(self, bottom, top):
        self.rank, self.count, self.n = caffe.solver_rank(), caffe.solver_count(), 0

    def reshape(self, bottom, top):
        top[0].reshape(3)

    def forward(self, bottom, top):
        self.n += 1
        top[0].data[...] = self.rank, self.count, self.n


class Skipping(Counting):
    """Counts skipped batches as well."""

    def skip_batches(self, n):
        self.n += n


def counting_net(layer, phase="TRAIN", **options):
    return net_from_text(
        'layer { name: "x" type: "Python" top: "x" '
        f'python_param {{ module: "{__name__}" layer: "{layer}" }} }}',
        phase,
        **options,
    )


def test_python_layers_know_their_process():
    def work(communicator):
        share = WorkShare(BatchParts(communicator.rank, 1, 3), communicator)
        net = counting_net("Counting", share=share)
        net.forward()
        assert (caffe.solver_rank(), caffe.solver_count()) == (0, 1)  # outside of the layer
        return net.blobs["x"].data.get().tolist()

    assert run_ranks(3, work) == [[rank, 3, 1] for rank in range(3)]
    # Each process skips the batches of a test that others compute, and sees the whole sequence.
    share = WorkShare()
    net = counting_net("Counting", "TEST", share=share)
    net.forward()
    assert net.blobs["x"].data.get().tolist() == [0, 1, 1]


@pytest.mark.parametrize("layer", ["Counting", "Skipping"])
def test_python_layers_skip_batches(layer):
    net = counting_net(layer, "TEST")
    for n in (2, 0, 3):
        net.skip_batches(n)
        net.forward()
    assert net.blobs["x"].data.get().tolist() == [0, 1, 8]
