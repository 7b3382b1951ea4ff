"""Classifier: a net with the preparation of pictures that it needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minicaffe.ops.backend import HostArray
from minicaffe.pycaffe import images
from minicaffe.pycaffe.files import FilePath
from minicaffe.pycaffe.net import Net
from minicaffe.pycaffe.session import TEST
from minicaffe.pycaffe.transformer import Transformer


class PictureNet(Net):
    """A net for testing with a `Transformer` for its first input.

    Parameters
    ----------
    model_file, pretrained_file : str or Path
        The prototxt and its weights.
    mean, input_scale, raw_scale, channel_swap : optional
        What the transformer does; see `Transformer`.

    Attributes
    ----------
    transformer : Transformer
        Transposes pictures to channels × rows × columns, and what else was asked for.
    """

    def __init__(
        self,
        model_file: FilePath,
        pretrained_file: FilePath,
        mean: npt.NDArray[Any] | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        in_ = self.inputs[0]
        self.transformer = Transformer({name: self.blobs[name].shape for name in self.inputs})
        self.transformer.set_transpose(in_, (2, 0, 1))
        if mean is not None:
            self.transformer.set_mean(in_, mean)
        if input_scale is not None:
            self.transformer.set_input_scale(in_, input_scale)
        if raw_scale is not None:
            self.transformer.set_raw_scale(in_, raw_scale)
        if channel_swap is not None:
            self.transformer.set_channel_swap(in_, channel_swap)

    def predict_prepared(self, pictures: Iterable[Any]) -> HostArray:
        """Return the first output for pictures of the input's size, one row each."""
        in_ = self.inputs[0]
        prepared: HostArray = np.stack(
            [self.transformer.preprocess(in_, picture) for picture in pictures]
        )
        return self.forward_all(None, **{in_: prepared})[self.outputs[0]]


class Classifier(PictureNet):
    """Classify pictures.

    Parameters
    ----------
    model_file, pretrained_file : str or Path
        The prototxt and its weights.
    image_dims : (int, int), optional
        Rows and columns that pictures are resized to before crops of the input's size are cut out;
        by default the input's own.
    mean, input_scale, raw_scale, channel_swap : optional
        What the transformer does; see `Transformer`.
    """

    def __init__(
        self,
        model_file: FilePath,
        pretrained_file: FilePath,
        image_dims: Sequence[int] | None = None,
        mean: npt.NDArray[Any] | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        super().__init__(model_file, pretrained_file, mean, input_scale, raw_scale, channel_swap)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = self.crop_dims if not image_dims else np.array(image_dims)

    def predict(self, inputs: Sequence[Any], oversample: bool = True) -> HostArray:
        """Return the scores of pictures.

        Parameters
        ----------
        inputs : sequence of ndarray
            Rows × columns × channels, as `caffe.io.load_image` returns them.
        oversample : bool
            Whether to average over four corners, the centre, and their mirror images; otherwise the
            centre alone is looked at.

        Returns
        -------
        ndarray of float32
            Pictures × classes.
        """
        resized = np.stack([images.resize_image(picture, self.image_dims) for picture in inputs])
        if not oversample:
            top, left = (self.image_dims / 2 - self.crop_dims / 2).astype(int)
            rows, columns = self.crop_dims
            return self.predict_prepared(resized[:, top : top + rows, left : left + columns])
        crops = images.oversample(list(resized), self.crop_dims)
        scores = self.predict_prepared(crops)
        means: HostArray = scores.reshape(len(inputs), -1, *scores.shape[1:]).mean(axis=1)
        return means
