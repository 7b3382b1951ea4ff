"""Recurrent layers over several batches, and their errors."""

import json

import numpy as np
import pytest

from minicaffe.backends.reference import ReferenceBackend
from minicaffe.errors import NetError
from oracles import ORACLES
from probe import net_from_text

D, K, N = 3, 4, 2
types = pytest.mark.parametrize("layer_type", ["LSTM", "RNN"])
phases = pytest.mark.parametrize("phase", ["TRAIN", "TEST"])


def net_of(layer_type, steps=5, streams=N, phase="TRAIN", extra="", seed=1):
    text = f"""
layer {{ name: "x" type: "Input" top: "x"
  input_param {{ shape {{ dim: {steps} dim: {streams} dim: {K} }} }} }}
layer {{ name: "cont" type: "Input" top: "cont"
  input_param {{ shape {{ dim: {steps} dim: {streams} }} }} }}
layer {{ name: "probe" type: "{layer_type}" bottom: "x" bottom: "cont" top: "y" recurrent_param {{
  num_output: {D} weight_filler {{ type: "uniform" min: -1 max: 1 }}
  bias_filler {{ type: "uniform" min: -1 max: 1 }} {extra} }} }}"""
    return net_from_text(text, phase, backend=ReferenceBackend(np.float64), seed=seed)


def run(net, x, cont):
    net.blobs["x"].reshape(x.shape)
    net.blobs["cont"].reshape(cont.shape)
    net.blobs["x"].data.set(x)
    net.blobs["cont"].data.set(cont)
    net.forward()
    return net.blobs["y"].data.get()


def sequence(steps=12):
    rng = np.random.default_rng(0)
    return rng.standard_normal((steps, N, K)), rng.integers(0, 4, (steps, N)).clip(0, 1).astype(
        float
    )


@types
@phases
def test_batches_continue_each_other(layer_type, phase):
    x, cont = sequence()
    whole = run(net_of(layer_type, phase=phase), x, cont)
    net = net_of(layer_type, phase=phase)
    for first, last in ((0, 5), (5, 6), (6, 12)):
        part = run(net, x[first:last], cont[first:last])
        np.testing.assert_allclose(part, whole[first:last], rtol=1e-12)
    layer = net.layers[-1]
    params = [blob.data.get() for blob in layer.blobs]
    (want,) = ORACLES[layer_type](layer.param, [x, cont], params, phase == "TRAIN")
    np.testing.assert_allclose(whole, want, rtol=1e-10)


@types
def test_the_state_is_zero_initially_after_reset_and_for_another_number_of_streams(layer_type):
    x, cont = sequence(5)
    ones = np.ones_like(cont)
    net = net_of(layer_type)
    first = run(net, x, ones)
    assert abs(run(net, x, ones) - first).max() > 1e-3
    net.layers[-1].reset()
    np.testing.assert_array_equal(run(net, x, ones), first)
    wide = np.concatenate([x, x], axis=1), np.concatenate([ones, ones], axis=1)
    np.testing.assert_allclose(run(net, *wide), np.concatenate([first, first], axis=1), rtol=1e-12)


@types
def test_cont_zero_resets_the_state(layer_type):
    x, _ = sequence(5)
    fresh = np.ones((5, N))
    fresh[0] = 0
    net = net_of(layer_type)
    first = run(net, x, fresh)
    np.testing.assert_array_equal(run(net, x, fresh), first)


@types
def test_gradients_end_at_the_batch_and_depend_on_its_initial_state(layer_type):
    x, cont = sequence(10)
    cont[:] = 1
    net = net_of(layer_type, extra="expose_hidden: false")
    layer = net.layers[-1]
    run(net, x[:5], cont[:5])
    state = layer.state()

    def loss():
        layer.restore(state)
        return run(net, x[5:], cont[5:]).sum()

    loss()
    net.blobs["y"].diff.set(1)
    for blob in layer.blobs:
        blob.diff.set(0)
    layer.backward([net.blobs["y"]], [True, False], [net.blobs["x"], net.blobs["cont"]])
    for i, blob in enumerate(layer.blobs):
        values = blob.data.get()
        direction = np.random.default_rng(i).standard_normal(values.shape)
        losses = []
        for step in (1e-6, -1e-6):
            blob.data.set(values + step * direction)
            losses.append(loss())
        blob.data.set(values)
        slope = (losses[0] - losses[1]) / 2e-6
        assert (blob.diff.get() * direction).sum() == pytest.approx(slope, rel=1e-6), i


@types
def test_a_restored_layer_continues_exactly(layer_type):
    x, cont = sequence(5)
    cont[:] = 1
    net, other = net_of(layer_type), net_of(layer_type)
    run(net, x, cont)
    other.restore(json.loads(json.dumps(net.state())))
    np.testing.assert_array_equal(run(other, x, cont), run(net, x, cont))
    wide = net_of(layer_type, streams=N + 1)
    wide.restore(net.state())
    assert (np.array(wide.state()["probe"]["states"]) == 0).all()


def test_parameters_are_in_the_order_of_caffe():
    static = 'bottom: "s"'

    def shapes(layer_type, with_static):
        text = f"""
layer {{ name: "x" type: "Input" top: "x" top: "cont" top: "s" input_param {{
  shape {{ dim: 5 dim: 2 dim: 4 }} shape {{ dim: 5 dim: 2 }} shape {{ dim: 2 dim: 7 }} }} }}
layer {{ name: "probe" type: "{layer_type}" bottom: "x" bottom: "cont" top: "y"
  {static if with_static else ""} recurrent_param {{ num_output: 3 }} }}"""
        return [blob.shape for blob in net_from_text(text).layers[-1].blobs]

    assert shapes("LSTM", False) == [(12, 4), (12,), (12, 3)]
    assert shapes("LSTM", True) == [(12, 4), (12,), (12, 7), (12, 3)]
    assert shapes("RNN", False) == [(3, 4), (3,), (3, 3), (3, 3), (3,)]
    assert shapes("RNN", True) == [(3, 4), (3,), (3, 7), (3, 3), (3, 3), (3,)]


@pytest.mark.parametrize(
    ("shapes", "tops", "settings", "message"),
    [
        ([(5, 2, 4), (5, 2)], 1, "", "num_output is missing or 0; it must be at least 1"),
        (
            [(5,), (5,)],
            1,
            "num_output: 3",
            r'"b0" has shape \(5,\); it must be \(time steps, strea',
        ),
        ([(5, 2, 4), (2, 5)], 1, "num_output: 3", r'"b1" of shape \(2, 5\) .* must be \(5, 2\)'),
        (
            [(5, 2, 4), (5, 2), (3, 7)],
            1,
            "num_output: 3",
            r'"b2" of shape \(3, 7\) is the input of all time steps; its first axis must be the 2',
        ),
        (
            [(5, 2, 4), (5, 2), (1, 2, 3), (1, 2, 4)],
            3,
            "num_output: 3 expose_hidden: true",
            r'"b3" of shape \(1, 2, 4\) is c before the first step; its shape must be \(1, 2, 3\)',
        ),
        (
            [(5, 2, 4), (5, 2)],
            1,
            "num_output: 3 expose_hidden: true",
            "2 bottoms; with expose_hidden: true they are x, cont, optionally x_static, then h, c",
        ),
        (
            [(5, 2, 4), (5, 2)],
            2,
            "num_output: 3",
            "2 tops; with expose_hidden: false there must be 1: y",
        ),
    ],
)
def test_wrong_shapes_and_settings_raise_errors(shapes, tops, settings, message):
    names = [f"b{k}" for k in range(len(shapes))]
    text = "".join(
        f'layer {{ name: "{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {n}" for n in shape)
        + " } } }\n"
        for name, shape in zip(names, shapes, strict=True)
    )
    blobs = [f'bottom: "{name}"' for name in names] + [f'top: "t{k}"' for k in range(tops)]
    text += (
        f'layer {{ name: "probe" type: "LSTM" {" ".join(blobs)} recurrent_param {{ {settings} }} }}'
    )
    with pytest.raises(NetError, match=r'layer "probe" \(LSTM\): .*' + message):
        net_from_text(text)


def test_a_changed_number_of_inputs_raises_an_error():
    net = net_of("LSTM")
    net.blobs["x"].reshape((5, N, K + 1))
    with pytest.raises(
        NetError, match="5 inputs a step and 0 static ones; the weights were made for 4 and"
    ):
        net.forward()


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(2, 2, 3), (1, 2, 12), (1, 2)], r'"c" has shape \(2, 2, 3\); it must be \(1, streams, D'),
        ([(1, 2, 3), (1, 2, 9), (1, 2)], r'"a" has shape .* must be \(1, 2, 12\)'),
        ([(1, 2, 3), (1, 2, 12), (2, 1)], r'"cont" has shape \(2, 1\); it must be \(1, 2\)'),
    ],
)
def test_wrong_shapes_of_an_lstm_unit_raise_errors(shapes, message):
    dims = " ".join("shape { " + " ".join(f"dim: {n}" for n in shape) + " }" for shape in shapes)
    text = f"""
layer {{ name: "in" type: "Input" top: "c" top: "a" top: "cont" input_param {{ {dims} }} }}
layer {{ name: "probe" type: "LSTMUnit" bottom: "c" bottom: "a" bottom: "cont" top: "d" top: "h" }}
"""
    with pytest.raises(NetError, match=r'layer "probe" \(LSTMUnit\): bottom ' + message):
        net_from_text(text)
