"""Probe: runs one layer inside a minimal net."""

from __future__ import annotations

import functools
import zlib
from pathlib import Path

import numpy as np
import pytest

from cases.case import Case, Shape, Values
from emulator import EmulatedDevice, reason_to_skip
from minicaffe.backends import count_gpus, get_backend
from minicaffe.backends.cuda import CudaBackend
from minicaffe.backends.cuda.runtime.format import Format
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.backends.reference import ReferenceBackend
from minicaffe.errors import BackendUnavailable
from minicaffe.net import Net
from minicaffe.ops.backend import Backend
from minicaffe.schema import parse_net

REFERENCE = "reference-float64"
# The cuda backend on an emulated GPU, and the format of the values that a test sets. With the
# channels last there are plans for convolutions, as cuDNN has them.
EMULATED = {
    "cuda-channels-first": Format(channels_last=False),
    "cuda-channels-last": Format(channels_last=True),
}
# The cache of compiled kernels, shared with the fixture `emulated_device`.
KERNELS = Path(__file__).parents[1] / ".pytest_cache" / "d" / "emulated_kernels"
PRECISIONS = {"float": "fp32", "bfloat16": "bf16", "float16": "fp16"}


def _gpu_names():
    """Return the name of the cuda backend as a parameter of tests, where there is a card."""
    try:
        count_gpus()
    except BackendUnavailable:
        return ()
    return (pytest.param("cuda", marks=pytest.mark.gpu),)


GPU_NAMES = _gpu_names()
BACKEND_NAMES = (REFERENCE, "onednn", "reference", *EMULATED, *GPU_NAMES)

Arrays = dict[str, np.ndarray]

# What layers store beside the positions of random streams.
OTHER_STATES = ("states", "iteration")


class EmulatedTensor(CudaTensor):
    """Has what a test sets in the backend's format, as if another layer had written it."""

    form = Format()

    def set(self, values) -> None:
        super().set(values)
        if len(self.shape) > 1:
            self.change(self.form)


class EmulatedBackend(CudaBackend):
    """The cuda backend on an emulated GPU.

    Parameters
    ----------
    form : Format
        What convolutions write, and in what kernels find images and vectors.
    """

    def __init__(self, form: Format) -> None:
        if reason := reason_to_skip():
            raise BackendUnavailable(reason)
        precision = PRECISIONS[form.value]
        device = EmulatedDevice(KERNELS, has_dnn=form.channels_last)
        super().__init__(device, precision, channels_last=form.channels_last)

    def tensor(self, shape: Shape) -> CudaTensor:
        tensor = EmulatedTensor(self.session, shape)
        tensor.form = self.format
        return tensor


def make_backend(name: str) -> Backend:
    """Return a backend of the generic suite; raises BackendUnavailable if it cannot run here."""
    if name in EMULATED:
        return EmulatedBackend(EMULATED[name])
    if name == "cuda":
        return _on_card()
    return ReferenceBackend(np.float64) if name == REFERENCE else get_backend(name)


def backend_or_skip(name: str) -> Backend:
    """Return a backend of the generic suite; skip the test if it cannot run here."""
    try:
        return make_backend(name)
    except BackendUnavailable as reason:
        pytest.skip(str(reason))


@functools.cache
def _on_card() -> Backend:
    """Return the backend on the first GPU: one for all tests, as opening it takes its time."""
    return get_backend("cuda", precision="fp32")


def net_from_text(text: str, phase: str = "TRAIN", **options) -> Net:
    """Build a net from prototxt text; its messages name the file net.prototxt."""
    return Net(parse_net(text, "net.prototxt"), phase, **{"seed": 1, **options})


class Probe:
    """Fills, runs and reads one layer; everything random depends on the case's name alone."""

    def __init__(
        self,
        layer_type: str,
        case: Case,
        backend: Backend,
        shapes: dict[str, Shape] | None = None,
        in_place: bool = False,
    ) -> None:
        self.case, self.key = case, f"{layer_type}/{case.name}"
        shapes = shapes or case.shapes
        tops = (next(iter(case.bottoms)), *case.tops[1:]) if in_place else case.tops
        inputs = "".join(
            f'layer {{ name: "in_{name}" type: "Input" top: "{name}" input_param {{ shape {{ '
            + " ".join(f"dim: {size}" for size in shape)
            + " } } }\n"
            for name, shape in shapes.items()
        )
        blobs = [f'bottom: "{name}"' for name in case.bottoms] + [f'top: "{name}"' for name in tops]
        text = (
            f"force_backward: true\n{inputs}"
            f'layer {{ name: "probe" type: "{layer_type}" {" ".join(blobs)} {case.settings} }}\n'
        )
        self.net = net_from_text(text, case.phase, backend=backend)
        self.step = self.net.steps[self.net.layer_index("probe")]
        self.layer = self.step.layer
        self.bottoms = dict(zip(case.bottoms, self.step.bottom, strict=True))
        self.tops = dict(zip(case.tops, self.step.top, strict=False))
        self.gradients = [
            name
            for k, name in enumerate(case.bottoms)
            if (k not in self.layer.without_gradient)
            and (case.gradients is None or name in case.gradients)
        ]
        self.fill_parameters()

    def rng(self, purpose: str) -> np.random.Generator:
        return np.random.default_rng(zlib.crc32(f"{self.key}/{purpose}".encode()))

    def fill_parameters(self) -> None:
        for i, blob in enumerate(self.layer.blobs):
            rule: Values | None = self.case.params[i] if i < len(self.case.params) else None
            rng = self.rng(f"param {i}")
            values = rule.draw(rng, blob.shape) if rule else rng.standard_normal(blob.shape)
            blob.data.set(values)

    def inputs(self) -> Arrays:
        """Return the values for the bottoms in their present shapes."""
        return {
            name: np.asarray(values.draw(self.rng(name), self.bottoms[name].shape))
            for name, values in self.case.bottoms.items()
        }

    def parameters(self) -> list[np.ndarray]:
        return [blob.data.get() for blob in self.layer.blobs]

    def forward(self, inputs: Arrays | None = None) -> Arrays:
        """Run forward on NaN-filled tops, random streams at their start; return the tops."""
        for blob in self.tops.values():
            blob.data.set(np.nan)
        # Tops may share memory with bottoms, so these are written last.
        for name, values in (inputs or self.inputs()).items():
            self.bottoms[name].data.set(values)
        streams = {k: v for k, v in self.layer.state().items() if k not in OTHER_STATES}
        if streams:
            self.layer.restore({purpose: [seed, 0] for purpose, (seed, _) in streams.items()})
        self.step.forward()
        return {name: blob.data.get() for name, blob in self.tops.items()}

    def top_diffs(self) -> Arrays:
        """Return the random functional of the tops whose gradient `backward` computes."""
        silent = self.case.tops_without_gradient
        return {
            name: self.rng(f"diff {name}").standard_normal(blob.shape) * (name not in silent)
            for name, blob in self.tops.items()
        }

    def clear_param_diffs(self) -> None:
        for blob in self.layer.blobs:
            blob.diff.set(0)

    def backward(self, without: str = "", fill: float = np.nan) -> Arrays:
        """Run backward on bottom diffs filled with `fill`; return gradients by name.

        The gradient of parameter i is called ``param i``; `without` names a bottom not to
        propagate to.
        """
        for blob in self.bottoms.values():
            blob.diff.set(fill)
        for name, values in self.top_diffs().items():
            self.tops[name].diff.set(values)
        down = [name in self.gradients and name != without for name in self.bottoms]
        self.layer.backward(self.step.top, down, self.step.bottom)
        found = {name: self.bottoms[name].diff.get() for name in self.gradients}
        return found | self.param_diffs()

    def param_diffs(self) -> Arrays:
        skipped = self.case.params_without_gradient
        blobs = {i: blob for i, blob in enumerate(self.layer.blobs) if i not in skipped}
        return {f"param {i}": blob.diff.get() for i, blob in blobs.items()}

    def functional(self, inputs: Arrays) -> float:
        """Return the random functional of the tops for these inputs."""
        tops = self.forward(inputs)
        diffs = self.top_diffs()
        return sum(float((tops[name] * diffs[name]).sum()) for name in tops if diffs[name].any())

    def run(self) -> Arrays:
        """Run forward and backward; return tops as ``top NAME`` and gradients by name."""
        tops = {f"top {name}": values for name, values in self.forward().items()}
        self.clear_param_diffs()
        return tops | self.backward()

    def reshape(self, shapes: dict[str, Shape]) -> None:
        """Change the shapes of the bottoms; the layer notices at the next forward pass."""
        for name, shape in shapes.items():
            self.bottoms[name].reshape(shape)
