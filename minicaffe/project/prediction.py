"""Prediction of the classes of images by a trained net, with the preparation of its training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from minicaffe.blob import Blob
from minicaffe.cores import usable_cores
from minicaffe.data.image_form import ImageForm
from minicaffe.data.mean import read_mean
from minicaffe.data.preparation import ImagePreparation
from minicaffe.errors import DataError, NetError, nearest
from minicaffe.layers import LAYERS
from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.net.deployment.data_layer import data_layer
from minicaffe.net.deployment.inference_net import inference_net
from minicaffe.net.include_rules import Node
from minicaffe.net.net import Net
from minicaffe.net.weights import copy_trained_layers
from minicaffe.ops.backend import Backend, Shape
from minicaffe.project.training_nets import file_beside
from minicaffe.schema import TEST, NetSource, NetState
from minicaffe.schema.minicaffe_pb2 import TransformationParameter

Floats = npt.NDArray[np.float32]

_BATCH = 32
_PROBABILITIES = "prob"


@dataclass(frozen=True)
class TrainedNet:
    """A training net with its weights, and what is said about both.

    Parameters
    ----------
    source : NetSource
        The training net.
    weights : str
        The file.
    folders : sequence of Path
        Where files that the net names are looked for, if they are not at their paths.
    size : tuple of int
        Rows and columns that images are resized to before the crop, instead of those in the data.
    output : str
        The blob with the scores; by default the only one, or "prob".
    """

    source: NetSource
    weights: str
    folders: Sequence[Path] = ()
    size: tuple[int, int] | None = None
    output: str = ""


class ClassPredictor:
    """Computes the scores of the classes of images.

    Parameters
    ----------
    trained : TrainedNet
    state : NetState
        Level and stages for rules of layers; the phase is TEST.
    backend : Backend

    Attributes
    ----------
    n_classes : int

    Raises
    ------
    MinicaffeError
        If the net is no net that classifies images, or files are missing or do not fit.
    """

    def __init__(self, trained: TrainedNet, state: NetState, backend: Backend) -> None:
        source = trained.source
        node = data_layer(source, state)
        if node is None:
            raise NetError(
                f"{source.path}: no data layer, so size, mean and scale of the images are not "
                "known. Give the training net with --net TRAIN_VAL.prototxt."
            )
        param = _with_files(node, trained.folders)
        form = _image_form(source, node, trained)
        self._prepare = ImagePreparation(param, form)
        state.phase = TEST
        channels_and_size = (form.channels, form.rows, form.columns) if form.rows else ()
        deployed = inference_net(source, state, channels_and_size or _smallest(param, form))
        self._net = Net(deployed, state, backend=backend, fills=False)
        try:
            self._net.fill()
            copy_trained_layers(self._net, trained.weights)
            self._input = _image_input(self._net, source)
            self._output = _scores(self._net, source, trained.output)
        except BaseException:
            self._net.close()
            raise
        self.n_classes = int(np.prod(self._output.shape[1:]))

    def predict(self, paths: Sequence[str]) -> Iterator[tuple[str, Floats | DataError]]:
        """Yield each path with the scores of its image, float32, shape (n_classes,).

        Images that cannot be used have the error instead.
        """
        left = iter(paths)
        with ThreadPoolExecutor(usable_cores()) as pool:
            while chunk := list(islice(left, _BATCH)):
                futures = [pool.submit(self._prepare, path) for path in chunk]
                prepared = [_result(future) for future in futures]
                yield from zip(chunk, self._scores_of(prepared), strict=True)

    def close(self) -> None:
        """Close the net."""
        self._net.close()

    def _scores_of(self, images: Sequence[Floats | DataError]) -> Iterator[Floats | DataError]:
        """Yield the scores of images; neighbours of one shape are computed as a batch."""
        shapes = [None if isinstance(image, DataError) else image.shape for image in images]
        for _, group in groupby(range(len(images)), shapes.__getitem__):
            same = [images[k] for k in group]
            batch = [image for image in same if not isinstance(image, DataError)]
            if not batch:
                yield from same
                continue
            self._input.reshape((len(batch), *batch[0].shape))
            self._input.data.set(np.stack(batch))
            self._net.forward()
            yield from self._output.data.get().reshape(len(batch), -1)


def _result(future: Future[Floats]) -> Floats | DataError:
    try:
        return future.result()
    except DataError as error:
        return error


def _with_files(node: Node, folders: Sequence[Path]) -> TransformationParameter:
    """Return transform_param with the path at which the mean file is."""
    param = TransformationParameter()
    param.CopyFrom(node.param.transform_param)
    if param.mean_file:
        param.mean_file = file_beside(param.mean_file, folders)
    return param


def _image_form(source: NetSource, node: Node, trained: TrainedNet) -> ImageForm:
    """Return the form of the images of the training.

    It is that of the data; if they are not there, that of the mean file.
    """
    kind = LAYERS[node.param.type]
    where = f'{node.where(source)}, layer "{node.param.name}" ({node.param.type})'
    if not issubclass(kind, BatchLayer):
        raise NetError(f"{where}: makes no images.")
    layer = type(node.param)()
    layer.CopyFrom(node.param)
    layer.data_param.source = file_beside(layer.data_param.source, trained.folders)
    try:
        form = kind.image_form(layer)
    except DataError as error:
        form = _form_without_data(node, trained)
        if form is None:
            raise DataError(
                f"{where}: {error} The images of the training gave the size that images are "
                "resized to. Give it with --size ROWS,COLUMNS."
            ) from error
    if form is None:
        raise NetError(
            f"{where}: predict takes nets whose data are plain images with a class each, which "
            "Data and ImageData read. Use detect for nets that find objects, segment for classes "
            "of pixels"
        )
    return ImageForm(form.channels, *(trained.size or (form.rows, form.columns)))


def _form_without_data(node: Node, trained: TrainedNet) -> ImageForm | None:
    """Return the form that the mean file or --size gives; None if neither is there."""
    transform = _with_files(node, trained.folders)
    if transform.mean_file and Path(transform.mean_file).exists():
        return ImageForm(*read_mean(transform.mean_file).shape)
    return ImageForm(1 if transform.force_gray else 3) if trained.size else None


def _smallest(param: TransformationParameter, form: ImageForm) -> Shape:
    """Return the shape of an input for images of any size: that of the crop, if there is one."""
    rows, columns = param.crop_h or param.crop_size, param.crop_w or param.crop_size
    if not rows:
        raise NetError(
            "the images of the training differ in size, and transform_param has no crop_size: "
            "give the size to resize images to with --size ROWS,COLUMNS"
        )
    return form.channels, rows, columns


def _image_input(net: Net, source: NetSource) -> Blob:
    if len(net.inputs) != 1:
        found = ", ".join(f'"{blob.name}"' for blob in net.inputs) or "none"
        raise NetError(
            f"{source.path}: a net that classifies images has one input when it is deployed; this "
            f"one has {found}"
        )
    return net.inputs[0]


def _scores(net: Net, source: NetSource, name: str) -> Blob:
    """Return the output with the scores of the classes."""
    outputs = {blob.name: blob for blob in net.outputs}
    if name and name not in outputs:
        raise NetError(f'{source.path}: no output "{name}". {nearest(name, outputs)}')
    chosen = name or (_PROBABILITIES if _PROBABILITIES in outputs else next(iter(outputs), ""))
    if not name and chosen != _PROBABILITIES and len(outputs) != 1:
        raise NetError(
            f"{source.path}: has the outputs {', '.join(outputs) or 'none'}; choose the one with "
            "the scores of the classes with --output NAME"
        )
    blob = outputs[chosen]
    if len(blob.shape) not in (2, 4) or blob.shape[1] < 2 or any(n > 1 for n in blob.shape[2:]):
        shape = " x ".join(map(str, blob.shape))
        raise NetError(
            f'{source.path}: output "{chosen}" is {shape}; the scores of classes are one row of at '
            "least 2 values an image. Use segment for classes of pixels, detect for boxes"
        )
    return blob
