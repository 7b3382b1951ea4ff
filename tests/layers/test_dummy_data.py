"""DummyData: shapes, fillers, and which tops are filled again."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.errors import NetError
from probe import net_from_text


def dummy(settings, tops=("a",)):
    names = " ".join(f'top: "{name}"' for name in tops)
    return net_from_text(
        f'layer {{ name: "probe" type: "DummyData" {names} dummy_data_param {{ {settings} }} }}'
    )


def values(net, name="a"):
    net.forward()
    return net.blobs[name].data.get()


def test_blobs_without_a_filler_are_zero():
    np.testing.assert_array_equal(values(dummy("shape { dim: 2 dim: 3 }")), np.zeros((2, 3)))


def test_legacy_shapes_and_one_filler_for_all_tops():
    four = "num: 2 channels: 3 height: 5 width: 7"
    net = dummy(f'{four} data_filler {{ type: "constant" value: 4 }}', ("a", "b"))
    for name in ("a", "b"):
        np.testing.assert_array_equal(values(net, name), np.full((2, 3, 5, 7), 4))


def test_constants_are_filled_once_and_random_values_in_every_pass():
    fillers = 'data_filler { type: "constant" value: 4 } data_filler { type: "gaussian" }'
    net = dummy(f"shape {{ dim: 7 }} {fillers}", ("a", "b"))
    first = values(net, "b")
    net.blobs["a"].data.set(1)
    assert (values(net, "b") != first).all()
    np.testing.assert_array_equal(values(net, "a"), np.ones(7))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("", "give shape"),
        ("shape { dim: 2 } num: 3", "not both"),
        ("shape { dim: 2 } shape { dim: 2 } shape { dim: 2 }", "3 shapes for 2 tops"),
        ("num: 2 channels: 3 height: 5", "equally often"),
        (
            'shape { dim: 2 } data_filler { type: "gausian" }',
            'data_filler 0: .*"gausian".*gaussian',
        ),
    ],
)
def test_bad_settings_raise_errors(settings, message):
    with pytest.raises(
        NetError, match=rf'net.prototxt:1, layer "probe" \(DummyData\): .*{message}'
    ):
        dummy(settings, ("a", "b"))
