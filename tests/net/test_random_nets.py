"""Random nets against the reference backend in float64; random_nets.py runs more of them."""

from __future__ import annotations

import functools

import pytest
from random_nets import check

from minicaffe.errors import BackendUnavailable
from probe import EMULATED, make_backend

N_NETS = 150
# The emulated GPU is slower, and draws other random numbers.
N_EMULATED = 40
CASES = [
    *((name, seed) for name in ("onednn", "reference") for seed in range(N_NETS)),
    *((name, seed) for name in EMULATED for seed in range(N_EMULATED)),
]


@functools.cache
def backend_named(name):
    return make_backend(name)


@pytest.mark.parametrize(("name", "seed"), CASES)
def test_a_random_net_gives_the_results_of_the_reference(name, seed):
    try:
        backend = backend_named(name)
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
    assert check(seed, lambda: backend, allows_random=name not in EMULATED) == "ok"
