"""cuDNN's older API: what is called, against a library that notes it; descriptors for real."""

from __future__ import annotations

import ctypes
from dataclasses import replace

import pytest

from minicaffe.backends.cuda.driver import cudnn_legacy
from minicaffe.backends.cuda.driver.cudnn_legacy import (
    DEFAULT_MATH,
    FMA_MATH,
    Calls,
    Legacy,
    Performance,
)
from minicaffe.backends.cuda.driver.plans import ConvolutionProblem, PlanLimits, Role
from minicaffe.errors import BackendUnavailable, Unsupported

STRIDED = ConvolutionProblem(
    "forward",
    x=(2, 6, 11, 9),
    w=(4, 3, 5, 3),
    y=(2, 4, 5, 4),
    stride=(2, 2),
    pad=(1, 0),
    dilation=(1, 1),
    group=2,
    bias=True,
    relu=True,
)


class NotingLibrary:
    """Notes every call; its heuristics offer `offers`."""

    def __init__(self, *offers, status=0):
        self.offers, self.status, self.calls, self.n_made = offers, status, [], 0

    def __getattr__(self, name):
        if not name.startswith("cudnn"):
            raise AttributeError(name)

        def call(*args):
            self.calls.append((name, *map(plain, args)))
            if name.startswith("cudnnCreate"):
                self.n_made += 1
                args[0]._obj.value = self.n_made
            if name.endswith("_v7"):
                args[-2]._obj.value = len(self.offers)
                for place, offer in zip(args[-1], self.offers, strict=False):
                    for key, value in offer.items():
                        setattr(place, key, value)
            return self.status

        return call

    def cudnnGetErrorString(self, status):
        return f"CUDNN_STATUS_{status}".encode()

    def cudnnGetVersion(self):
        return 92800

    def named(self, name):
        return [call[1:] for call in self.calls if call[0] == name]


def plain(arg):
    if isinstance(arg, ctypes.Array):
        return list(arg) if arg._type_ is ctypes.c_int else None
    target = getattr(arg, "_obj", arg)
    return target.value if hasattr(target, "value") else target


def legacy(library, *, is_deterministic=False, workspace_limit=1 << 20):
    return Legacy(library, 5, PlanLimits(is_deterministic, workspace_limit))


OFFER = {"algorithm": 1, "status": 0, "workspace_bytes": 64, "determinism": 1, "math": 0}


def test_a_forward_pass_adds_the_bias_and_rectifies():
    library = NotingLibrary(OFFER)
    (plan,) = legacy(library).plans(STRIDED)
    assert (plan.name, plan.workspace_bytes) == ("legacy algorithm 1 math 0", 64)
    plan.prepare()
    library.calls.clear()
    plan({Role.X: 10, Role.W: 20, Role.B: 30, Role.Y: 40}, 50)
    convolution, bias, relu = library.calls
    assert convolution[0] == "cudnnConvolutionForward"
    # handle, 1, x, w; the convolution's descriptor; algorithm, workspace; 0, y
    assert [convolution[i] for i in (1, 2, 4, 6, 8, 9, 10, 11, 13)] == [
        *(1, 1.0, 10, 20, 1, 50, 64, 0.0, 40)
    ]
    assert bias[0] == "cudnnAddTensor"
    assert [bias[i] for i in (2, 4, 5, 7)] == [1.0, 30, 1.0, 40]
    assert relu[0] == "cudnnActivationForward"
    assert [relu[i] for i in (3, 5, 6, 8)] == [1.0, 40, 0.0, 40]


@pytest.mark.parametrize(
    ("direction", "name", "roles"),
    [
        ("data", "cudnnConvolutionBackwardData", (Role.W, Role.DY, Role.DX)),
        ("weights", "cudnnConvolutionBackwardFilter", (Role.X, Role.DY, Role.DW)),
    ],
)
def test_gradients_read_and_write_in_the_order_of_the_library(direction, name, roles):
    library = NotingLibrary(OFFER)
    what = replace(STRIDED, direction=direction, bias=False, relu=False)
    (plan,) = legacy(library).plans(what)
    plan({role: 10 * (i + 1) for i, role in enumerate(roles)}, 50)
    *_, call = library.calls
    assert call[0] == name
    assert [call[i] for i in (4, 6, 13)] == [10, 20, 30]


def test_descriptors_have_the_memory_order():
    library = NotingLibrary(OFFER)
    legacy(library).plans(replace(STRIDED, channels_last=True, dtype="bfloat16"))
    x, y, b = library.named("cudnnSetTensorNdDescriptor")
    assert x[1:] == (9, 4, [2, 6, 11, 9], [594, 1, 54, 6])
    assert y[1:] == (9, 4, [2, 4, 5, 4], [80, 1, 16, 4])
    assert b[1:] == (9, 4, [1, 4, 1, 1], [4, 1, 4, 4])
    assert library.named("cudnnSetFilterNdDescriptor")[0][1:] == (9, 1, 4, [4, 3, 5, 3])
    convolution = library.named("cudnnSetConvolutionNdDescriptor")[0]
    assert convolution[1:] == (2, [1, 0], [2, 2], [1, 1], 1, 0)
    assert library.named("cudnnSetConvolutionGroupCount")[0][1] == 2


@pytest.mark.parametrize(
    ("change", "asked", "taken"),
    [
        ({"math": "fp32"}, FMA_MATH, [(0, FMA_MATH), (3, FMA_MATH)]),
        ({"math": "tf32"}, DEFAULT_MATH, [(0, 0), (1, 1), (3, 3)]),
        ({"dtype": "float16"}, 1, [(0, 0), (1, 1), (3, 3)]),
    ],
)
def test_precision(change, asked, taken):
    offers = [{**OFFER, "algorithm": math, "math": math} for math in (0, 1, 3)]
    library = NotingLibrary(*offers)
    plans = legacy(library).plans(replace(STRIDED, **change))
    assert [call[1] for call in library.named("cudnnSetConvolutionMathType")] == [
        *(asked, *(math for _, math in taken))
    ]
    assert [plan.name for plan in plans] == [f"legacy algorithm {a} math {m}" for a, m in taken]


@pytest.mark.parametrize(
    "flaw", [{"status": 9}, {"workspace_bytes": (1 << 20) + 1}, {"determinism": 0}]
)
def test_algorithms_that_do_not_fit_are_left_out(flaw):
    with pytest.raises(Unsupported, match="none of cuDNN's legacy algorithms is suitable"):
        legacy(NotingLibrary({**OFFER, **flaw}), is_deterministic=True).plans(STRIDED)


def test_sizes_that_do_not_fit_its_integers():
    far = forward((1, 2**31, 1, 1), (1, 2**31, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1))
    with pytest.raises(Unsupported, match="2147483648 values are more than 2147483647"):
        legacy(NotingLibrary()).plans(far)


def test_failures_are_named():
    with pytest.raises(BackendUnavailable, match="cudnnCreate returns: CUDNN_STATUS_7"):
        legacy(NotingLibrary(status=7))
    library = NotingLibrary(OFFER)
    (plan,) = legacy(library).plans(STRIDED)
    library.status = 8
    with pytest.raises(BackendUnavailable, match="cudnnConvolutionForward returns: CUDNN_STA"):
        plan(dict.fromkeys((Role.X, Role.W, Role.B, Role.Y), 1), 0)


def test_the_version_names_excluded_algorithms():
    assert legacy(NotingLibrary()).version == "cuDNN 92800 legacy up to 1 MiB"
    assert "deterministic" in legacy(NotingLibrary(), is_deterministic=True).version


def test_the_structure_of_the_heuristics_results():
    assert ctypes.sizeof(Performance) == 48
    assert Performance.workspace_bytes.offset == 16


@pytest.fixture(scope="module")
def calls():
    try:
        return Calls(cudnn_legacy.load_cudnn_legacy())
    except BackendUnavailable as reason:
        pytest.skip(str(reason))


def forward(x, w, y, stride, pad, dilation):
    return ConvolutionProblem("forward", x, w, y, stride, pad, dilation)


LAYERS = [
    forward((64, 1, 28, 28), (20, 1, 5, 5), (64, 20, 24, 24), (1, 1), (0, 0), (1, 1)),
    STRIDED,
    forward((2, 3, 9, 20), (4, 3, 3, 5), (2, 4, 3, 9), (1, 2), (0, 1), (3, 1)),
    forward((2, 3, 20), (4, 3, 5), (2, 4, 9), (2,), (1,), (1,)).canonical,
    forward((2, 3, 6, 7, 8), (4, 3, 3, 3, 3), (2, 4, 6, 4, 2), (1, 2, 3), (1, 1, 1), (1, 1, 2)),
]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("what", LAYERS, ids=str)
def test_the_library_finds_the_same_size(calls, what, dtype, channels_last):
    what = replace(what, dtype=dtype, channels_last=channels_last)
    operands = what.operands
    x = calls.tensor(operands[Role.X], channels_last)
    w = calls.filter(operands[Role.W], channels_last)
    convolution = calls.convolution(what, FMA_MATH)
    found = (ctypes.c_int * len(what.y))()
    calls("cudnnGetConvolutionNdForwardOutputDim", convolution, x, w, len(what.y), found)
    assert tuple(found) == what.y
    assert calls.relu.value


def test_a_descriptor_that_cannot_be(calls):
    with pytest.raises(Unsupported, match="cudnnSetConvolutionGroupCount returns: CUDNN_STATUS"):
        calls("cudnnSetConvolutionGroupCount", calls.convolution(STRIDED, FMA_MATH), -1)
