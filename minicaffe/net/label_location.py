"""Where a wrong label stands: the layer that reads it, and the record that it came from.

A kernel knows its tensors only. What this adds is known to the net: file, line and name of the
layer, and the data layer that the labels come from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from minicaffe.blob import Blob
from minicaffe.errors import LabelError
from minicaffe.layers import Layer
from minicaffe.net.step import Step

# For data layers, what says where a sample of one batch came from.
SampleNames: TypeAlias = Mapping[Layer, Callable[[int], str]]


def sample_names(steps: Sequence[Step]) -> SampleNames:
    """Return the names of the samples of the batches that the net holds now."""
    return {step.layer: step.layer.sample_names() for step in steps if not step.bottom}


def locate(
    error: LabelError, steps: Sequence[Step], step: Step | None, names: SampleNames
) -> LabelError:
    """Return a label error with where it arose and which record it came from.

    Parameters
    ----------
    error : LabelError
        As a kernel raises it.
    steps : sequence of Step
        The net's.
    step : Step or None
        The one that raised it; None, if a backend found out later, for the first that reads the
        error's labels.
    names : mapping
        The samples of the pass that the error is about.
    """
    step = step or _reader(error.labels, steps)
    if step is None:
        return error
    source = _maker(step.bottom[1], steps) if len(step.bottom) > 1 else None
    name = names.get(source) if source is not None else None
    record = name(error.item) if name is not None else ""
    where = LabelError(error.item, error.value, error.n_classes)
    where.args = (f"{step.layer.where}: {error}" + (f". It is {record}." if record else "."),)
    return where


def _reader(labels: object, steps: Sequence[Step]) -> Step | None:
    """Return the first step that computes with a tensor of labels."""
    for step in steps:
        if step.layer.type != "Split" and any(blob.data is labels for blob in step.bottom):
            return step
    return None


def _maker(blob: Blob, steps: Sequence[Step]) -> Layer | None:
    """Return the layer that a blob's values come from, through the splits."""
    for step in steps:
        if blob in step.top:
            return _maker(step.bottom[0], steps) if step.layer.type == "Split" else step.layer
    return None
