"""Settings and shapes that layers refuse, with the place and the rule."""

from __future__ import annotations

import pytest

from minicaffe.errors import NetError
from probe import net_from_text


def build(layer_type, settings, *shapes):
    """Build a net of one layer on inputs of these shapes, named a, b, ..."""
    names = "abcdefg"[: len(shapes)]
    inputs = [
        f'layer {{ name: "in_{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
        + " ".join(f"dim: {size}" for size in shape)
        + " } } }"
        for name, shape in zip(names, shapes, strict=True)
    ]
    bottoms = " ".join(f'bottom: "{name}"' for name in names)
    probe = f'layer {{ name: "probe" type: "{layer_type}" {bottoms} top: "y" {settings} }}'
    return net_from_text("\n".join([*inputs, probe]))


@pytest.mark.parametrize(
    ("layer_type", "settings", "shapes", "message"),
    [
        (
            "Exp",
            "exp_param { base: 0 }",
            [(3,)],
            "base: 0 must be positive, or -1, which stands for e",
        ),
        ("Log", "log_param { base: -2 }", [(3,)], "base: -2 must be positive"),
        ("Log", "log_param { base: 1 }", [(3,)], "base: 1 has no logarithm"),
        ("Clip", "clip_param { min: 2 max: 1 }", [(3,)], "min: 2 must not be above max: 1"),
        ("LRN", "lrn_param { local_size: 4 }", [(2, 3, 4, 5)], "local_size: 4 must be odd"),
        ("LRN", "", [(2, 3, 4)], r'bottom "a" must be \(N, C, H, W\), it is \(2, 3, 4\)'),
        ("Scale", "scale_param { axis: 3 num_axes: 2 }", [(2, 3, 4, 5)], "reach past the 4 axes"),
        ("Bias", "bias_param { num_axes: -2 }", [(2, 3)], "num_axes: -2 must be 0 or more, or -1"),
        (
            "Scale",
            "",
            [(2, 3, 4), (4,)],
            r'bottom "b" of shape \(4,\) must fit the axes of bottom "a" \(2, 3, 4\) from axis 1',
        ),
        ("PReLU", "", [(3,)], r'bottom "a" must be \(N, C, ...\), it is \(3,\)'),
    ],
)
def test_refused(layer_type, settings, shapes, message):
    where = rf'net.prototxt:{len(shapes) + 1}, layer "probe" \({layer_type}\): '
    with pytest.raises(NetError, match=f"^{where}.*{message}"):
        build(layer_type, settings, *shapes)
