"""Activation functions far out."""

from __future__ import annotations

import numpy as np
import pytest

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
