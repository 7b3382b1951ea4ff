"""All layers with CUDA kernels are captured, and replays give the same results."""

from __future__ import annotations

import numpy as np
import pytest

from cases import CASES
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.errors import BackendUnavailable, NetError
from probe import EmulatedBackend, Probe

# Types that are not captured, and why.
EXCEPT = {
    "Filter": "the shapes of its tops depend on values",
    **dict.fromkeys(
        ("PriorBox", "MultiBoxLoss", "DetectionOutput", "DetectionEvaluate"),
        "the host computes it",
    ),
}
EVERY = [
    pytest.param(layer_type, case, id=f"{layer_type}-{case.name.replace(' ', '_')}")
    for layer_type, cases in sorted(CASES.items())
    for case in cases
    # The reference kernels compute what has no values.
    if layer_type not in EXCEPT and not any(0 in shape for shape in case.shapes.values())
]
RUNS = 5


class Repeated(Probe):
    """A layer whose passes are work that is repeated."""

    def __init__(self, layer_type, case, backend) -> None:
        super().__init__(layer_type, case, backend)
        self.calls = 0
        tasks = (
            [self._forward, self._backward]
            if self.gradients or self.layer.blobs
            else [self._forward]
        )
        self._work = backend.compile(tasks)

    def _forward(self) -> None:
        self.calls += 1
        self.layer.forward(self.step.bottom, self.step.top)

    def _backward(self) -> None:
        down = [name in self.gradients for name in self.bottoms]
        self.layer.backward(self.step.top, down, self.step.bottom)

    def run(self, sign: int):
        """Run with other values; return tops and gradients, those of parameters added up."""
        for name, values in self.inputs().items():
            fixed = name not in self.gradients
            self.bottoms[name].data.set(values if fixed else sign * values)
        for name, values in self.top_diffs().items():
            self.tops[name].diff.set(values)
        self._work()
        found = {f"top {name}": blob.data.get() for name, blob in self.tops.items()}
        found |= {name: self.bottoms[name].diff.get() for name in self.gradients}
        return found | self.param_diffs()


def make(captures: bool) -> EmulatedBackend:
    """Return a strict backend on an emulated GPU; in float16, where gradients have a scale."""
    try:
        backend = EmulatedBackend(Format(True, "float16"))
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
    backend.strict, backend.captures = True, captures
    return backend


@pytest.mark.parametrize(("layer_type", "case"), EVERY)
def test_layer_is_captured(layer_type, case):
    try:
        captured, plain = (Repeated(layer_type, case, make(r)) for r in (True, False))
    except NetError as error:
        if "strict-backend" not in str(error):
            raise
        pytest.skip("an op of a fork: the reference kernel computes it through CuPy")
    for i in range(RUNS):
        sign = 1 - i % 2 * 2
        got, want = captured.run(sign), plain.run(sign)
        for name, values in want.items():
            np.testing.assert_array_equal(got[name], values, err_msg=f"{name}, run {i}")
    assert plain.calls == RUNS
    # Twice run, once captured; after that Python is not asked.
    assert captured.calls == 3


@pytest.mark.parametrize("layer_type", sorted(EXCEPT))
def test_what_is_not_captured_is_the_references_on_purpose(layer_type):
    """A strict backend plans it, and its passes are called in every run."""
    layer = Repeated(layer_type, CASES[layer_type][0], make(True))
    for _ in range(RUNS):
        layer.run(1)
    assert layer.calls == RUNS
