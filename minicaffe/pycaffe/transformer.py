"""Transformer: converts loaded images to a net's input and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from minicaffe.errors import ArraySizeError, DataError, NetError
from minicaffe.ops.backend import HostArray
from minicaffe.pycaffe.images import Floats, resize_image
from minicaffe.pycaffe.misuse import require_channels, require_image, require_mean


class Transformer:
    """Converts images to the inputs of a net.

    The steps run in this order, each only if it is set: resize, transpose, swap channels, scale to
    the range that the net was trained on (raw scale), subtract the mean, scale (input scale).

    Parameters
    ----------
    inputs : mapping of str to sequence of int
        Shape of each input: ``{"data": net.blobs["data"].data.shape}``.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = inputs
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, HostArray] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: npt.ArrayLike) -> Floats:
        """Return one image in the format of the net's input `in_`.

        Parameters
        ----------
        in_ : str
            Name of the input.
        data : array_like
            Rows × columns × channels; not modified.

        Returns
        -------
        ndarray of float32
            Channels × rows × columns, if a transpose is set.
        """
        self._check(in_)
        require_image(data, "preprocess(name, image)")
        values = np.array(data, np.float32)
        order = self.transpose.get(in_)
        if order is not None and len(order) == 3 != values.ndim:
            require_channels(values.shape)
        size = tuple(self.inputs[in_][2:])
        if values.shape[:2] != size:
            values = resize_image(values, size)
        if order is not None:
            values = values.transpose(order)
        if self.channel_swap.get(in_) is not None:
            values = values[np.asarray(self.channel_swap[in_])]
        if self.raw_scale.get(in_) is not None:
            values = values * np.float32(self.raw_scale[in_])
        if self.mean.get(in_) is not None:
            values = (values - self.mean[in_]).astype(np.float32, copy=False)
        if self.input_scale.get(in_) is not None:
            values = values * np.float32(self.input_scale[in_])
        return values

    def deprocess(self, in_: str, data: npt.ArrayLike) -> Floats:
        """Invert `preprocess` except the resizing; axes of size 1 are removed first."""
        self._check(in_)
        values = np.array(data, np.float32).squeeze()
        if self.input_scale.get(in_) is not None:
            values = values / np.float32(self.input_scale[in_])
        if self.mean.get(in_) is not None:
            values = (values + self.mean[in_]).astype(np.float32, copy=False)
        if self.raw_scale.get(in_) is not None:
            values = values / np.float32(self.raw_scale[in_])
        if self.channel_swap.get(in_) is not None:
            values = values[np.argsort(self.channel_swap[in_])]
        if self.transpose.get(in_) is not None:
            values = values.transpose(np.argsort(self.transpose[in_]))
        return values

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of the axes: (2, 0, 1) for channels × rows × columns."""
        self._check(in_)
        if len(order) != len(self.inputs[in_]) - 1:
            raise NetError(
                "Transpose order needs to have the same number of dimensions as the input."
            )
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of the channels: (2, 1, 0) converts RGB to BGR."""
        self._check(in_)
        if len(order) != self.inputs[in_][1]:
            raise NetError(
                "Channel swap needs to have the same number of dimensions as the input channels. "
                f'Found {tuple(order)} for the {self.inputs[in_][1]} of "{in_}"; for a greyscale '
                "net use None, on the command line --channel_swap=''"
            )
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Set the factor before mean subtraction: 255 if the net was trained on 0 .. 255."""
        self._check(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: HostArray) -> None:
        """Set the mean to subtract.

        Parameters
        ----------
        in_ : str
            Name of the input.
        mean : ndarray
            One value per channel, or a mean image (channels × rows × columns), which is resized to
            the size of the input.

        Raises
        ------
        ArraySizeError
            If the number of channels or axes differs from the input; a ValueError, as in pycaffe.
        """
        self._check(in_)
        mean = require_mean(mean)
        shape = tuple(self.inputs[in_][1:])
        image = mean[np.newaxis] if mean.ndim == 2 else mean
        if image.ndim not in (1, 3):
            raise ArraySizeError(
                f"Mean shape invalid: {mean.shape}; one value per channel, or an image"
            )
        if len(image) != shape[0]:
            raise ArraySizeError(
                f'Mean channels incompatible with input "{in_}": it has {shape[0]}, the mean '
                f"{len(image)}. Give a value for each channel of the input, or no mean "
                "(--mean_file= in commands)."
            )
        if image.ndim == 1:
            self.mean[in_] = image[:, np.newaxis, np.newaxis]
            return
        if image.shape != shape:
            image = resize_image(image.transpose(1, 2, 0), shape[1:]).transpose(2, 0, 1)
        self.mean[in_] = image

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Set the factor after mean subtraction."""
        self._check(in_)
        self.input_scale[in_] = scale

    def _check(self, in_: str) -> None:
        if in_ not in self.inputs:
            raise DataError(f"{in_} is not one of the net inputs: {self.inputs}")

    def __repr__(self) -> str:
        shapes = {name: tuple(shape) for name, shape in self.inputs.items()}
        return f"Transformer({shapes})"
