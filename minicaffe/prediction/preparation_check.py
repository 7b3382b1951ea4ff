"""Comparison of the mean and scale that a command is given with those of the training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from minicaffe.data.mean import channel_means
from minicaffe.errors import MinicaffeError
from minicaffe.log import logger, suppress_info
from minicaffe.net.deployment.data_layer import data_layer
from minicaffe.prediction.pixel_values import PixelValues
from minicaffe.prediction.training_nets import file_beside, find_training_net, folders_of
from minicaffe.schema import NetState
from minicaffe.schema.minicaffe_pb2 import TransformationParameter

Floats = npt.NDArray[np.float32]

_SAME_SCALE = 1e-3
_SAME_MEAN = 2.0  # of 255: means of other images of the same kind differ less


def warn_of_other_preparation(weights: str, values: PixelValues) -> None:
    """Log a warning if images are not prepared as in the training, because scores are wrong then.

    Nothing is logged if no training net is found beside the weights.

    Parameters
    ----------
    weights : str
        The weights file.
    values : PixelValues
        What is made of pixels; the order of channels is not compared.
    """
    path = Path(weights)
    try:
        with suppress_info():
            source = find_training_net(path)
        node = data_layer(source, NetState())
        if node is None:
            return
        param = node.param.transform_param
        trained = _mean_of(param, folders_of(source, path))
    except MinicaffeError:
        return
    # As the training has it: the scale of values from 0 to 255, whose mean is subtracted before.
    scale = values.scale * values.raw_scale / 255
    mean = np.zeros(1, np.float32) if values.mean is None else values.mean * 255 / values.raw_scale
    differs = abs(param.scale - scale) > _SAME_SCALE * abs(param.scale)
    if differs or np.abs(trained - mean).max() > _SAME_MEAN:
        logger.warning(
            f"{source.path} trains with scale {param.scale:g} and mean {_text(trained)}, but here "
            f"they are {scale:g} and {_text(mean)}: the scores will be wrong. minicaffe predict "
            "prepares images as the training did."
        )


def _mean_of(param: TransformationParameter, folders: list[Path]) -> Floats:
    if param.mean_file:
        path = file_beside(param.mean_file, folders)
        return channel_means(path, 1 if param.force_gray else 3)
    return np.array(list(param.mean_value) or [0.0], np.float32)


def _text(mean: Floats) -> str:
    return ",".join(f"{value:g}" for value in np.round(mean, 1))
