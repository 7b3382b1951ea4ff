"""Warnings of commands about the data of a net: inputs that nothing fills, data that repeat."""

from __future__ import annotations

from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.log import logger
from minicaffe.net import Net


def warn_of_unfilled_inputs(net: Net) -> None:
    """Warn of the inputs of a net that no layer fills, because a command does not either."""
    if net.inputs:
        inputs = ", ".join(f'"{blob.name}"' for blob in net.inputs)
        logger.warning(f"No layer fills the inputs {inputs}: they are zero. Add a data layer.")


def warn_of_repeated_samples(net: Net, batches: int) -> None:
    """Warn of the data layers that start again from their first sample within some batches."""
    for layer in net.layers:
        if not isinstance(layer, BatchLayer):
            continue
        size = layer.source.shapes[0][0]
        n = layer.count_samples(batches * size)
        if n is not None and batches * size > n:
            logger.warning(
                f"{layer.where}: {batches} batches of {size} are more than the {n} samples of the "
                f"data: the first ones occur again after sample {n}. {-(-n // size)} batches read "
                "every sample"
                + (f", and {-n % size} of them twice." if n % size else " exactly once.")
            )
