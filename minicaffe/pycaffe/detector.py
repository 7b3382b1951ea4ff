"""Detector: a net that classifies windows of images (R-CNN; Girshick et al., CVPR 2014)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from minicaffe.errors import DataError
from minicaffe.ops.backend import HostArray
from minicaffe.pycaffe.classifier import Preprocessing, PreprocessingNet
from minicaffe.pycaffe.files import FilePath
from minicaffe.pycaffe.images import Floats, load_image, resize_image


class Detection(TypedDict):
    """Scores of one window: (first row, first column, last row, last column) in pixels."""

    window: Sequence[float]
    prediction: HostArray
    filename: FilePath


class Detector(PreprocessingNet):
    """A net that classifies windows of images.

    Images are read as greyscale if the net's input has one channel.

    Parameters
    ----------
    model_file, pretrained_file : str or Path
        The prototxt and its weights.
    mean, input_scale, raw_scale, channel_swap : optional
        Steps of the transformer; see `Transformer`.
    context_pad : int, optional
        Width of the context on each side of a window, in pixels of the net's input; context
        outside the image is filled with the mean.
    """

    def __init__(
        self,
        model_file: FilePath,
        pretrained_file: FilePath,
        mean: HostArray | None = None,
        input_scale: float | None = None,
        raw_scale: float | None = None,
        channel_swap: Sequence[int] | None = None,
        context_pad: int | None = None,
    ) -> None:
        preprocessing = Preprocessing(mean, input_scale, raw_scale, channel_swap)
        super().__init__(model_file, pretrained_file, preprocessing)
        self.configure_crop(context_pad)

    def configure_crop(self, context_pad: int | None) -> None:
        """Set the width of the context and compute the values that fill it outside the image.

        Raises
        ------
        DataError
            If the context leaves no room for the window.
        """
        in_ = self.inputs[0]
        self.context_pad = int(context_pad or 0)
        channels, rows, columns = self.blobs[in_].shape[1:]
        if 2 * self.context_pad >= min(rows, columns):
            raise DataError(
                f"context_pad: {self.context_pad} on both sides leaves no room in the net's input "
                f'"{in_}", {rows} x {columns}; it can be at most {(min(rows, columns) - 1) // 2}'
            )
        self.crop_dims = np.array([rows, columns, channels])
        self.crop_mean: Floats = np.zeros((rows, columns, channels), np.float32)
        mean = self.transformer.mean.get(in_)
        if self.context_pad and mean is not None:
            # The mean in the range of the images, because the transformer subtracts it later.
            image = np.broadcast_to(mean, (channels, rows, columns))
            if self.transformer.channel_swap.get(in_) is not None:
                image = image[np.argsort(self.transformer.channel_swap[in_])]
            scale = self.transformer.raw_scale.get(in_) or 1
            self.crop_mean = (image.transpose(1, 2, 0) / scale).astype(np.float32)

    def detect_windows(
        self, images_windows: Iterable[tuple[FilePath, Iterable[Sequence[float]]]]
    ) -> list[Detection]:
        """Return the class scores of windows.

        Parameters
        ----------
        images_windows : iterable of (path, windows)
            A window is (first row, first column, last row, last column) in pixels.

        Returns
        -------
        list of dict
            ``window``, ``prediction`` (the scores) and ``filename`` for each window.
        """
        found = []
        crops = []
        for path, windows in images_windows:
            image = load_image(path, color=self.crop_dims[2] != 1)
            for window in windows:
                found.append((window, path))
                crops.append(self._resized(self.crop(image, window)))
        if not crops:
            return []
        scores = self.predict_images(crops)
        return [
            {"window": window, "prediction": score, "filename": path}
            for (window, path), score in zip(found, scores, strict=True)
        ]

    def detect_selective_search(self, image_fnames: Sequence[FilePath]) -> list[Detection]:
        """Raise an error, because selective search is a separate MATLAB program.

        Raises
        ------
        DataError
            Always.
        """
        raise DataError(
            f"detect_selective_search on {len(image_fnames)} images: selective search is a "
            "separate program (MATLAB) and not available here; find windows with another one, such "
            "as cv2.ximgproc, and call detect_windows, or minicaffe detect --crop_mode list"
        )

    def crop(self, im: Floats, window: Sequence[float]) -> Floats:
        """Return a window of an image, with its context if context_pad is set.

        Parameters
        ----------
        im : ndarray
            Rows × columns × channels.
        window : sequence of 4 numbers
            First row, first column, last row, last column.

        Returns
        -------
        ndarray
            The window in its original size; with context, resized to the net's input.

        Raises
        ------
        DataError
            If the window lies outside the image.
        """
        box = np.asarray(window, float)
        top, left, bottom, right = box.astype(int)
        if not self.context_pad:
            cut = im[top:bottom, left:right]
            if not cut.size:
                raise DataError(
                    f"window {list(window)} contains no pixel of an image of {im.shape[0]} x "
                    f"{im.shape[1]}; give first row, first column, last row, last column"
                )
            return cut
        return self._crop_with_context(im, box)

    def _crop_with_context(self, im: Floats, box: npt.NDArray[np.float64]) -> Floats:
        size = int(self.crop_dims[1])
        half = (box[2:] - box[:2] + 1) / 2
        centre = box[:2] + half
        grown = half * (size / (size - 2 * self.context_pad))
        first, last = np.round(centre - grown), np.round(centre + grown)
        scale = size / (last - first + 1)
        pad = np.round(np.maximum(0, -first) * scale).astype(int)
        limit = np.array(im.shape[:2])
        first, last = np.clip(first, 0, limit).astype(int), np.clip(last, 0, limit).astype(int)
        inner = np.round((last - first + 1) * scale).astype(int)
        inner = np.minimum(inner, size - pad)
        inside = im[first[0] : last[0], first[1] : last[1]]
        if not inside.size:
            raise DataError(
                f"window {box.tolist()} lies outside an image of {limit[0]} x {limit[1]}"
            )
        crop: Floats = np.array(self.crop_mean)
        crop[pad[0] : pad[0] + inner[0], pad[1] : pad[1] + inner[1]] = resize_image(inside, inner)
        return crop

    def _resized(self, crop: Floats) -> Floats:
        size = tuple(self.crop_dims[:2])
        return crop if crop.shape[:2] == size else resize_image(crop, size)
