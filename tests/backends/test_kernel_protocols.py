"""Kernels have the methods and parameters of their op's protocol, on every backend.

mypy checks the calls in layers but not the kernels, which narrow `Tensor` to their backend's class.
"""

import inspect
import sys

import pytest

from minicaffe.backends.cuda import CudaBackend
from minicaffe.backends.onednn import OneDnnBackend
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.ops.backend import Op
from minicaffe.ops.lstm import Lstm
from minicaffe.ops.rnn import Rnn
from minicaffe.ops.transform import Transform

BACKENDS = (ReferenceBackend, OneDnnBackend, CudaBackend)
# A function that chooses the kernel cannot be inspected; the layers' suite tests those kernels.
KERNELS = [
    pytest.param(op, kernel, id=kernel.__name__)
    for backend in BACKENDS
    for op, kernel in vars(backend)["kernels"].items()
    if inspect.isclass(kernel)
]


def protocol(op):
    name = "Recurrent" if op in (Lstm, Rnn) else op.__name__
    return getattr(sys.modules[op.__module__], f"{name}Kernel")


def parameters(method):
    return [(p.name, p.kind, p.default) for p in inspect.signature(method).parameters.values()]


@pytest.mark.parametrize(("op", "kernel"), KERNELS)
def test_methods_are_those_of_the_protocol(op, kernel):
    methods = {name: m for name, m in vars(protocol(op)).items() if not name.startswith("_")}
    if kernel in ReferenceBackend.kernels.values():
        methods.pop("recompute_forward", None)  # only called after fusion, which it has none of
    assert methods
    for name, method in methods.items():
        assert parameters(getattr(kernel, name)) == parameters(method), name


def test_every_op_has_a_reference_kernel():
    ops = {op for op in Op.__subclasses__() if op.__module__.startswith("minicaffe.ops.")}
    # Without a kernel, the host transforms images: see minicaffe.layers.batch_layer.
    assert ops - set(ReferenceBackend.kernels) == {Transform}
