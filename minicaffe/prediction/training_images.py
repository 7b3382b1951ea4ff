"""The images of a training: how its data layer makes values of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from minicaffe.data.image_form import ImageForm
from minicaffe.data.mean import read_mean
from minicaffe.data.preparation import ImagePreparation
from minicaffe.errors import DataError, NetError
from minicaffe.layers import LAYERS
from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.net.deployment.inference_net import inference_net
from minicaffe.net.include_rules import Node
from minicaffe.ops.backend import Shape
from minicaffe.prediction.image_model import Task
from minicaffe.prediction.pixel_values import TrainingPreparation
from minicaffe.prediction.training_nets import file_beside
from minicaffe.schema import NetSource, NetState
from minicaffe.schema.minicaffe_pb2 import TransformationParameter

_CROPS = ("crop_size", "crop_h", "crop_w", "crop_height", "crop_width")


@dataclass(frozen=True)
class TrainingImages:
    """The data layer of a training net, and where its files are.

    Parameters
    ----------
    source : NetSource
        The training net.
    node : Node
        The data layer.
    folders : sequence of Path
        Where files that the net names are looked for, if they are not at their paths.
    size : tuple of int, optional
        Rows and columns that images are resized to before the crop, instead of those in the data.
    """

    source: NetSource
    node: Node
    folders: Sequence[Path]
    size: tuple[int, int] | None

    def deployed(self, state: NetState, task: Task | None) -> tuple[NetSource, TrainingPreparation]:
        """Return the net to deploy, and the preparation of images.

        Raises
        ------
        MinicaffeError
            If the layer makes no images, their size is not known, or files are missing.
        """
        form, param = self._form(task), self._transformation()
        preparation = TrainingPreparation(ImagePreparation(param, form))
        shape = (form.channels, form.rows, form.columns) if form.rows else _smallest(param, form)
        return inference_net(self.source, state, shape), preparation

    def require_whole(self) -> None:
        """Raise a NetError if images are cropped, so that answers would be about a part of each."""
        param = self._transformation()
        if any(getattr(param, name) for name in _CROPS):
            raise NetError(
                f"{self._where}: crops images, so that places in the crop would be found. Give the "
                "net to deploy with --net"
            )

    @property
    def _where(self) -> str:
        name, kind = self.node.param.name, self.node.param.type
        return f'{self.node.where(self.source)}, layer "{name}" ({kind})'

    @property
    def _kind(self) -> type[BatchLayer]:
        kind = LAYERS[self.node.param.type]
        if not issubclass(kind, BatchLayer):
            raise NetError(f"{self._where}: makes no images.")
        return kind

    def _transformation(self) -> TransformationParameter:
        """Return transform_param with the path at which the mean file is."""
        param = TransformationParameter()
        param.CopyFrom(self._kind.transformation(self.node.param))
        if param.mean_file:
            param.mean_file = file_beside(param.mean_file, self.folders)
        return param

    def _form(self, task: Task | None) -> ImageForm:
        """Return the form of the images in the data; if they are not there, of the mean file."""
        layer = type(self.node.param)()
        layer.CopyFrom(self.node.param)
        layer.data_param.source = file_beside(layer.data_param.source, self.folders)
        try:
            form = self._kind.image_form(layer)
        except DataError as error:
            form = self._form_without_data()
            if form is None:
                raise DataError(
                    f"{self._where}: {error} The images of the training gave the size that images "
                    "are resized to. Give it with --size ROWS,COLUMNS."
                ) from error
        if form is None or (task == "classify" and not form.has_class):
            raise NetError(
                f"{self._where}: predict takes nets whose data are plain images with a class each, "
                "which Data and ImageData read. Use detect for nets that find objects, segment for "
                "classes of pixels"
            )
        size = self.size or (form.rows, form.columns)
        return ImageForm(form.channels, *size, has_class=form.has_class)

    def _form_without_data(self) -> ImageForm | None:
        """Return the form that the mean file or --size gives; None if neither is there."""
        transform = self._transformation()
        if transform.mean_file and Path(transform.mean_file).exists():
            return ImageForm(*read_mean(transform.mean_file).shape)
        return ImageForm(1 if transform.force_gray else 3) if self.size else None


def _smallest(param: TransformationParameter, form: ImageForm) -> Shape:
    """Return the shape of an input for images of any size: that of the crop.

    It is empty if the images are resized to a size that the data layer says.
    """
    rows, columns = param.crop_h or param.crop_size, param.crop_w or param.crop_size
    if rows:
        return form.channels, rows, columns
    if param.resize_param:
        return ()
    raise NetError(
        "the images of the training differ in size, and transform_param has no crop_size: give the "
        "size to resize images to with --size ROWS,COLUMNS"
    )
