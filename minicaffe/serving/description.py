"""Descriptions of models: the files, and how images become values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from minicaffe.data.mean import parse_channel_mean
from minicaffe.errors import DataError, NetError, nearest
from minicaffe.log import logger
from minicaffe.net.deployment.data_layer import data_layer
from minicaffe.ops.backend import Backend
from minicaffe.path_hints import missing_file_hint, one_line
from minicaffe.prediction import (
    ImageModel,
    ModelFiles,
    PixelValues,
    RegionSettings,
    open_deployed_net,
    open_image_model,
    source_of,
)
from minicaffe.runs.folder import weights_of
from minicaffe.schema import NetSource, NetState
from minicaffe.serving.errors import LoadRefused
from minicaffe.serving.json_text import JsonObject, json_object
from minicaffe.serving.servable import NetServable
from minicaffe.text_file import read_text


@dataclass(frozen=True)
class ModelDescription:
    """What a model is made of.

    Parameters
    ----------
    weights : str
        A file of weights, or a run.
    net : str
        A training net or a net to deploy; empty: that of the run, or the one beside the weights.
    labels : str
        Names of the classes, or a label map; empty: labels.txt or labelmap.prototxt beside the net
        or the weights.
    mean : str
        For a net to deploy: a mean file, or numbers separated by commas.
    input_scale, raw_scale : float
        Factors after and before the mean is subtracted; pixels are 0 .. `raw_scale`.
    channel_swap : str
        For each channel of the net, the index of its colour in red, green, blue.
    size : str
        ROWS,COLUMNS that images are resized to, instead of those in the data of the training.
    output : str
        The blob with the scores of the classes.
    short_side, max_size : int
        For nets that score regions: sides of resized images, pixels; 0: 600 and 1000.
    bbox_stds : str
        For these: four factors of the numbers that the net predicts for a box.
    """

    weights: str
    net: str = ""
    labels: str = ""
    mean: str = ""
    input_scale: float = 1.0
    raw_scale: float = 255.0
    channel_swap: str = "2,1,0"
    size: str = ""
    output: str = ""
    short_side: int = 0
    max_size: int = 0
    bbox_stds: str = ""

    @classmethod
    def of_json(cls, text: str) -> ModelDescription:
        """Return the description in a JSON object whose keys are the fields.

        Raises
        ------
        RequestRefused
            If it is none, or has other keys, or values of other types.
        """
        return cls.of_settings(json_object(text, "the description of the model"))

    @classmethod
    def of_settings(cls, given: JsonObject) -> ModelDescription:
        """Return the description with fields of these names and values; errors as `of_json`."""
        known = {field.name: type(field.default) for field in fields(cls)} | {"weights": str}
        for key, value in given.items():
            if key not in known:
                raise LoadRefused(f'no setting "{key}" of a model. {nearest(key, known)}')
            kinds = (int, float) if known[key] is float else (known[key],)
            if not isinstance(value, kinds) or isinstance(value, bool):
                raise LoadRefused(f'setting "{key}" of a model is of type {known[key].__name__}')
        if not given.get("weights"):
            raise LoadRefused('a model needs "weights": a file, or a run')
        return cls(**given)

    def with_paths(self, change: Callable[[str], str]) -> ModelDescription:
        """Return the description with other paths."""
        return replace(
            self,
            weights=change(self.weights),
            net=self.net and change(self.net),
            labels=self.labels and change(self.labels),
            mean=change(self.mean) if self.mean and not _are_numbers(self.mean) else self.mean,
        )

    @property
    def has_image_settings(self) -> bool:
        """Whether something is said about images, so that the net has to answer for them."""
        return replace(self, weights="", net="") != _DEFAULTS

    def files(self) -> ModelFiles:
        """Return the description as `minicaffe.prediction` has it."""
        stds = _numbers("bbox_stds", self.bbox_stds, 4)
        size = _numbers("size", self.size, 2)
        swap = _numbers("channel_swap", self.channel_swap, 3) or (0, 1, 2)
        if sorted(swap) != [0, 1, 2]:
            raise LoadRefused(f"channel_swap {self.channel_swap}: must have each of 0, 1, 2")
        return ModelFiles(
            self.weights,
            self.net,
            self.labels,
            (int(size[0]), int(size[1])) if size else None,
            self.output,
            PixelValues(
                parse_channel_mean(self.mean) if self.mean else None,
                self.input_scale,
                self.raw_scale,
                tuple(int(k) for k in swap),
            ),
            RegionSettings(self.short_side or None, self.max_size or None, stds or None),
        )


_DEFAULTS = ModelDescription("")
# Settings without effect on nets of the other kind.
_OF_DEPLOYED = ("mean", "input_scale", "raw_scale", "channel_swap")
_OF_TRAINED = ("size",)


@dataclass(frozen=True)
class DescribedModel:
    """A model that can be read.

    Parameters
    ----------
    description : ModelDescription
    backend : Backend
    max_batch : int
        Most samples that are computed at once.
    """

    description: ModelDescription
    backend: Backend
    max_batch: int

    def fingerprint(self) -> object:
        """Return what changes when the weights are written anew.

        Raises
        ------
        DataError
            If there are none.
        """
        path = Path(weights_of(self.description.weights))
        try:
            stat = path.stat()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise DataError(f"{one_line(path)}: {reason}.{missing_file_hint(path)}") from error
        return self.description, stat.st_mtime_ns, stat.st_size, stat.st_ino

    def open_servable(self) -> NetServable:
        """Read the model.

        A net that does not answer for images is served for arrays only, unless the description
        says something about images.

        Raises
        ------
        MinicaffeError
            If files are missing or do not fit.
        """
        files = self.description.files()
        self._check_settings(source_of(files))
        model: ImageModel[Any] | None = None  # Any: an answer of whatever kind
        try:
            model = open_image_model(files, self.backend)
            net = model.net
        except NetError as error:
            if self.description.has_image_settings:
                raise
            net = open_deployed_net(files, self.backend)
            logger.warning(f"{files.weights}: served for arrays only, not for images: {error}")
        try:
            return NetServable(net, model, self.max_batch)
        except BaseException:
            net.close()
            raise

    def _check_settings(self, source: NetSource) -> None:
        """Raise an error for a setting without effect on the net: it may be meant for another."""
        is_trained = data_layer(source, NetState()) is not None
        for name in _OF_DEPLOYED if is_trained else _OF_TRAINED:
            if getattr(self.description, name) != getattr(_DEFAULTS, name):
                reason = (
                    "a training net, whose data layer says how images become values"
                    if is_trained
                    else "a net to deploy, whose input has a size"
                )
                raise LoadRefused(f"{name} has no effect: {source.path} is {reason}")


def path_below(root: Path, path: str) -> str:
    """Return a path in a folder.

    Raises
    ------
    LoadRefused
        If it leads out of the folder, also by a symbolic link, or there is none.
    """
    try:
        found = (root / path).resolve()
        is_below = found.is_relative_to(root.resolve()) and (
            found.exists() or found.parent.exists()
        )
    except (OSError, ValueError, RuntimeError):
        is_below = False
    if not is_below:
        raise LoadRefused(f"{path}: not a file or run below the folder of --root")
    return str(found)


def _are_numbers(text: str) -> bool:
    try:
        return bool([float(word) for word in text.split(",")])
    except ValueError:
        return False


def _numbers(name: str, text: str, n: int) -> tuple[float, ...]:
    """Return the `n` numbers of a setting, () without a text."""
    if not text:
        return ()
    words = text.split(",")
    if len(words) != n or not _are_numbers(text):
        raise LoadRefused(f"{name} {text}: must be {n} numbers separated by commas")
    return tuple(map(float, words))


def read_descriptions(path: str) -> dict[str, ModelDescription]:
    """Return the models of a file: a JSON object with a description for each name.

    Paths in it are relative to the file.

    Raises
    ------
    DataError
        If the file cannot be read.
    RequestRefused
        If it has another content.
    """
    found = json_object(read_text(path, "the models"), f"{path}: the file")
    folder = Path(path).parent
    if not found or not all(isinstance(given, dict) for given in found.values()):
        raise LoadRefused(f"{path}: must be an object with a description for each name of a model")
    described: dict[str, ModelDescription] = {}
    for name, given in found.items():
        try:
            model = ModelDescription.of_settings(given)
        except LoadRefused as error:
            raise LoadRefused(f'{path}, model "{name}": {error}') from error
        described[name] = model.with_paths(lambda one: str(folder / one))
    return described
