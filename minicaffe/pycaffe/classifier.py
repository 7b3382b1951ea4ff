"""Classifier: a net that preprocesses images and returns class scores."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from minicaffe.ops.backend import HostArray
from minicaffe.pycaffe import images
from minicaffe.pycaffe.files import FilePath
from minicaffe.pycaffe.misuse import require_images
from minicaffe.pycaffe.net import Net
from minicaffe.pycaffe.session import TEST
from minicaffe.pycaffe.transformer import Transformer


@dataclass(frozen=True)
class Preprocessing:
    """The steps of a `Transformer` that a net's images need; see the setters of `Transformer`."""

    mean: HostArray | None = None
    input_scale: float | None = None
    raw_scale: float | None = None
    channel_swap: Sequence[int] | None = None

    def transformer(self, net: Net) -> Transformer:
        """Return a Transformer for the first input of a net, which also transposes images."""
        in_ = net.inputs[0]
        transformer = Transformer({name: net.blobs[name].shape for name in net.inputs})
        transformer.set_transpose(in_, (2, 0, 1))
        if self.mean is not None:
            transformer.set_mean(in_, self.mean)
        if self.input_scale is not None:
            transformer.set_input_scale(in_, self.input_scale)
        if self.raw_scale is not None:
            transformer.set_raw_scale(in_, self.raw_scale)
        if self.channel_swap is not None:
            transformer.set_channel_swap(in_, self.channel_swap)
        return transformer


class PreprocessingNet(Net):
    """A net in the TEST phase with a `Transformer` for its first input.

    Parameters
    ----------
    model_file, pretrained_file : str or Path
        The prototxt and its weights.
    preprocessing : Preprocessing
        The steps of the transformer.

    Attributes
    ----------
    transformer : Transformer
        Converts images, rows × columns × channels, to the net's input.
    """

    def __init__(
        self, model_file: FilePath, pretrained_file: FilePath, preprocessing: Preprocessing
    ) -> None:
        super().__init__(model_file, TEST, weights=pretrained_file)
        self.transformer = preprocessing.transformer(self)

    def predict_images(self, images: Iterable[npt.ArrayLike]) -> HostArray:
        """Return the first output for images of the input's size, one row per image."""
        in_ = self.inputs[0]
        batch: HostArray = np.stack([self.transformer.preprocess(in_, image) for image in images])
        return self.forward_all(None, **{in_: batch})[self.outputs[0]]


class Classifier(PreprocessingNet):
    """A net that classifies images.

    Parameters
    ----------
    model_file, pretrained_file : str or Path
        The prototxt and its weights.
    image_dims : (int, int), optional
        Rows and columns to which images are resized before crops of the input's size are taken; by
        default those of the input.
    mean, input_scale, raw_scale, channel_swap : optional
        Steps of the transformer; see `Transformer`.
    """

    def __init__(
        self,
        model_file: FilePath,
        pretrained_file: FilePath,
        image_dims: Sequence[int] | None = None,
        mean: HostArray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
    ) -> None:
        preprocessing = Preprocessing(mean, input_scale, raw_scale, channel_swap)
        super().__init__(model_file, pretrained_file, preprocessing)
        self.crop_dims = np.array(self.blobs[self.inputs[0]].shape[2:])
        self.image_dims = self.crop_dims if not image_dims else np.array(image_dims)

    def predict(self, inputs: Sequence[npt.ArrayLike], oversample: bool = True) -> HostArray:
        """Return the class scores of images.

        Parameters
        ----------
        inputs : sequence of ndarray
            Rows × columns × channels, as `caffe.io.load_image` returns them.
        oversample : bool
            Whether to average over ten crops: four corners, the centre, and their mirror images;
            otherwise only the centre crop is used.

        Returns
        -------
        ndarray of float32
            Images × classes.
        """
        inputs = require_images(inputs, "predict([image])")
        resized = np.stack([images.resize_image(image, self.image_dims) for image in inputs])
        if not oversample:
            top, left = (self.image_dims / 2 - self.crop_dims / 2).astype(int)
            rows, columns = self.crop_dims
            return self.predict_images(resized[:, top : top + rows, left : left + columns])
        crops = images.oversample(list(resized), self.crop_dims)
        scores = self.predict_images(crops)
        means: HostArray = scores.reshape(len(inputs), -1, *scores.shape[1:]).mean(axis=1)
        return means
