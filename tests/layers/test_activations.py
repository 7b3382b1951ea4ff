"""What the settings of one-formula layers refuse, and values far out."""

from __future__ import annotations

import numpy as np
import pytest

from minicaffe.errors import NetError
from probe import net_from_text


def net(layer_type, settings="", values=(0.0,)):
    made = net_from_text(
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: '
        f"{len(values)} }} }} }}\n"
        f'layer {{ name: "probe" type: "{layer_type}" bottom: "x" top: "y" {settings} }}'
    )
    made.blobs["x"].data.set(values)
    return made


@pytest.mark.parametrize(
    ("layer_type", "settings", "message"),
    [
        ("Exp", "exp_param { base: 0 }", "base: 0 must be positive, or -1, which stands for e"),
        ("Log", "log_param { base: -2 }", "base: -2 must be positive"),
        ("Log", "log_param { base: 1 }", "base: 1 has no logarithm"),
        ("Clip", "clip_param { min: 2 max: 1 }", "min: 2 must not be above max: 1"),
    ],
)
def test_bad_settings_are_refused(layer_type, settings, message):
    with pytest.raises(
        NetError, match=rf'net.prototxt:2, layer "probe" \({layer_type}\): .*{message}'
    ):
        net(layer_type, settings)


@pytest.mark.parametrize(
    ("layer_type", "expected"),
    [
        ("Sigmoid", [0, 1]),
        ("TanH", [-1, 1]),
        ("ELU", [-1, 500]),
        ("BNLL", [0, 500]),
        ("Swish", [0, 500]),
    ],
)
def test_large_numbers_do_not_overflow(layer_type, expected):
    made = net(layer_type, values=(-500.0, 500.0))
    made.forward()
    np.testing.assert_allclose(made.blobs["y"].data.get(), expected, atol=1e-6)
