"""What the service computes: arrays from arrays, by a trained net or by something else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minicaffe.data.preparation import Floats
from minicaffe.errors import MinicaffeError, OutOfMemory
from minicaffe.log import logger, suppress_info
from minicaffe.ops.backend import HostArray, Shape
from minicaffe.prediction import DeployedNet, ImageModel

Arrays = Mapping[str, HostArray]


@dataclass(frozen=True)
class TensorSpec:
    """Name and shape of an input or output.

    Parameters
    ----------
    name : str
    shape : tuple of int
        -1 for the number of samples, if that is free.
    """

    name: str
    shape: Shape


class Servable(Protocol):
    """Something that computes outputs of inputs.

    Attributes
    ----------
    platform : str
        What computes, for clients.
    inputs, outputs : sequence of TensorSpec
        All values are float32.
    batches : bool
        Whether the first axis of all inputs and outputs counts independent samples.
    image_model : ImageModel or None
        How images become inputs, and outputs answers; None: the service takes arrays only.
    labels : sequence of str
        Names of classes by number; may be empty.
    """

    platform: str
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    batches: bool
    image_model: ImageModel[Any] | None  # Any: an answer of whatever kind
    labels: Sequence[str]

    def infer(self, inputs: Arrays, wanted: Sequence[str]) -> dict[str, HostArray]:
        """Return outputs; called by one thread at a time."""

    def close(self) -> None:
        """Release memory."""


class NetServable:
    """A trained net as the service uses it.

    Parameters
    ----------
    net : DeployedNet
        Is closed with this object.
    image_model : ImageModel, optional
        The model of the net.
    max_batch : int
        Most samples that are computed at once.

    Notes
    -----
    Batches have 1, 2, 4, 8 ... samples, each size with a net of its own that keeps its plans. The
    nets share the weights, and the blobs of a net share memory. A batch of another size is computed
    in parts, or filled up with zeros where these are at most a quarter of it.
    """

    platform = "minicaffe"

    def __init__(
        self,
        net: DeployedNet,
        image_model: ImageModel[Any] | None = None,  # Any: an answer of whatever kind
        max_batch: int = 1,
    ) -> None:
        self.image_model, self._net = image_model, net
        self._kept = image_model.answer_blobs if image_model is not None else ()
        self.labels: Sequence[str] = image_model.labels if image_model is not None else ()
        self.batches = _has_independent_samples(net)
        self._nets: dict[int, DeployedNet] = {}
        self._sizes = [1 << k for k in range(max_batch.bit_length())]
        shapes = net.input_shapes
        if self.batches:
            shapes = {name: (1, *shape[1:]) for name, shape in shapes.items()}
        net.infer({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, ())
        if self.batches:
            self._prepare_sizes()
        free = (-1,) if self.batches else ()
        self.inputs: Sequence[TensorSpec] = [
            TensorSpec(name, free + shape[len(free) :]) for name, shape in shapes.items()
        ]
        self.outputs: Sequence[TensorSpec] = [
            TensorSpec(name, free + shape[len(free) :]) for name, shape in net.output_shapes.items()
        ]

    def infer(self, inputs: Arrays, wanted: Sequence[str]) -> dict[str, HostArray]:
        """Return the values of blobs for the values of the inputs."""
        if not self.batches:
            return self._net.infer(inputs, wanted)
        n = len(next(iter(inputs.values())))
        if n in self._sizes:
            return self._of_size(n).infer(inputs, wanted)
        parts: list[dict[str, HostArray]] = []
        start = 0
        for size in part_sizes(n, self._sizes[-1]):
            part = {
                name: _filled(array[start : start + size], size) for name, array in inputs.items()
            }
            found = self._of_size(size).infer(part, wanted)
            parts.append({name: array[: n - start] for name, array in found.items()})
            start += size
        return {name: np.concatenate([part[name] for part in parts]) for name in wanted}

    def close(self) -> None:
        """Close the nets."""
        for net in self._nets.values():
            net.close()
        self._net.close()

    def _prepare_sizes(self) -> None:
        """Compute a batch of each size, so that requests find the plans; drop sizes too large."""
        shapes = self._net.input_shapes
        for k, size in enumerate(self._sizes):
            zeros = {
                name: np.zeros((size, *shape[1:]), np.float32) for name, shape in shapes.items()
            }
            try:
                self._of_size(size).infer(zeros, ())
            except OutOfMemory as error:
                if not k:
                    raise
                logger.warning(f"{self._net.path}: batches have at most {size // 2}: {error}")
                self._sizes = self._sizes[:k]
                del self._nets[size]
                return

    def _of_size(self, n: int) -> DeployedNet:
        """Return the net for batches of a size; the first one that is asked for takes the given."""
        if n not in self._nets:
            found = self._nets[n] = self._net.twin() if self._nets else self._net
            found.net.optimize_memory([found.net.blobs[name] for name in self._kept])
        return self._nets[n]


def part_sizes(n: int, largest: int) -> list[int]:
    """Return powers of two, up to `largest`, whose sum is `n` or at most a third more."""
    sizes = []
    while n > 0:
        size = min(1 << (n - 1).bit_length(), largest)
        if 4 * n < 3 * size:
            size //= 2
        sizes.append(size)
        n -= size
    return sizes


def _filled(array: HostArray, n: int) -> HostArray:
    """Return an array with zeros after its rows, up to `n` of them."""
    if len(array) == n:
        return array
    filled = np.zeros((n, *array.shape[1:]), array.dtype)
    filled[: len(array)] = array
    return filled


def _has_independent_samples(net: DeployedNet) -> bool:
    """Return whether two samples together give what each gives alone.

    This is tried with random values, because shapes do not say it: the first axis of a recurrent
    net counts steps.
    """
    one, two = _random_inputs(net, 0), _random_inputs(net, 1)
    try:
        with suppress_info():
            alone = [_trial(net, one), _trial(net, two)]
            both = {name: np.concatenate([one[name], two[name]]) for name in one}
            together = _trial(net, both)
    except MinicaffeError as error:
        logger.info(f"{net.path}: computes one request at a time: {error}")
        return False
    for name, found in together.items():
        expected = [values[name] for values in alone]
        if any(values.ndim < 1 or len(values) != 1 for values in expected):
            return False
        if found.shape != (2, *expected[0].shape[1:]):
            return False
        scale = float(np.abs(found, where=np.isfinite(found), out=np.zeros_like(found)).max())
        if not np.allclose(
            found, np.concatenate(expected), rtol=1e-3, atol=1e-3 * scale, equal_nan=True
        ):
            logger.info(
                f'{net.path}: computes one request at a time: output "{name}" depends on '
                "other samples"
            )
            return False
    return True


def _trial(net: DeployedNet, inputs: Mapping[str, Floats]) -> dict[str, HostArray]:
    return net.infer(inputs, list(net.output_shapes))


def _random_inputs(net: DeployedNet, seed: int) -> dict[str, Floats]:
    """Return one sample: values between 0 and 1."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.random((1, *shape[1:]), np.float32) for name, shape in net.input_shapes.items()
    }
