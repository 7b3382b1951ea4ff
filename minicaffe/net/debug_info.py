"""The log lines of debug_info: means of activations, gradients and parameters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicaffe.layers import Layer
from minicaffe.log import logger
from minicaffe.net.parameters import LearnableParameter
from minicaffe.net.step import Step
from minicaffe.ops.backend import HostArray, Tensor


def log_forward(step: Step) -> None:
    """Log the mean magnitudes of a layer's tops and parameters."""
    head = f"    [Forward] Layer {step.layer.name}"
    for blob in step.top:
        logger.info(f"{head}, top blob {blob.name} data: {mean_magnitude(blob.data.get()):g}")
    for index, blob in enumerate(step.layer.blobs):
        name = _parameter_name(step.layer, index)
        logger.info(f"{head}, param blob {name} data: {mean_magnitude(blob.data.get()):g}")


def log_backward(step: Step) -> None:
    """Log the mean magnitudes of the gradients that a layer computed."""
    head = f"    [Backward] Layer {step.layer.name}"
    for blob, needed in zip(step.bottom, step.propagate_down, strict=True):
        if needed:
            value = mean_magnitude(blob.diff.get())
            logger.info(f"{head}, bottom blob {blob.name} diff: {value:g}")
    for index, blob in enumerate(step.layer.blobs):
        if step.layer.param_needs_diff[index]:
            logger.info(f"{head}, param blob {index} diff: {mean_magnitude(blob.diff.get()):g}")


def log_norms(parameters: Sequence[LearnableParameter]) -> None:
    """Log the norms of all parameters together, and of all their gradients."""
    data_l1, data_l2 = _norms([parameter.blob.data for parameter in parameters])
    diff_l1, diff_l2 = _norms([parameter.blob.diff for parameter in parameters])
    logger.info(
        f"    [Backward] All net params (data, diff): L1 norm = ({data_l1:g}, {diff_l1:g}); "
        f"L2 norm = ({data_l2:g}, {diff_l2:g})"
    )


def _parameter_name(layer: Layer, index: int) -> str:
    """Return the name by which layers share a parameter, or else its index."""
    specs = layer.param.param
    return (specs[index].name if index < len(specs) else "") or str(index)


def mean_magnitude(values: HostArray) -> float:
    """Return the mean of the absolute values."""
    return float(np.abs(values).sum(dtype=np.float64) / max(values.size, 1))


def _norms(tensors: Sequence[Tensor]) -> tuple[float, float]:
    """Return L1 and L2 norm of all values together."""
    values = [tensor.get().astype(np.float64) for tensor in tensors]
    l1 = sum(float(np.abs(v).sum()) for v in values)
    return l1, float(np.sqrt(sum(float((v * v).sum()) for v in values)))
