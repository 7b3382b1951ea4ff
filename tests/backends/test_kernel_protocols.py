"""Kernels have the methods and parameters of their op's protocol, on every backend.

The type checker compares layers with the protocols; kernels are registered by decorators, so it
does not compare the kernels.
"""

import inspect
import sys

import pytest

from minicaffe.backends.cuda import CudaBackend
from minicaffe.backends.onednn import OneDnnBackend
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.ops.backend import Op
from minicaffe.ops.transform import Transform

BACKENDS = (ReferenceBackend, OneDnnBackend, CudaBackend)
# Kernels that a function chooses are checked by the layers' suite only.
KERNELS = [
    pytest.param(op, kernel, id=kernel.__name__)
    for backend in BACKENDS
    for op, kernel in vars(backend)["kernels"].items()
    if inspect.isclass(kernel)
]


def leaves(cls):
    children = cls.__subclasses__()
    return {leaf for child in children for leaf in leaves(child)} if children else {cls}


def protocol(op):
    generic = next(cls for cls in op.__mro__ if Op in cls.__bases__)
    (argument,) = generic.__orig_bases__[0].__args__
    if inspect.isclass(argument):
        return argument
    return getattr(sys.modules[generic.__module__], argument.__forward_arg__)


def parameters(method):
    return [(p.name, p.kind, p.default) for p in inspect.signature(method).parameters.values()]


@pytest.mark.parametrize(("op", "kernel"), KERNELS)
def test_methods_are_those_of_the_protocol(op, kernel):
    methods = {name: m for name, m in vars(protocol(op)).items() if not name.startswith("_")}
    if kernel in ReferenceBackend.kernels.values():
        methods.pop("recompute_forward", None)  # called after fusion only, and it fuses nothing
    assert methods
    for name, method in methods.items():
        assert parameters(getattr(kernel, name)) == parameters(method), name


def test_every_op_has_a_reference_kernel():
    ops = {op for op in leaves(Op) if op.__module__.startswith("minicaffe.ops.")}
    # Without a kernel the host transforms images: see minicaffe.layers.batch_layer.
    assert ops - set(ReferenceBackend.kernels) == {Transform}
