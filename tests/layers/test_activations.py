"""Activation functions at large inputs, and op types that only the reference backend has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from minicaffe.backends.reference import ReferenceBackend
from minicaffe.backends.reference.kernels import activation
from minicaffe.ops.activation import Activation
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


@dataclass(frozen=True)
class Cube(Activation):
    """y = factor x^3; no backend but the reference has a kernel."""

    factor: float

    def gradient_needs_x(self):
        return True


@pytest.fixture
def cube(monkeypatch):
    functions = (
        lambda xp, x, op: op.factor * x**3,
        lambda xp, x, y, op: 3 * op.factor * x**2,
    )
    monkeypatch.setitem(activation.FUNCTIONS, Cube, functions)
    monkeypatch.setitem(ReferenceBackend.kernels, Cube, activation.ReferenceActivation)
    return Cube(0.5)


@pytest.mark.parametrize("in_place", [False, True])
def test_an_op_type_without_a_fast_kernel_falls_back_to_the_reference(
    backend, cube, in_place, caplog_minicaffe
):
    values, gradient = np.array([[-2, -1, 0], [0.5, 1, 3]]), np.arange(6.0).reshape(2, 3)
    x, dy, dx = (backend.tensor(values.shape) for _ in range(3))
    y = x if in_place else backend.tensor(values.shape)
    x.set(values)
    dy.set(gradient)
    kernel = backend.plan(cube, x, y)
    backend.plan(cube, x, y)
    kernel.forward(x, y)
    np.testing.assert_allclose(y.get(), 0.5 * values**3)
    kernel.backward(x, y, dy, dx)
    np.testing.assert_allclose(dx.get(), gradient * 1.5 * values**2)
    logged = [r.message for r in caplog_minicaffe.records if "has no kernel for Cube" in r.message]
    assert len(logged) == (backend.name != "reference")
