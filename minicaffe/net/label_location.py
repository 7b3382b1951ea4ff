"""Location of an invalid label: the layer that reads it, and its record in the data.

A kernel raises LabelError with the index of the sample. The net adds file, line and name of the
layer, and the record, which it asks the data layer that the labels come from for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from minicaffe.blob import Blob
from minicaffe.errors import LabelError
from minicaffe.layers import Layer
from minicaffe.net.step import Step

# For each data layer, a function that returns the record of a sample of one batch.
SampleNames: TypeAlias = Mapping[Layer, Callable[[int], str]]


def sample_names(steps: Sequence[Step]) -> SampleNames:
    """Return, for each data layer, the function that names the samples of its current batch."""
    return {step.layer: step.layer.sample_names() for step in steps if not step.bottom}


def locate(
    error: LabelError, steps: Sequence[Step], step: Step | None, names: SampleNames
) -> LabelError:
    """Return a label error whose message has the layer and the record.

    Parameters
    ----------
    error : LabelError
        The error of a kernel.
    steps : sequence of Step
        The whole net.
    step : Step or None
        The step that raised it. None if the backend found the label after the pass: then the first
        step that reads the error's labels.
    names : mapping
        `sample_names` of that pass.
    """
    step = step or _reader(error.labels, steps)
    if step is None:
        return error
    sources = (producer(blob, steps) for blob in step.bottom[1:])
    known = (names[s.layer](error.item) for s in sources if s is not None and s.layer in names)
    record = next(filter(None, known), "")
    where = LabelError(error.item, error.value, error.n_classes)
    text = f"{step.layer.where}: {error}" + (f". It is {record}." if record else ".")
    where.args = (text + _advice(error, step, steps),)
    return where


def _advice(error: LabelError, step: Step, steps: Sequence[Step]) -> str:
    """Return " " and what to change so that the label is a class, "" if that is not clear."""
    if error.value < 0 and step.layer.scoring() is not None:
        return f" To leave such samples out, set ignore_label: {error.value:g}."
    scores = producer(step.bottom[0], steps)
    if error.noun != "label" or error.value < error.n_classes or scores is None:
        return ""
    settings = scores.layer.settings if scores.layer.param_field else None
    if getattr(settings, "num_output", None) != error.n_classes:
        return ""
    return (
        " Labels begin with 0: subtract 1 from all if these begin with 1; otherwise set "
        f"num_output to {error.value + 1:g} or more in {scores.layer.where}."
    )


def _reader(labels: object, steps: Sequence[Step]) -> Step | None:
    """Return the first step that computes with a tensor of labels."""
    for step in steps:
        if not step.layer.copies_bottom and any(blob.data is labels for blob in step.bottom):
            return step
    return None


def producer(blob: Blob, steps: Sequence[Step]) -> Step | None:
    """Return the step whose layer computes the values of a blob, followed back through copies."""
    for step in steps:
        if blob in step.top:
            return producer(step.bottom[0], steps) if step.layer.copies_bottom else step
    return None
