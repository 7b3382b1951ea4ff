"""Base classes of data layers, which copy prefetched batches into their tops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import numpy as np

from minicaffe.blob import Blob
from minicaffe.data.augmentation import AUGMENTATION_FIELDS
from minicaffe.data.batch_source import Batch, BatchSource
from minicaffe.data.batches import Augment, ImageBatches
from minicaffe.data.image_form import ImageForm
from minicaffe.data.prefetch import Prefetcher
from minicaffe.data.records.base import RecordSource
from minicaffe.data.transformer import DataTransformer
from minicaffe.distributed.parts import BatchRows
from minicaffe.errors import DataError, Unsupported
from minicaffe.layers.base import Blobs, Layer, P, State
from minicaffe.layers.context import LayerContext
from minicaffe.log import logger
from minicaffe.ops.backend import Shape
from minicaffe.ops.transform import Transform, TransformKernel
from minicaffe.random import RandomStream
from minicaffe.schema import TEST, TRAIN, LayerParameter
from minicaffe.schema.minicaffe_pb2 import DataParameter, TransformationParameter

# Fields of data_param and image_data_param that moved to transform_param.
OLD_TRANSFORM_FIELDS = ("scale", "mean_file", "crop_size", "mirror")
# Fields of transform_param that only types with a label for each pixel read.
_OF_LABEL_MAPS = frozenset({"scale_factors", "crop_height", "crop_width"})
# Fields that only types with boxes read.
ANNOTATED_FIELDS = frozenset({"distort_param", "expand_param", "emit_constraint"})
_COLOUR_CHANNELS = 3  # assumed if the source cannot be read


class BatchLayer(Layer[P]):
    """Base of the layers with prefetched batches; a subclass opens their source."""

    role = "data"
    bottoms = 0
    releases_lock = True
    # Whether batches are made ahead of time, in a thread.
    prefetches: ClassVar[bool] = True
    shared_fields: ClassVar[tuple[str, ...]] = ("data_param",)
    # Fields of the type's own message that moved to transform_param, and have no effect any more.
    old_transform_fields: ClassVar[Sequence[str]] = ()
    # Whether the batches come from files that the prototxt names, not from the program.
    has_own_source: ClassVar[bool] = True
    # Whether image_data_param.scaled_decoding has an effect.
    scales_decoding: ClassVar[bool] = False

    def __init__(self, param: LayerParameter, context: LayerContext) -> None:
        super().__init__(param, context)
        self.random = RandomStream(context.seed, f"{self.name}/data")
        self._keys: Sequence[bytes] = ()

    @classmethod
    def batch_shape(cls, param: LayerParameter, image: Shape) -> Shape:
        """Return batch_size images of the given size, after the crop; () if no size is known."""
        channels, rows, columns = image or (_COLOUR_CHANNELS, 0, 0)
        transform = param.transform_param
        for policy in transform.resize_param:
            if policy.resize_mode != policy.FIT_SMALL_SIZE:  # which depends on the image's shape
                rows, columns = policy.height, policy.width
        rows = transform.crop_size or transform.crop_h or rows
        columns = transform.crop_size or transform.crop_w or columns
        n = getattr(param, cls.param_field).batch_size
        return (n, channels, rows, columns) if rows and columns else ()

    @classmethod
    def transformation(cls, param: LayerParameter) -> TransformationParameter:
        """Return transform_param, with what the type's own message adds."""
        return param.transform_param

    @classmethod
    def image_form(cls, param: LayerParameter) -> ImageForm | None:
        """Return the form of the images before their transformation; None if they are no images.

        Raises
        ------
        DataError
            If it is in the data, and these cannot be read.
        """
        return None

    @classmethod
    def top_shapes(cls, param: LayerParameter, image: Shape) -> list[Shape]:
        """Return the shapes of the tops for images of the given size; [] if no size is known."""
        shape = cls.batch_shape(param, image)
        return [shape, *(shape[:1] for _ in param.top[1:])] if shape else []

    @classmethod
    def unread_settings(cls, param: LayerParameter) -> Iterator[str]:
        """Yield sentences, also about data_param, of which other types read `prefetch` only."""
        yield from super().unread_settings(param)
        for field, _ in getattr(param, cls.param_field).ListFields():
            if field.name in cls.old_transform_fields:
                yield (
                    f"{cls.param_field}.{field.name} has no effect in `layer`, only in the old "
                    "`layers`. Write it in transform_param."
                )
        if cls.param_field != "data_param":
            for field, _ in param.data_param.ListFields():
                if field.name != "prefetch" or not cls.prefetches:
                    yield (
                        f"data_param.{field.name} has no effect, because {cls.type} reads "
                        f"{cls.param_field}. Write it there if it exists there, or remove it."
                    )
        proto, is_read = param.image_data_param, cls.param_field == "image_data_param"
        if is_read and proto.scaled_decoding and not (cls.scales_decoding and proto.new_height):
            reason = (
                "without new_height and new_width. Set them"
                if cls.scales_decoding
                else f"in {cls.type}. Set it in ImageData"
            )
            yield f"image_data_param.scaled_decoding has no effect {reason}, or remove it."

    def count_samples(self, limit: int) -> int | None:
        """Return the number of samples, or `limit` if there are more; None if it is unknown."""
        return self.source.count_samples(limit)

    def open_source(self) -> None:
        """Open the source and prepare for prefetching."""
        # In Caffe, too, every layer that reads ahead finds the depth in data_param.
        depth = max(1, int(self.param.data_param.prefetch)) if self.prefetches else 0
        try:
            self.source = Prefetcher(self.open(), depth)
        except DataError as error:
            raise DataError(f"{self.where}: {error}") from error

    def open(self) -> BatchSource:
        """Return the source of batches."""
        raise NotImplementedError

    def rows(self, size: int) -> BatchRows:
        """Return the rows that this process reads of batches whose parts have `size` rows."""
        return BatchRows(size, self.context.share.parts)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Open the source and give the tops the shapes of the first batch."""
        self.open_source()
        self.shape_tops(top)

    def shape_tops(self, top: Blobs) -> None:
        """Give the tops the shapes of the first batch."""
        for blob, shape in zip(top, self.source.shapes, strict=False):
            blob.reshape(shape)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Keep the shapes: batches set them."""

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Copy the next batch into the tops."""
        try:
            batch = self.source.next()
        except DataError as error:
            raise DataError(f"{self.where}: {error}") from error
        self._keys = batch.keys
        for blob, values in zip(top, batch.tops, strict=False):
            blob.reshape(values.shape)
        self.fill_tops(batch, top)

    def fill_tops(self, batch: Batch, top: Blobs) -> None:
        """Copy a batch into the tops, which have its shapes."""
        for blob, values in zip(top, batch.tops, strict=False):
            if isinstance(values, np.ndarray):
                blob.data.set(values)

    def state(self) -> State:
        """Return the position after the last batch, and the seed of its random numbers."""
        return {"seed": self.random.seed, "position": self.source.position()}

    def restore(self, state: State) -> None:
        """Continue from a position."""
        self.random.seed = state["seed"]
        self.source.restore(state["position"])

    def key_name(self, key: bytes) -> str:
        """Return the name of the sample with a key of `Batch.keys`, for messages."""
        raise NotImplementedError

    def sample_keys(self) -> Sequence[str]:
        """Return the keys of the current batch's records, or its files; in any encoding."""
        return [key.decode("utf-8", "backslashreplace") for key in self._keys]

    def sample_names(self) -> Callable[[int], str]:
        """Return a function from samples of the current batch to their names."""
        keys = self._keys
        return lambda item: self.key_name(keys[item]) if item < len(keys) else ""

    @property
    def data_wait_s(self) -> float:
        """Total time that forward has waited for batches, seconds."""
        return self.source.data_wait_s

    def skip_batches(self, n: int) -> None:
        """Advance by n batches, without making them."""
        super().skip_batches(n)
        self.source.skip_batches(n)

    def close(self) -> None:
        """Stop prefetching, close files and databases."""
        if hasattr(self, "source"):  # not if the layer failed before it opened the source
            self.source.close()


class ImageBatchLayer(BatchLayer[P]):
    """Base of the layers with batches of images, transformed by transform_param, and labels.

    If the backend's device can transform images, they are uploaded as bytes and transformed in
    `forward`; otherwise the prefetching thread transforms them.
    """

    tops = (1, 2)
    # Fields of the type's own message that moved to transform_param, and have no effect any more.
    old_transform_fields: ClassVar[Sequence[str]] = OLD_TRANSFORM_FIELDS
    shared_fields: ClassVar[tuple[str, ...]] = ("data_param", "transform_param")
    # Whether the source reads force_color and force_gray, and what to do instead.
    converts_color: ClassVar[bool] = False
    color_advice: ClassVar[str] = "Remove it."
    # Whether the fields of transform_param that augment images have an effect.
    augments: ClassVar[bool] = True
    # Whether mixup_alpha has an effect, too.
    mixes: ClassVar[bool] = False

    @classmethod
    def unread_settings(cls, param: LayerParameter) -> Iterator[str]:
        """Yield sentences, also about fields of transform_param that the type does not apply."""
        yield from super().unread_settings(param)
        for name in ("force_color", "force_gray"):
            if getattr(param.transform_param, name) and not cls.converts_color:
                yield (
                    f"transform_param.{name} has no effect, because only Data converts encoded "
                    f"images. {cls.color_advice}"
                )
        for field, _ in param.transform_param.ListFields():
            if field.name in cls.unread_transform_fields():
                yield (
                    f"transform_param.{field.name} has no effect, because {cls.type} does not "
                    "apply it. Remove it."
                )
        if param.transform_param.mixup_alpha and getattr(param, cls.param_field).batch_size == 1:
            yield "transform_param.mixup_alpha has no effect with batch_size: 1. Raise it."

    @classmethod
    def unread_transform_fields(cls) -> frozenset[str]:
        """Return the fields of transform_param that have no effect in this type."""
        others = _OF_LABEL_MAPS | ANNOTATED_FIELDS
        others = others if cls.mixes else others | {"mixup_alpha"}
        return others if cls.augments else others | AUGMENTATION_FIELDS

    def __init__(self, param: LayerParameter, context: LayerContext) -> None:
        super().__init__(param, context)
        self._transform: TransformKernel | None = None
        self.open_source()

    def batches(
        self, records: RecordSource, size: int, transformer: DataTransformer, rand_skip: int = 0
    ) -> BatchSource:
        """Return batches of `size` records, after skipping up to ``rand_skip - 1``."""
        records.skip_at_random(rand_skip, self.random)
        threads, augment = self.context.backend.data_threads, self._augmenter()
        rows = self.rows(size)
        return ImageBatches(records, rows, transformer, self.random, threads, augment)

    def database_kind(self, proto: DataParameter) -> str:
        """Return which kind of database data_param names; LevelDB is read by one process only."""
        kind = type(proto).DB.Name(proto.backend)
        n = self.context.share.communicator.size
        self.require(
            n == 1 or kind != "LEVELDB",
            f"{proto.source}: {n} processes read this database, but LevelDB lets one process open "
            f"it. Write an LMDB: minicaffe db merge {proto.source} NEW_DB --backend=lmdb; "
            "then set source to it, and backend: LMDB.",
        )
        return kind

    def transformer(self) -> DataTransformer:
        """Return what transform_param asks for, in this layer's phase."""
        param = self.param.transform_param
        mixup_alpha = param.mixup_alpha if self.mixes and self.is_training else 0.0
        return DataTransformer(param, TRAIN if self.is_training else TEST, mixup_alpha)

    def _augmenter(self) -> Augment | None:
        """Return what transform_param asks for beyond Caffe's transformation, if anything."""
        param = self.param.transform_param
        names = {field.name for field, _ in param.ListFields()}
        if not self.augments or not names & AUGMENTATION_FIELDS:
            return None
        # Imported here, because Pillow is slow to import.
        from minicaffe.data.augmentation.augmenter import Augmenter

        return Augmenter(param, TRAIN if self.is_training else TEST) or None

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Give the tops their shapes, and plan the transformation."""
        self.shape_tops(top)
        logger.info(f"output data size: {','.join(map(str, top[0].shape))}")
        self._plan_transform(top[0])

    def _plan_transform(self, top: Blob) -> None:
        """Have the backend's device transform the images, if it can."""
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

    def fill_tops(self, batch: Batch, top: Blobs) -> None:
        """Copy a batch into the tops, or have the device transform it into them."""
        images = batch.tops[0]
        if isinstance(images, np.ndarray) or self._transform is None:
            super().fill_tops(batch, top)
        else:
            labels = top[1].data if len(top) > 1 else None
            self._transform.forward(images, self._mean, top[0].data, labels)
