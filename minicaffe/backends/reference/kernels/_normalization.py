"""Normalisers of losses."""

from __future__ import annotations

from minicaffe.ops.backend import Array, ArrayModule
from minicaffe.ops.softmax import Normalization


def normalizer(xp: ArrayModule, choice: Normalization, counts: Array, samples: int) -> Array:
    """Return the number of pixels or samples that `choice` counts, at least 1, or the choice.

    Parameters
    ----------
    xp : module
        numpy or cupy.
    choice : str or float
        "full": every pixel; "valid": those that count; "batch_size": the samples; "none": 1; or
        the number itself.
    counts : bool array
        Whether each pixel counts.
    samples : int
        Number of samples.

    Returns
    -------
    number, or an array of shape () where it depends on data
    """
    if isinstance(choice, float):
        return choice
    if choice == "valid":
        return xp.maximum(counts.sum(), 1)
    return max({"full": counts.size, "batch_size": samples, "none": 1}[choice], 1)
