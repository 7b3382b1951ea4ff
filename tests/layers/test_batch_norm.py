"""BatchNorm's statistics: their update in the TRAIN phase and their use in the TEST phase."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.errors import NetError
from probe import net_from_text

FRACTION, EPS = 0.75, 1e-5
SETTINGS = f"batch_norm_param {{ moving_average_fraction: {FRACTION} }}"


def net(phase, more="", shape=(3, 5, 4, 7)):
    dims = " ".join(f"dim: {size}" for size in shape)
    return net_from_text(
        f'layer {{ name: "in" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}\n'
        f'layer {{ name: "bn" type: "BatchNorm" bottom: "x" top: "y" {SETTINGS} {more} }}',
        phase,
    )


def statistics(made):
    return [blob.data.get() for blob in made.layers[1].blobs]


def test_training_accumulates_weighted_statistics():
    rng = np.random.default_rng(5)
    made = net("TRAIN")
    mean, variance, weight = np.zeros(5), np.zeros(5), 0.0
    for _ in range(3):
        x = rng.normal(2, 3, (3, 5, 4, 7))
        made.blobs["x"].data.set(x)
        made.forward()
        mean = FRACTION * mean + x.mean((0, 2, 3))
        variance = FRACTION * variance + x.var((0, 2, 3), ddof=1)
        weight = FRACTION * weight + 1
    for got, want in zip(statistics(made), (mean, variance, [weight]), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5)


def test_the_test_phase_divides_by_the_weight_and_updates_nothing():
    made = net("TEST")
    for blob, value in zip(made.layers[1].blobs, (6, 32, 2), strict=True):
        blob.data.set(np.full(blob.shape, value))
    made.blobs["x"].data.set(np.full((3, 5, 4, 7), 11))
    before = statistics(made)
    made.forward()
    np.testing.assert_allclose(made.blobs["y"].data.get(), (11 - 3) / np.sqrt(16 + EPS), rtol=1e-6)
    for got, want in zip(statistics(made), before, strict=True):
        np.testing.assert_array_equal(got, want)


def test_initial_statistics_are_zero():
    made = net("TEST")
    made.blobs["x"].data.set(np.ones((3, 5, 4, 7)))
    made.forward()
    np.testing.assert_allclose(made.blobs["y"].data.get(), 1 / np.sqrt(EPS), rtol=1e-5)


def test_a_single_value_per_channel_has_variance_zero():
    made = net("TRAIN", shape=(1, 5))
    made.blobs["x"].data.set(np.arange(5).reshape(1, 5))
    made.forward()
    assert not made.blobs["y"].data.get().any()
    np.testing.assert_array_equal(statistics(made)[1], np.zeros(5))


def test_solvers_do_not_change_the_statistics():
    assert [p.lr_mult for p in net("TRAIN").parameters] == [0, 0, 0]
    given = "param { lr_mult: 0 decay_mult: 0 } param { lr_mult: 0 }"
    assert [p.lr_mult for p in net("TRAIN", given).parameters] == [0, 0, 0]
    with pytest.raises(NetError, match=r'layer "bn" .*the statistics are not learned; set lr_mult'):
        net("TRAIN", "param { lr_mult: 0 } param { decay_mult: 0 }")


def test_an_in_place_layer_after_it_does_not_change_the_gradient():
    text = (
        'force_backward: true layer { name: "in" type: "Input" top: "x" input_param { shape { '
        "dim: 3 dim: 5 } } }\n"
        'layer { name: "bn" type: "BatchNorm" bottom: "x" top: "y" }\n'
        'layer { name: "scale" type: "Scale" bottom: "y" top: "TOP" '
        "scale_param { filler { value: 3 } bias_term: true bias_filler { value: 1 } } }"
    )
    x, dy = np.random.default_rng(6).standard_normal((2, 3, 5))
    found = []
    for top in ("y", "z"):
        made = net_from_text(text.replace("TOP", top))
        made.blobs["x"].data.set(x)
        made.forward()
        made.blobs[top].diff.set(dy)
        made.backward()
        found.append(made.blobs["x"].diff.get())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)
