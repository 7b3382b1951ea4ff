"""Random numbers of the cuda backend: the generator, and steps in captured work."""

from __future__ import annotations

import numpy as np
import pytest

from cases.case import Case, positive
from minicaffe.backends.cuda.driver.device import Address
from minicaffe.backends.cuda.driver.sources import FOLDER
from probe import Probe, make_backend

MASK = 0xFFFFFFFF
DRAW = """
extern "C" __global__ void draw(const unsigned int* stream, unsigned int* drawn, int index, int n) {
    Words words = words_of_values(stream, index, n);
    for (int k = 0; k < 4; k++) drawn[k] = words.word[k];
}
"""
# Counter, key and what comes out: Random123's file kat_vectors, philox4x32 10.
KNOWN = [
    (
        "00000000 00000000 00000000 00000000",
        "00000000 00000000",
        "6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    ),
    (
        "ffffffff ffffffff ffffffff ffffffff",
        "ffffffff ffffffff",
        "408f276d 41c83b0e a20bc7c6 6d5451fd",
    ),
    (
        "243f6a88 85a308d3 13198a2e 03707344",
        "a4093822 299f31d0",
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
]
LAYERS = [
    ("Dropout", Case("drop", "", {"x": positive(2, 3, 5, 7)})),
    (
        "Pooling",
        Case(
            "pool", "pooling_param { pool: STOCHASTIC kernel_size: 2 }", {"x": positive(2, 3, 5, 7)}
        ),
    ),
]


def philox(counter, key):
    """Philox4x32-10 on whole numbers of Python."""
    a, b, c, d = counter
    for turn in range(10):
        keys = [
            (k + turn * step) & MASK for k, step in zip(key, (0x9E3779B9, 0xBB67AE85), strict=True)
        ]
        first, second = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b = (second >> 32) ^ b ^ keys[0], second & MASK
        c, d = (first >> 32) ^ d ^ keys[1], first & MASK
    return [a, b, c, d]


def words(text):
    return [int(word, 16) for word in text.split()]


@pytest.mark.parametrize(("counter", "key", "drawn"), KNOWN)
def test_philox_here_is_the_published_one(counter, key, drawn):
    assert philox(words(counter), words(key)) == words(drawn)


@pytest.mark.parametrize(
    ("index", "part", "n"),
    [(0, 0, 1), (4, 0, 5), (0x12345678, 0, 0x23456789), (4, 7, 11), (8, 49, 0x7FFFFFFE)],
)
def test_words_of_the_kernels_are_philoxs(index, part, n, backend):
    key, step = (0xA4093822, 0x299F31D0), (0x13198A2E, 0x03707344)
    memory = backend.device.allocate(36)
    stream = Address(memory.address)
    backend.device.upload(stream, np.array([*key, *step, part], np.uint32))
    text = (FOLDER / "_common.cuh").read_text() + DRAW
    backend.device.function(text, "draw", ("-DVALUE=float",))(
        1, 1, stream, stream + 20, index, n
    )  # fmt: skip
    drawn = np.zeros(4, np.uint32)
    backend.device.download(stream + 20, drawn)
    expected = []
    for value in range(part * n + index, part * n + index + 4):
        block = value // 4
        expected.append(philox([block & MASK, block >> 32, *step], key)[value % 4])
    assert drawn.tolist() == expected


@pytest.fixture
def backend():
    return make_backend("cuda-channels-last")


@pytest.mark.parametrize(("layer_type", "layer"), LAYERS)
def test_captured_work_draws_as_other_work_does(layer_type, layer, backend):
    """Every run is one step of the stream, and backward sees the step of forward."""
    found = []
    for repeats in (False, True):
        probe = Probe(layer_type, layer, backend)
        probe.forward()
        probe.backward()
        probe.layer.restore(
            {purpose: [seed, 0] for purpose, (seed, _) in probe.layer.state().items()}
        )

        def forward(probe=probe):
            probe.step.forward()

        def backward(probe=probe):
            probe.layer.backward(probe.step.top, [True], probe.step.bottom)

        captured = backend.device.counts["capture"]
        work = backend.compile([forward, backward])
        runs = []
        for _ in range(6):
            if repeats:
                work()
            else:
                forward()
                backward()
            runs.append((probe.tops["y"].data.get(), probe.bottoms["x"].diff.get()))
        assert (backend.device.counts["capture"] > captured) == repeats
        ((_, step),) = probe.layer.state().values()
        assert step == 6
        found.append(runs)
    for (y, dx), (captured_y, captured_dx) in zip(*found, strict=True):
        np.testing.assert_array_equal(captured_y, y)
        np.testing.assert_array_equal(captured_dx, dx)
    assert all((found[0][i][0] != found[0][i + 1][0]).any() for i in range(5))
