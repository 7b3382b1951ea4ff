"""What the layers that hand out batches of pictures have in common."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minicaffe.blob import Blob
from minicaffe.data.batches import Batch, BatchSource
from minicaffe.data.prefetch import Prefetcher
from minicaffe.data.transformer import Transformer
from minicaffe.errors import DataError, Unsupported
from minicaffe.layers.base import Blobs, Layer, LayerContext, P, State
from minicaffe.log import logger
from minicaffe.ops.backend import Shape
from minicaffe.ops.transform import Transform, TransformKernel
from minicaffe.random import RandomStream
from minicaffe.schema import TEST, TRAIN, LayerParameter

_COLOUR_CHANNELS = 3  # assumed if the source cannot be read


def cropped_batch_shape(param: LayerParameter, field: str, image: Shape) -> Shape:
    """Return (batch_size, channels, rows, columns) of a data layer; () if no size is known.

    Parameters
    ----------
    param : LayerParameter
    field : str
        Of LayerParameter, whose message has batch_size.
    image : tuple of int
        Channels, rows and columns, unless transform_param crops; () for colour images.
    """
    channels, rows, columns = image or (_COLOUR_CHANNELS, 0, 0)
    crop = param.transform_param.crop_size
    rows, columns = crop or rows, crop or columns
    return (getattr(param, field).batch_size, channels, rows, columns) if rows and columns else ()


class BatchLayer(Layer[P]):
    """Base of the layers that hand out prefetched batches: a subclass says where they come from.

    A backend whose device can transform pictures gets them as bytes, and does it in `forward`;
    otherwise the thread that prefetches has done it.
    """

    role = "data"
    bottoms = 0
    tops = (1, 2)
    releases_lock = True

    def __init__(self, param: LayerParameter, context: LayerContext) -> None:
        super().__init__(param, context)
        self.random = RandomStream(context.seed, f"{self.name}/data")
        self._batch: Batch | None = None
        self._transform: TransformKernel | None = None
        try:
            # In Caffe, too, every layer that reads ahead finds the depth in data_param.
            self.source = Prefetcher(self.open(), int(param.data_param.prefetch))
        except DataError as error:
            raise DataError(f"{self.where}: {error}") from error

    def open(self) -> BatchSource:
        """Return the source of batches."""
        raise NotImplementedError

    def transformer(self) -> Transformer:
        """Return what transform_param asks for, in this layer's phase."""
        return Transformer(self.param.transform_param, TRAIN if self.is_training else TEST)

    @classmethod
    def batch_shape(cls, param: LayerParameter, image: Shape) -> Shape:
        """Return batch_size images of the size that transform_param crops to."""
        return cropped_batch_shape(param, cls.param_field, image)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Give the tops the shape of the first batch."""
        shape = self.source.shape
        top[0].reshape(shape)
        logger.info(f"output data size: {','.join(map(str, shape))}")
        if len(top) > 1:
            top[1].reshape(shape[:1])
        self._leave_to_device(top[0])

    def _leave_to_device(self, top: Blob) -> None:
        """Have the backend's device transform the pictures, if it can."""
        assembler = self.source.assembler
        if assembler is None:
            return
        mean = assembler.transformer.mean(top.shape[1])
        self._mean = self.context.backend.tensor(mean.shape)
        # One more than the prefetched batches: forward reads it.
        op = Transform(float(assembler.transformer.scale), self.source.depth + 1)
        try:
            self._transform = self.plan(op, self._mean, top.data)
        except Unsupported:  # the host transforms, ahead of time
            return
        self._mean.set(mean)
        assembler.stage = self._transform.stage

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Keep the shapes: batches set them."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Hand out the next batch."""
        try:
            self._batch = batch = self.source.next()
        except DataError as error:
            raise DataError(f"{self.where}: {error}") from error
        for blob, values in zip(top, (batch.data, batch.label), strict=False):
            blob.reshape(values.shape)
        labels = top[1].data if len(top) > 1 else None
        if isinstance(batch.data, np.ndarray):
            top[0].data.set(batch.data)
            if labels is not None:
                labels.set(batch.label)
        elif self._transform is not None:
            self._transform.forward(batch.data, self._mean, top[0].data, labels)

    def state(self) -> State:
        """Return the position after the last batch handed out, and the seed of its randomness."""
        return {"seed": self.random.seed, "position": self.source.position()}

    def restore(self, state: State) -> None:
        """Go on from a position."""
        self.random.seed = state["seed"]
        self.source.restore(state["position"])

    def key_name(self, key: bytes) -> str:
        """Say which sample a key of `Batch.keys` is."""
        raise NotImplementedError

    def sample_names(self) -> Callable[[int], str]:
        """Return what names the samples of the current batch by their keys."""
        keys = (self._batch.keys if self._batch is not None else None) or []
        return lambda item: self.key_name(keys[item]) if item < len(keys) else ""

    @property
    def data_wait_s(self) -> float:
        """How long forward has waited for batches so far, seconds."""
        return self.source.data_wait_s

    def close(self) -> None:
        """Stop reading ahead."""
        self.source.close()
