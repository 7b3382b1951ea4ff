"""Opening of trained nets that answer for images: the kind of model follows from the net."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, overload

from minicaffe.data.annotations.label_map import read_label_map
from minicaffe.data.class_names import read_names
from minicaffe.data.preparation import read_classes
from minicaffe.errors import DataError, NetError, UsageError
from minicaffe.log import logger
from minicaffe.net import Net
from minicaffe.net.deployment.data_layer import data_layer
from minicaffe.net.deployment.inference_net import inference_net
from minicaffe.ops.backend import Backend
from minicaffe.prediction.classes import ClassModel, are_scores, scores_output
from minicaffe.prediction.deployed_net import DeployedNet, read_deployed_net
from minicaffe.prediction.image_model import ImageAnswer, ImageModel, Task
from minicaffe.prediction.masks import MaskModel, require_mask_output
from minicaffe.prediction.objects import LISTED_COLUMNS, FoundObjects, ObjectModel, lists_objects
from minicaffe.prediction.pixel_values import PixelValues, Preparation, ResizedPreparation
from minicaffe.prediction.regions import RegionModel, RegionSettings, scores_regions
from minicaffe.prediction.training_images import TrainingImages
from minicaffe.prediction.training_nets import find_training_net, folders_of
from minicaffe.runs.folder import weights_of
from minicaffe.schema import TEST, NetSource, NetState, read_net

_NAMES, _LABEL_MAP = "labels.txt", "labelmap.prototxt"


@dataclass(frozen=True)
class ModelFiles:
    """A trained net, and what is said about it.

    Parameters
    ----------
    weights : str
        The file, ``RUN/best``, ``RUN/last``, or a run folder.
    net : str or NetSource
        The training net, or the net to deploy; by default the training net of the run, or the one
        beside the weights whose layers fit.
    labels : str
        A file with the name of each class, or a label map; by default labels.txt or
        labelmap.prototxt beside the net or the weights.
    size : tuple of int, optional
        Rows and columns that images are resized to before the crop, instead of those in the data
        of the training.
    output : str
        The blob with the scores of the classes.
    values : PixelValues, optional
        How a net to deploy takes pixels, which it does not say itself.
    regions : RegionSettings
        For nets that score regions.
    """

    weights: str
    net: str | NetSource = ""
    labels: str = ""
    size: tuple[int, int] | None = None
    output: str = ""
    values: PixelValues | None = None
    regions: RegionSettings = field(default_factory=RegionSettings)


def source_of(files: ModelFiles) -> NetSource:
    """Return the net that is given, or the training net of the run or beside the weights."""
    if isinstance(files.net, NetSource):
        return files.net
    return read_net(files.net) if files.net else find_training_net(Path(weights_of(files.weights)))


@overload
def open_image_model(
    files: ModelFiles, backend: Backend, task: Literal["classify"], state: NetState | None = None
) -> ClassModel: ...
@overload
def open_image_model(
    files: ModelFiles, backend: Backend, task: Literal["detect"], state: NetState | None = None
) -> ImageModel[FoundObjects]: ...
@overload
def open_image_model(
    files: ModelFiles, backend: Backend, task: Literal["segment"], state: NetState | None = None
) -> MaskModel: ...
@overload
def open_image_model(
    files: ModelFiles, backend: Backend, task: None = None, state: NetState | None = None
) -> ImageModel[ImageAnswer]: ...
def open_image_model(
    files: ModelFiles, backend: Backend, task: Task | None = None, state: NetState | None = None
) -> ImageModel[ImageAnswer]:
    """Read a trained net that answers for images.

    Parameters
    ----------
    files : ModelFiles
    backend : Backend
    task : {"classify", "detect", "segment"}, optional
        What the net has to do; by default what it can do.
    state : NetState, optional
        Level and stages for rules of layers.

    Raises
    ------
    MinicaffeError
        If the net does something else, or files are missing or do not fit.
    UsageError
        If settings for regions are given for a net without them.
    """
    weights, state = weights_of(files.weights), state or NetState()
    source = source_of(files)
    folders = folders_of(source, Path(weights))
    node = data_layer(source, state)
    opening = _Opening(files, folders, task)
    preparation: Preparation | None = None
    if node is not None:
        images = TrainingImages(source, node, folders, files.size)
        source, preparation = images.deployed(state, task)
        opening.require_whole = images.require_whole
    elif files.values is None:
        raise NetError(
            f"{source.path}: no data layer, so size, mean and scale of the images are not "
            "known. Give the training net with --net TRAIN_VAL.prototxt."
        )
    net = read_deployed_net(source, weights, backend, state)
    try:
        return opening.model(net, preparation)
    except BaseException:
        net.close()
        raise


def open_deployed_net(files: ModelFiles, backend: Backend) -> DeployedNet:
    """Read a trained net for arrays, of whatever kind: a training net gets inputs for its data.

    Raises
    ------
    MinicaffeError
        If files are missing or do not fit.
    """
    source, state = source_of(files), NetState()
    if data_layer(source, state) is not None:
        state.phase = TEST
        source = inference_net(source, state)
    return read_deployed_net(source, weights_of(files.weights), backend, state)


@dataclass
class _Opening:
    """The choice of a model for a net.

    Parameters
    ----------
    files : ModelFiles
    folders : sequence of Path
        Where the names of classes are looked for.
    task : Task, optional
    require_whole : callable
        Raises an error if images are cropped.
    """

    files: ModelFiles
    folders: Sequence[Path]
    task: Task | None
    require_whole: Callable[[], None] = lambda: None

    def model(self, net: DeployedNet, preparation: Preparation | None) -> ImageModel[ImageAnswer]:
        task = self.task or _task_of(net)
        if task == "detect":
            return self._detection(net, preparation)
        if task == "classify":
            _require_one_input(net)
            output = scores_output(net, self.files.output)
            n_classes = math.prod(net.output_shapes[output][1:])
            labels = self._names(n_classes) or [str(k) for k in range(n_classes)]
            return ClassModel(net, labels, preparation or self._resized(net), output)
        preparation = preparation or self._resized(net)
        self.require_whole()
        require_mask_output(net)
        return MaskModel(net, self._names_of_mask(net), preparation)

    def _detection(
        self, net: DeployedNet, preparation: Preparation | None
    ) -> ImageModel[ImageAnswer]:
        values = self.files.values or PixelValues()
        if scores_regions(net):
            values.check_channels(net.path, net.input_shapes["data"][1])
            return RegionModel(net, self._label_map(), values, self.files.regions)
        if not lists_objects(net):
            inputs, outputs = (
                ", ".join(f"{name} {shape}" for name, shape in shapes.items())
                for shapes in (net.input_shapes, net.output_shapes)
            )
            raise NetError(
                f"{net.path}: needs one input for images, and one output of {LISTED_COLUMNS} "
                "columns, as DetectionOutput has; or the inputs data and im_info (1, 3), and the "
                "blobs rois (R, 5), cls_prob (R, K) and bbox_pred (R, 4 K or 8), as Faster R-CNN "
                f"and R-FCN have. The inputs are {inputs}; the outputs are {outputs}"
            )
        given = [name for name, value in vars(self.files.regions).items() if value is not None]
        if given:
            raise UsageError(
                f"--{given[0]} has no effect on {net.path}, which lists objects itself; it is for "
                "nets with the inputs data and im_info"
            )
        self.require_whole()
        return ObjectModel(net, self._label_map(), preparation or self._resized(net))

    def _resized(self, net: DeployedNet) -> Preparation:
        """Return the preparation for a net that was given as it is deployed."""
        shape = image_input_shape(net.net, net.path)
        values = self.files.values or PixelValues()
        values.check_channels(net.path, shape[0])
        return ResizedPreparation(shape, values)

    def _names(self, n: int) -> list[str]:
        """Return the names of the classes, [] if there is no file of `n` names."""
        if self.files.labels:
            return read_classes(self.files.labels, n)
        path = self._beside(_NAMES)
        try:
            return read_classes(str(path), n) if path else []
        except DataError as error:
            logger.warning(f"{error}. The classes are given as numbers")
            return []

    def _names_of_mask(self, net: DeployedNet) -> list[str]:
        ((_, n_classes, _, _),) = net.output_shapes.values()
        if n_classes > 1:
            return self._names(n_classes)
        path = self.files.labels or self._beside(_NAMES)
        return read_names(str(path)) if path else []

    def _label_map(self) -> list[str]:
        """Return the names of the classes by number, [] if there is no label map."""
        path = self.files.labels or self._beside(_LABEL_MAP)
        if not path:
            return []
        if not str(path).endswith(".prototxt"):
            return read_names(str(path))
        names = {item.label: item.display_name or item.name for item in read_label_map(path)}
        return [names.get(k, "") for k in range(max(names) + 1)]

    def _beside(self, name: str) -> Path | None:
        return next((path for folder in self.folders if (path := folder / name).exists()), None)


def _task_of(net: DeployedNet) -> Task:
    """Return what a net does, from the shapes of its inputs and outputs."""
    if scores_regions(net) or lists_objects(net):
        return "detect"
    outputs = net.output_shapes
    if any(are_scores(shape) for shape in outputs.values()):
        return "classify"
    if len(net.input_shapes) == 1 and [len(shape) for shape in outputs.values()] == [4]:
        return "segment"
    found = ", ".join(f"{name} {shape}" for name, shape in outputs.items())
    raise NetError(
        f"{net.path}: answers for images are scores of classes (N, classes), rows of "
        f"{LISTED_COLUMNS} columns as DetectionOutput has, or classes of pixels (N, classes, rows, "
        f"columns); the outputs are {found}"
    )


def _require_one_input(net: DeployedNet) -> None:
    if len(net.input_shapes) != 1:
        found = ", ".join(f'"{name}"' for name in net.input_shapes) or "none"
        raise NetError(
            f"{net.path}: a net that classifies images has one input when it is deployed; this one "
            f"has {found}"
        )


def image_input_shape(net: Net, path: str | Path) -> tuple[int, int, int]:
    """Return channels, rows and columns of a net's only input, which takes images.

    Raises
    ------
    NetError
        If the net has no input, several inputs, or one of another shape.
    """
    shapes = [blob.shape for blob in net.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] not in (1, 3):
        raise NetError(
            f"{path}: needs one input of shape (N, 1 or 3, rows, columns) for images; it has "
            f"{shapes or 'none'}. Use the net to deploy: minicaffe deploy {path} writes it"
        )
    _, channels, height, width = shapes[0]
    return channels, height, width
