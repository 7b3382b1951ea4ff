"""Net as pycaffe has it."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from minicaffe.blob import Blob as CoreBlob
from minicaffe.errors import DataError, MinicaffeError, nearest
from minicaffe.layers.host_blob import BlobVec, HostBlob, host_blobs
from minicaffe.layers.memory_data import MemoryData
from minicaffe.layers.python_layer import Python
from minicaffe.log import logger
from minicaffe.net import Net as CoreNet
from minicaffe.net.weights import copy_trained_layers, save_net
from minicaffe.ops.backend import HostArray
from minicaffe.pycaffe import batches, display
from minicaffe.pycaffe.files import FilePath, require_file
from minicaffe.pycaffe.layer import BuiltinLayer, Layer
from minicaffe.pycaffe.session import current_backend, next_seed, phase_name, stage_names
from minicaffe.schema import NetState, read_net

Arrays: TypeAlias = dict[str, HostArray]
Hook: TypeAlias = Callable[[int], object]


class Net:
    """A net, ready to run.

    Parameters
    ----------
    network_file : str or Path
        The prototxt.
    phase : int
        ``caffe.TRAIN`` or ``caffe.TEST``.
    level : int
        Level that include and exclude rules may ask for.
    stages : sequence of str, optional
        Stages that they may ask for.
    weights : str or Path, optional
        A .caffemodel or .caffemodel.h5 to take the parameters from.

    Raises
    ------
    RuntimeError
        If a file is missing or wrong, or the net cannot be built (`minicaffe.errors`).

    Notes
    -----
    ``Net(network_file, weights, phase)``, the older form, works too and logs a warning.
    """

    def __init__(
        self,
        network_file: FilePath,
        phase: int | FilePath,
        level: int = 0,
        stages: Sequence[str] | None = None,
        weights: FilePath | None = None,
    ) -> None:
        if isinstance(phase, str | os.PathLike):
            weights, phase, level = phase, level, 0
            logger.warning(
                f"Net(network_file, weights, phase) is the deprecated form; write "
                f"Net('{network_file}', {phase}, weights='{weights}')"
            )
        require_file(network_file)
        if weights is not None:
            require_file(weights)
        source = read_net(os.fspath(network_file))
        state = NetState()
        state.CopyFrom(source.param.state)
        state.MergeFrom(NetState(phase=phase_name(phase), level=level, stage=stage_names(stages)))
        self._attach(CoreNet(source, state, backend=current_backend(), seed=next_seed()))
        if weights is not None:
            self.copy_from(weights)

    @classmethod
    def _of(cls, core: CoreNet) -> Self:
        """Return a Net for one that exists already, as a solver's."""
        net = cls.__new__(cls)
        net._attach(core)
        return net

    def _attach(self, core: CoreNet) -> None:
        self._net = core
        # Tops in the order of the layers: the order in which Caffe numbers blobs.
        by_id = {id(blob): blob for step in core.steps for blob in step.top}
        self._core_blobs: list[CoreBlob] = list(by_id.values())
        self._ids = {key: number for number, key in enumerate(by_id)}
        self._blobs = host_blobs(self._core_blobs)
        self._layers: list[Layer | BuiltinLayer] = [
            step.layer.user if isinstance(step.layer, Python) else BuiltinLayer(step)
            for step in core.steps
        ]

    # What the net consists of.

    @cached_property
    def blobs(self) -> OrderedDict[str, HostBlob]:
        """The blobs between the layers, by name, in the order in which they are made."""
        return OrderedDict(zip(self._blob_names, self._blobs, strict=True))

    @cached_property
    def params(self) -> OrderedDict[str, BlobVec]:
        """The parameters of each layer that has some: ``params["conv1"][0].data`` are weights."""
        layers = zip(self._net.layers, self._layers, strict=True)
        return OrderedDict((core.name, layer.blobs) for core, layer in layers if core.blobs)

    @property
    def layers(self) -> list[Layer | BuiltinLayer]:
        """The layers in the order in which they run; for a Python layer, the user's own object."""
        return self._layers

    @cached_property
    def layer_dict(self) -> OrderedDict[str, Layer | BuiltinLayer]:
        """The layers by name."""
        return OrderedDict(zip(self._layer_names, self._layers, strict=True))

    @cached_property
    def inputs(self) -> list[str]:
        """Names of the blobs that the program fills."""
        return [blob.name for blob in self._net.inputs]

    @cached_property
    def outputs(self) -> list[str]:
        """Names of the blobs that no layer reads, sorted."""
        return [blob.name for blob in self._net.outputs]

    @cached_property
    def top_names(self) -> OrderedDict[str, list[str]]:
        """Names of the blobs that each layer makes."""
        return OrderedDict(
            (step.layer.name, [blob.name for blob in step.top]) for step in self._net.steps
        )

    @cached_property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        """Names of the blobs that each layer reads."""
        return OrderedDict(
            (step.layer.name, [blob.name for blob in step.bottom]) for step in self._net.steps
        )

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        """What each blob counts in the loss; 0 for most."""
        weights = dict.fromkeys(self._blob_names, 0.0)
        for step in self._net.steps:
            for blob, weight in zip(step.top, step.loss_weights, strict=True):
                weights[blob.name] = weight or weights[blob.name]
        return OrderedDict(weights)

    @property
    def _blob_loss_weights(self) -> list[float]:
        return list(self.blob_loss_weights.values())

    @property
    def _layer_names(self) -> list[str]:
        return [layer.name for layer in self._net.layers]

    @property
    def _blob_names(self) -> list[str]:
        return [blob.name for blob in self._core_blobs]

    @property
    def _inputs(self) -> list[int]:
        return self._numbers(self._net.inputs)

    @property
    def _outputs(self) -> list[int]:
        return self._numbers(self._net.outputs)

    def _top_ids(self, layer: int) -> list[int]:
        return self._numbers(self._net.steps[layer].top)

    def _bottom_ids(self, layer: int) -> list[int]:
        return self._numbers(self._net.steps[layer].bottom)

    def _numbers(self, blobs: Iterable[CoreBlob]) -> list[int]:
        return [self._ids[id(blob)] for blob in blobs]

    # Running.

    def forward(
        self,
        blobs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **inputs: npt.ArrayLike,
    ) -> Arrays:
        """Run the net forward.

        Parameters
        ----------
        blobs : sequence of str, optional
            Blobs to return besides the outputs.
        start, end : str, optional
            First and last layer to run, both included.
        **inputs : array_like
            Values for all inputs of the net, by name; without any, what the blobs hold is used.

        Returns
        -------
        dict of str to ndarray
            Live views of the outputs (or the tops of `end`) and of `blobs`; copy them to keep them.

        Raises
        ------
        NetError
            If the inputs given are not the net's, or not of its batch size.
        ValueError
            If there is no layer `start` or `end`.
        """
        first = 0 if start is None else self._layer_number(start)
        last = len(self._layers) - 1 if end is None else self._layer_number(end)
        names = self.outputs if end is None else self.top_names[end]
        if inputs:
            wrong_names = "Input blob arguments do not match net inputs."
            batches.require_names(inputs, self.inputs, wrong_names)
            for name, values in inputs.items():
                blob = self._blob(name)
                batches.require_batch(name, values, blob.shape, "Input is not batch sized")
                blob.data[...] = values
        self._forward(first, last)
        return {name: self._blob(name).data for name in dict.fromkeys([*names, *(blobs or ())])}

    def backward(
        self,
        diffs: Sequence[str] | None = None,
        start: str | None = None,
        end: str | None = None,
        **top_diffs: npt.ArrayLike,
    ) -> Arrays:
        """Run the net backward.

        Parameters
        ----------
        diffs : sequence of str, optional
            Blobs whose gradients are returned besides those of the inputs.
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
            If the gradients given are not those of the outputs, or not of the net's batch size.
        ValueError
            If there is no layer `start` or `end`.
        """
        first = len(self._layers) - 1 if start is None else self._layer_number(start)
        last = 0 if end is None else self._layer_number(end)
        names = self.inputs if end is None else self.bottom_names[end]
        if top_diffs:
            wrong_names = "Top diff arguments do not match net outputs."
            batches.require_names(top_diffs, self.outputs, wrong_names)
            for name, values in top_diffs.items():
                blob = self._blob(name)
                batches.require_batch(name, values, blob.shape, "Diff is not batch sized")
                blob.diff[...] = values
        self._backward(first, last)
        return {name: self._blob(name).diff for name in dict.fromkeys([*names, *(diffs or ())])}

    def forward_all(
        self, blobs: Sequence[str] | None = None, **inputs: HostArray
    ) -> dict[str, HostArray]:
        """Run the net forward on any number of samples, batch by batch.

        Returns
        -------
        dict of str to ndarray
            Copies, with as many samples as the inputs; the last batch is filled up with zeros.
        """
        return batches.forward_all(self, blobs, inputs)

    def forward_backward_all(
        self,
        blobs: Sequence[str] | None = None,
        diffs: Sequence[str] | None = None,
        **arrays: HostArray,
    ) -> tuple[dict[str, HostArray], dict[str, HostArray]]:
        """Run the net forward and backward on any number of samples, batch by batch.

        Parameters
        ----------
        blobs, diffs : sequence of str, optional
            What to return besides the outputs and the gradients of the inputs.
        **arrays : ndarray
            Values for the inputs and gradients for the outputs, by name.
        """
        return batches.forward_backward_all(self, blobs, diffs, arrays)

    def _batch(self, arrays: Arrays) -> Iterable[dict[str, Any]]:
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
        """Carry changed input shapes through to the outputs, without running the net."""
        self._net.reshape()

    def clear_param_diffs(self) -> None:
        """Set the gradients of all parameters to zero; backward passes add to them."""
        self._net.clear_param_diffs()

    def set_input_arrays(self, data: HostArray, labels: HostArray) -> None:
        """Give the MemoryData layer that the net begins with its data.

        Parameters
        ----------
        data : ndarray
            float32, C-contiguous, samples × channels × rows × columns; the number of samples is a
            multiple of the batch size.
        labels : ndarray
            float32, C-contiguous: one a sample, or samples × 1 × 1 × 1, or without axes for zeros.
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

    # Parameters: from and to files and other nets.

    def copy_from(self, trained_filename: FilePath) -> None:
        """Copy the parameters of all layers that a .caffemodel(.h5) has by the same name."""
        require_file(trained_filename)
        copy_trained_layers(self._net, os.fspath(trained_filename))

    def share_with(self, other: Net) -> None:
        """Use the parameters of `other`'s layers of the same names, as one memory."""
        self._net.share_parameters_with(other._net)

    def save(self, filename: FilePath) -> None:
        """Write the net with its parameters as a .caffemodel (HDF5 if the name ends in .h5)."""
        save_net(self._net, os.fspath(filename))

    def save_hdf5(self, filename: FilePath, write_diff: bool = False) -> None:
        """Write the parameters, and with `write_diff` their gradients, as HDF5."""
        save_net(self._net, os.fspath(filename), diffs=write_diff, hdf5=True)

    def load_hdf5(self, filename: FilePath) -> None:
        """Copy the parameters of all layers that an HDF5 file has by the same name."""
        self.copy_from(filename)

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
        return display.net_text(self, phase_name(self._net.param.state.phase))

    def _repr_html_(self) -> str:
        return display.net_html(self, phase_name(self._net.param.state.phase))
