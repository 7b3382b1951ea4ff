"""Layers in pairs and chains, on every backend: values, gradients and unchanged bottoms.

The second layer of a pair works in place on the top of the first, which itself works in place or
not; chains begin with a host, a layer whose top has a layout of its own or which fuses others. The
reference in float64 is held to directional derivatives, the other backends to it, in two passes.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterator

import numpy as np
import pytest

from minicaffe.errors import BackendUnavailable
from minicaffe.net import Net
from minicaffe.ops.backend import Backend
from probe import BACKEND_NAMES, EMULATED, REFERENCE, make_backend, net_from_text
from tolerances import DERIVATIVE, Tolerance, assert_close

# Of float32, after up to four layers.
ALLOWED = Tolerance(absolute=1e-4, relative=1e-3)

SCALE = 'scale_param { filler { type: "uniform" min: -1.5 max: -0.5 } bias_term: true }'
# Layers that may work in place.
LAYERS = {
    "relu": ("ReLU", ""),
    "leaky": ("ReLU", "relu_param { negative_slope: 0.1 }"),
    "negative": ("ReLU", "relu_param { negative_slope: -0.2 }"),
    "elu": ("ELU", "elu_param { alpha: 0.7 }"),
    "prelu": ("PReLU", ""),
    "sigmoid": ("Sigmoid", ""),
    "tanh": ("TanH", ""),
    "bnll": ("BNLL", ""),
    "abs": ("AbsVal", ""),
    "swish": ("Swish", ""),
    "exp": ("Exp", "exp_param { scale: -0.3 }"),
    "square": ("Power", "power_param { power: 2 shift: 0.3 }"),
    "linear": ("Power", "power_param { scale: -0.7 }"),
    "clip": ("Clip", "clip_param { min: -0.8 max: 0.9 }"),
    "softmax": ("Softmax", ""),
    "softmax_last": ("Softmax", "softmax_param { axis: -1 }"),
    "scale": ("Scale", SCALE),
    "bias": ("Bias", "bias_param { filler { value: -0.4 } }"),
    "bn": ("BatchNorm", ""),
    "bn_batch": ("BatchNorm", "batch_norm_param { use_global_stats: false }"),
    "mvn": ("MVN", ""),
    "dropout": ("Dropout", ""),
}
OWN_TOP_ONLY = {
    "lrn": ("LRN", "lrn_param { local_size: 3 alpha: 0.5 }"),
    "pool": ("Pooling", "pooling_param { kernel_size: 2 stride: 1 }"),
}
# What follows a layer that works in place.
AFTER_IN_PLACE = ("bias", "bn", "clip", "dropout", "relu", "scale", "sigmoid", "softmax")
FILLER = 'weight_filler { type: "gaussian" std: 0.5 } bias_filler { type: "uniform" max: 0.3 }'
HOSTS = {
    "conv": ("Convolution", f"convolution_param {{ num_output: 3 kernel_size: 2 {FILLER} }}"),
    "group": (
        "Convolution",
        f"convolution_param {{ num_output: 6 kernel_size: 3 pad: 1 group: 3 {FILLER} }}",
    ),
    "deconv": ("Deconvolution", f"convolution_param {{ num_output: 3 kernel_size: 2 {FILLER} }}"),
    "ip": ("InnerProduct", f"inner_product_param {{ num_output: 5 {FILLER} }}"),
    "ip2": ("InnerProduct", f"inner_product_param {{ num_output: 5 axis: 2 {FILLER} }}"),
    "ip3": ("InnerProduct", f"inner_product_param {{ num_output: 5 axis: 3 {FILLER} }}"),
    "average": ("Pooling", "pooling_param { pool: AVE kernel_size: 2 }"),
    "maximum": ("Pooling", "pooling_param { pool: MAX kernel_size: 2 }"),
    "flatten": ("Flatten", ""),
}
PAIRS = [
    (first, second, place, phase)
    for first in (*LAYERS, *OWN_TOP_ONLY)
    for second in LAYERS
    for place in ("own", "in")
    if place == "own" or (first not in OWN_TOP_ONLY and second in AFTER_IN_PLACE)
    # Each pair in one phase.
    for phase in [("TRAIN", "TEST")[zlib.crc32(f"{first} {second} {place}".encode()) % 2]]
]


def _chains(count: int = 150) -> list[tuple[str, str]]:
    rng, names, found = np.random.default_rng(11), list(LAYERS), {}
    while len(found) < count:
        host = list(HOSTS)[rng.integers(len(HOSTS))]
        others = [names[rng.integers(len(names))] for _ in range(rng.integers(2, 4))]
        # MVN of a vector is zero.
        if {"dropout"} != set(others) and not (host in ("ip", "flatten") and "mvn" in others):
            found[" ".join([host, *others]), ("TRAIN", "TEST")[rng.integers(2)]] = None
    return list(found)


# Those that users have most, and that fuse most.
USUAL = [
    (f"{host} {layers}", phase)
    for host in ("conv", "ip", "deconv")
    for layers in ("bn scale relu", "bn_batch scale relu tanh", "relu dropout", "relu bn scale")
    for phase in ("TRAIN", "TEST")
]


def layer(name: str, kind: str, bottom: str, top: str, settings: str) -> str:
    return f'layer {{ name: "{name}" type: "{kind}" bottom: "{bottom}" top: "{top}" {settings} }}\n'


def pair_text(first: str, second: str, in_place: bool) -> str:
    kind, settings = (LAYERS | OWN_TOP_ONLY)[first]
    top = "x" if in_place else "y"
    # Not in place on an input, which the test sets.
    text = layer("begin", "Power", "in", "x", "power_param { scale: 1.25 }")
    return (
        text
        + layer("a", kind, "x", top, settings)
        + layer("b", LAYERS[second][0], top, top, LAYERS[second][1])
    )


def chain_text(names: str) -> str:
    host, *others = names.split()
    text = layer("host", HOSTS[host][0], "in", "x", HOSTS[host][1])
    for i, name in enumerate(others):
        text += layer(f"l{i}", LAYERS[name][0], "x", "x", LAYERS[name][1])
    return text


INPUT = """force_backward: true
layer { name: "in" type: "Input" top: "in" input_param { shape { dim: 6 dim: 3 dim: 5 dim: 4 } } }
"""


class Subject:
    """A net with values for its input, its parameters and the gradient of its output."""

    def __init__(self, text: str, phase: str, backend, draw: int = 0) -> None:
        self.net: Net = net_from_text(INPUT + text, phase, backend=backend)
        rng = np.random.default_rng(draw)
        self.blobs = [self.net.blobs["in"]]
        for made in self.net.layers:
            for i, blob in enumerate(made.blobs):
                if made.type == "BatchNorm":
                    blob.data.set(np.full(blob.shape, (0.4, 1.5, 1.2)[i]))
                else:
                    blob.data.set(
                        self.rounded(blob.data.get() + 0.1 * rng.standard_normal(blob.shape))
                    )
                    self.blobs.append(blob)
        self.input = self.rounded(rng.standard_normal(self.net.blobs["in"].shape))
        self.output = self.net.outputs[0]
        self.gradient = self.rounded(rng.standard_normal(self.output.shape))
        self.state = None

    @staticmethod
    def rounded(values: np.ndarray) -> np.ndarray:
        return values.astype(np.float32)

    def forward(self) -> np.ndarray:
        """Run forward from the same random numbers as before; return the output."""
        if self.state is not None:
            self.net.restore(self.state)
        self.net.blobs["in"].data.set(self.input)
        self.net.forward()
        if self.state is None:
            self.state = {
                n: {p: [s, 0] for p, (s, _) in v.items()} for n, v in self.net.state().items()
            }
        return self.output.data.get()

    def results(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yield values and gradients of two passes."""
        for number in range(2):
            yield f"output of pass {number}", self.forward()
            self.net.clear_param_diffs()
            self.output.diff.set(self.gradient)
            self.net.backward()
            yield f"output after backward of pass {number}", self.output.data.get()
            for blob in self.blobs:
                yield f"gradient of {blob.name} in pass {number}", blob.diff.get()

    def derivative_along(self, blob, values: np.ndarray, way: np.ndarray) -> float:
        """Return the central difference of the functional of the output."""
        found = []
        for h in (1e-6, -1e-6):
            changed = values + h * way
            if blob is self.blobs[0]:
                self.input = changed
            else:
                blob.data.set(changed)
            found.append(float((self.forward() * self.gradient).sum()))
        self.input = values if blob is self.blobs[0] else self.input
        blob.data.set(values)
        return (found[0] - found[1]) / 2e-6


def check(text: str, phase: str) -> None:
    """Run a net on every backend, and hold the reference to directional derivatives."""
    draw, want = away_from_corners(text, phase)
    check_derivatives(Subject(text, phase, backend_named(REFERENCE), draw), dict(want))
    for name in BACKEND_NAMES:
        backend = backend_named(name) if isinstance(name, str) else None
        draws_other_masks = name in EMULATED and "Dropout" in text and phase == "TRAIN"
        if backend is not None and name != REFERENCE and not draws_other_masks:
            compare(Subject(text, phase, backend, draw), want, f"{name}: ")


@functools.cache
def backend_named(name: str) -> Backend | None:
    """Return the one backend for all tests; None if it cannot run here."""
    try:
        return make_backend(name)
    except BackendUnavailable:
        return None


def compare(subject: Subject, want: list[tuple[str, np.ndarray]], where: str) -> None:
    for (name, got), (_, expected) in zip(subject.results(), want, strict=True):
        assert_close(got, expected, floor(ALLOWED, expected, want), where + name)
    if "in" not in written_in_place(subject.net):
        np.testing.assert_array_equal(subject.net.blobs["in"].data.get(), subject.input)


def check_derivatives(subject: Subject, want: dict[str, np.ndarray]) -> None:
    rng = np.random.default_rng(3)
    for blob in subject.blobs:
        values = subject.input if blob is subject.blobs[0] else blob.data.get()
        way = rng.standard_normal(values.shape)
        terms = want[f"gradient of {blob.name} in pass 0"] * way
        slope = subject.derivative_along(blob, values.astype(float), way)
        scale = np.abs(terms).sum()
        assert abs(terms.sum() - slope) <= 10 * DERIVATIVE.relative * scale + 1e-7, blob.name


def written_in_place(net: Net) -> set[str]:
    return {blob.data_owner.name for s in net.steps for blob in s.top if blob in s.bottom}


def floor(allowed: Tolerance, expected: np.ndarray, want) -> Tolerance:
    """Return a tolerance that counts a gradient of zero as small against the other gradients."""
    largest = max(np.abs(values).max() for _, values in want)
    scale = np.abs(expected).max() or 1.0
    return Tolerance(allowed.absolute * max(1.0, 1e-2 * largest / scale), allowed.relative)


def away_from_corners(text: str, phase: str) -> tuple[int, list[tuple[str, np.ndarray]]]:
    """Return a number of a draw whose results a few roundings of float32 do not change much."""
    backend = backend_named(REFERENCE)
    for draw in range(20):
        want = list(Subject(text, phase, backend, draw).results())
        if all(is_close(moved(text, phase, draw, by), want) for by in (1e-5, -1e-5)):
            return draw, want
    raise AssertionError("no inputs away from corners")


def moved(text: str, phase: str, draw: int, by: float) -> list[tuple[str, np.ndarray]]:
    subject = Subject(text, phase, backend_named(REFERENCE), draw)
    shape = subject.input.shape
    subject.input = subject.input + by * np.random.default_rng(1).choice([-1, 1], shape)
    return list(subject.results())


def is_close(got, want) -> bool:
    largest = max(np.abs(values).max() for _, values in want)
    return all(
        np.abs(a - b).max() < 1e-3 * max(np.abs(b).max(), 1e-2 * largest)
        for (_, a), (_, b) in zip(got, want, strict=True)
    )


@pytest.mark.parametrize(("first", "second", "place", "phase"), PAIRS, ids=lambda value: str(value))
def test_pair(first, second, place, phase):
    check(pair_text(first, second, place == "in"), phase)


@pytest.mark.parametrize(("names", "phase"), [*_chains(), *USUAL])
def test_chain(names, phase):
    check(chain_text(names), phase)
