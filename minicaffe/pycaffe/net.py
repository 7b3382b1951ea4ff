"""pycaffe's Net: a facade of `minicaffe.net.Net`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from minicaffe.errors import DataError, MinicaffeError, nearest
from minicaffe.layers.host_blob import HostBlob
from minicaffe.layers.memory_data import MemoryData
from minicaffe.log import logger, suppress_repeated_warnings
from minicaffe.net import Net as CoreNet
from minicaffe.net.weights import copy_trained_layers, save_net
from minicaffe.ops.backend import HostArray, Shape
from minicaffe.pycaffe import batches
from minicaffe.pycaffe.files import FilePath, require_file
from minicaffe.pycaffe.misuse import require_names, set_values
from minicaffe.pycaffe.net_structure import NetStructure
from minicaffe.pycaffe.notebooks import display
from minicaffe.pycaffe.session import (
    current_backend,
    next_seed,
    phase_name,
    stage_names,
    warn_of_deprecated_net,
)
from minicaffe.schema import NetState, read_net

Arrays: TypeAlias = dict[str, HostArray]
Hook: TypeAlias = Callable[[int], object]


class Net(NetStructure):
    """A net that is built from a prototxt file and ready to run.

    Parameters
    ----------
    network_file : str or Path
        The prototxt.
    phase : int
        ``caffe.TRAIN`` or ``caffe.TEST``.
    level : int
        Level for include and exclude rules.
    stages : sequence of str, optional
        Stages for include and exclude rules.
    weights : str or Path, optional
        A .caffemodel or .caffemodel.h5 to copy the parameters from.

    Raises
    ------
    RuntimeError
        If a file is missing or invalid, or the net cannot be built (`minicaffe.errors`).

    Notes
    -----
    The deprecated form ``Net(network_file, weights, phase)`` works too, and its first use logs a
    warning.
    """

    def __init__(
        self,
        network_file: FilePath,
        phase: int | FilePath | None = None,
        level: int | None = None,
        stages: Sequence[str] | None = None,
        weights: FilePath | None = None,
    ) -> None:
        if isinstance(phase, str | os.PathLike):
            weights, phase, level = phase, _checked_phase(level, network_file, phase), None
            warn_of_deprecated_net(
                f"Net('{network_file}', caffe.{phase_name(phase)}, weights='{weights}')"
            )
        phase = _checked_phase(phase, network_file)
        if isinstance(level, str | os.PathLike):
            raise TypeError(f"Net(...): level is {level!r}, not a number. Write weights={level!r}")
        require_file(network_file)
        if weights is not None:
            require_file(weights)
        source = read_net(os.fspath(network_file))
        state = NetState()
        state.CopyFrom(source.param.state)
        stage = stage_names(stages)
        state.MergeFrom(NetState(phase=phase_name(phase), level=level or 0, stage=stage))
        self._attach(CoreNet(source, state, backend=current_backend(), seed=next_seed()))
        if weights is not None:
            self.copy_from(weights)

    @classmethod
    def _of(cls, core: CoreNet) -> Self:
        """Return a Net for an existing core net, such as that of a solver."""
        net = cls.__new__(cls)
        net._attach(core)
        return net

    def forward(
        self,
        blobs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **inputs: npt.ArrayLike,
    ) -> Arrays:
        """Run a forward pass.

        Parameters
        ----------
        blobs : sequence of str, optional
            Blobs to return besides the outputs.
        start, end : str, optional
            First and last layer to run, both included.
        **inputs : array_like
            Values for all inputs of the net, by name; by default the current values of the blobs.

        Returns
        -------
        dict of str to ndarray
            Live views of the outputs (or the tops of `end`) and of `blobs`; copy them to keep them.

        Raises
        ------
        NetError
            If the names are not those of the net's inputs, or the batch size differs.
        ValueError
            If the net has no layer `start` or `end`.
        """
        require_names(blobs, self.inputs)
        first = 0 if start is None else self._layer_number(start)
        last = len(self._layers) - 1 if end is None else self._layer_number(end)
        names = self.outputs if end is None else self.top_names[end]
        if inputs:
            wrong_names = "Input blob arguments do not match net inputs."
            shapes = self._shapes(self.inputs)
            batches.require_batches(inputs, shapes, wrong_names, "Input is not batch sized")
            for name, values in inputs.items():
                set_values(self._blob(name).data, values, name)
        self._forward(first, last)
        return {name: self._blob(name).data for name in dict.fromkeys([*names, *(blobs or ())])}

    def backward(
        self,
        diffs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **top_diffs: npt.ArrayLike,
    ) -> Arrays:
        """Run a backward pass.

        Parameters
        ----------
        diffs : sequence of str, optional
            Blobs whose gradients to return besides those of the inputs.
        start, end : str, optional
            First and last layer to run, both included; `start` is the later one in the net.
        **top_diffs : array_like
            Gradients for all outputs of the net, by name.

        Returns
        -------
        dict of str to ndarray
            Live views of the gradients of the inputs (or the bottoms of `end`) and of `diffs`.

        Raises
        ------
        NetError
            If the names are not those of the net's outputs, or the batch size differs.
        ValueError
            If the net has no layer `start` or `end`.
        """
        first = len(self._layers) - 1 if start is None else self._layer_number(start)
        last = 0 if end is None else self._layer_number(end)
        names = self.inputs if end is None else self.bottom_names[end]
        if top_diffs:
            wrong_names = "Top diff arguments do not match net outputs."
            shapes = self._shapes(self.outputs)
            batches.require_batches(top_diffs, shapes, wrong_names, "Diff is not batch sized")
            for name, values in top_diffs.items():
                set_values(self._blob(name).diff, values, name)
        self._backward(first, last)
        self._warn_of_missing_gradients(diffs or ())
        return {name: self._blob(name).diff for name in dict.fromkeys([*names, *(diffs or ())])}

    def forward_all(
        self, blobs: Sequence[str] | None = None, **inputs: HostArray
    ) -> dict[str, HostArray]:
        """Run forward passes over any number of samples, batch by batch.

        Returns
        -------
        dict of str to ndarray
            Copies, with as many samples as the inputs; the last batch is padded with zeros.
        """
        results = [
            batches.copies(self.forward(blobs, None, None, **batch))
            for batch in self._batch(inputs)
        ]
        return batches.joined(results, batches.n_samples(inputs))

    def forward_backward_all(
        self,
        blobs: Sequence[str] | None = None,
        diffs: Sequence[str] | None = None,
        **arrays: HostArray,
    ) -> tuple[dict[str, HostArray], dict[str, HostArray]]:
        """Run forward and backward passes over any number of samples, batch by batch.

        Parameters
        ----------
        blobs, diffs : sequence of str, optional
            Blobs to return besides the outputs and the gradients of the inputs.
        **arrays : ndarray
            Values for the inputs and gradients for the outputs, by name.
        """
        forward = self._batch({name: arrays[name] for name in self.inputs if name in arrays})
        backward = self._batch({name: arrays[name] for name in self.outputs if name in arrays})
        empty: Arrays = {}
        outputs, gradients = [], []
        for inputs, top_diffs in zip_longest(forward, backward, fillvalue=empty):
            outputs.append(batches.copies(self.forward(blobs, None, None, **inputs)))
            gradients.append(batches.copies(self.backward(diffs, None, None, **top_diffs)))
        n = batches.n_samples(arrays)
        return batches.joined(outputs, n), batches.joined(gradients, n)

    def _warn_of_missing_gradients(self, names: Sequence[str]) -> None:
        """Warn once of blobs whose gradient a program asks for and no layer computes."""
        unknown = set(names) - self._warned_of
        if not unknown:
            return
        self._warned_of |= unknown
        computed = {
            blob.name
            for step in self._net.steps
            if step.needs_backward
            for blob, is_wanted in zip(step.bottom, step.propagate_down, strict=True)
            if is_wanted
        }
        for name in sorted(unknown - computed - set(self.outputs)):
            logger.warning(
                f'diffs: no layer computes the gradient of "{name}", because nothing before it '
                "learns or no loss depends on it; the values are zeros. Write force_backward: true "
                "in the prototxt."
            )

    def _batch(self, arrays: Arrays) -> Iterable[Arrays]:
        return batches.split(arrays, self._blobs[0].shape[0])

    def _forward(self, start: int, end: int) -> float:
        self._net.forward(start, end)
        return self._net.loss(start, end)

    def _backward(self, start: int, end: int) -> None:
        self._net.backward(start, end)

    def before_forward(self, hook: Hook) -> None:
        """Call `hook` with the number of each layer before it runs forward."""
        self._net.before_forward.append(hook)

    def after_forward(self, hook: Hook) -> None:
        """Call `hook` with the number of each layer after it ran forward."""
        self._net.after_forward.append(hook)

    def before_backward(self, hook: Hook) -> None:
        """Call `hook` with the number of each layer before it runs backward."""
        self._net.before_backward.append(hook)

    def after_backward(self, hook: Hook) -> None:
        """Call `hook` with the number of each layer after it ran backward."""
        self._net.after_backward.append(hook)

    def reshape(self) -> None:
        """Propagate changed input shapes to all blobs without running the net."""
        self._net.reshape()

    def clear_param_diffs(self) -> None:
        """Set the gradients of all parameters to zero; backward passes accumulate into them."""
        self._net.clear_param_diffs()

    def set_input_arrays(self, data: HostArray, labels: HostArray) -> None:
        """Set the data of the MemoryData layer that is the net's first layer.

        Parameters
        ----------
        data : ndarray
            float32, C-contiguous, samples × channels × rows × columns; the number of samples is a
            multiple of the batch size.
        labels : ndarray
            float32, C-contiguous: shape (samples,) or samples × 1 × 1 × 1; a scalar means zeros.
        """
        layer = self._net.layers[0]
        if not isinstance(layer, MemoryData):
            raise DataError(
                "set_input_arrays may only be called if the first layer is a MemoryData layer; "
                f'here "{layer.name}" ({layer.type}) is the first'
            )
        if labels.ndim == 0:
            labels = np.zeros(data.shape[0], np.float32)
        layer.reset(data, labels)

    def copy_from(self, trained_filename: FilePath) -> None:
        """Copy parameters from a .caffemodel or .caffemodel.h5 to the layers of the same names."""
        require_file(trained_filename)
        copy_trained_layers(self._net, os.fspath(trained_filename))

    def share_with(self, other: Net) -> None:
        """Share memory with the parameters of the layers of the same names in `other`."""
        self._net.share_parameters_with(other._net)

    def to_onnx(
        self, filename: FilePath, *, opset: int = 13, batch: int | None = None, fold: bool = True
    ) -> None:
        """Write the net with its present parameters and input shapes as an ONNX file.

        It is exported as it is deployed: without layers that need labels, with inputs for data.

        Parameters
        ----------
        filename : str or Path
        opset : int
            Version of the operators, 11 to 22.
        batch : int, optional
            Number of samples, 0 for any number; by default that of the inputs.
        fold : bool
            Whether to fold BatchNorm and Scale into the convolution before them.

        Raises
        ------
        RuntimeError
            If package onnx is missing, or a layer cannot be exported; names the layer.
        """
        from minicaffe.net.deployment.inference_net import with_input_shapes
        from minicaffe.onnx_export import ExportSettings, export_net

        shapes = {blob.name: blob.shape for blob in self._net.inputs}
        source = with_input_shapes(self._net.source, shapes)
        settings = ExportSettings(opset, batch, fold)
        state = NetState()
        state.CopyFrom(self._net.param.state)
        with suppress_repeated_warnings():
            export_net(source, self._copy_parameters_to, os.fspath(filename), settings, state)

    def _copy_parameters_to(self, other: CoreNet) -> None:
        """Write the present parameters into the layers of the same names of another net."""
        layers = {layer.name: layer for layer in self._net.layers}
        for layer in other.layers:
            given = layers[layer.name].blobs if layer.blobs else []
            for blob, own in zip(layer.blobs, given, strict=True):
                values = own.data.get()
                values.flags.writeable = False  # the export then needs no copy
                blob.data.set(values)

    def save(self, filename: FilePath) -> None:
        """Write the net with its parameters as a .caffemodel (HDF5 if the name ends in .h5)."""
        save_net(self._net, os.fspath(filename))

    def save_hdf5(self, filename: FilePath, write_diff: bool = False) -> None:
        """Write the parameters, and with `write_diff` their gradients, as HDF5."""
        save_net(self._net, os.fspath(filename), diffs=write_diff, hdf5=True)

    def load_hdf5(self, filename: FilePath) -> None:
        """Copy parameters from an HDF5 file to the layers of the same names."""
        self.copy_from(filename)

    def _shapes(self, names: Iterable[str]) -> dict[str, Shape]:
        return {name: self._net.blobs[name].shape for name in names}

    def _blob(self, name: str) -> HostBlob:
        if name not in self._net.blobs:
            raise KeyError(f'no blob "{name}". {nearest(name, self._net.blobs)}')
        return HostBlob(self._net.blobs[name])

    def _layer_number(self, name: str) -> int:
        try:
            return self._net.layer_index(name)
        except MinicaffeError as error:
            raise ValueError(str(error)) from None

    def __repr__(self) -> str:
        return display.net_text(self._net, phase_name(self._net.param.state.phase))

    def _repr_html_(self) -> str:
        return display.net_html(self._net, phase_name(self._net.param.state.phase))


def _checked_phase(phase: int | None, *files: FilePath) -> int:
    """Return the phase; raise an error that says what to write if it was left out."""
    if phase is None:
        written = ", ".join(repr(os.fspath(file)) for file in files)
        raise TypeError(
            "Net(...): the phase is missing, and there is no default: a net for TRAIN applies "
            f"dropout and uses the TRAIN layers. Write caffe.Net({written}, caffe.TEST)"
        )
    return phase
