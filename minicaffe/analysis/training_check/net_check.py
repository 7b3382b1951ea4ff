"""Checks of the nets of a training against their data: classes, values of inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import numpy as np
from google.protobuf.descriptor import Descriptor

from minicaffe.analysis.training_check.finding import Finding
from minicaffe.analysis.training_check.source_survey import SourceSurvey
from minicaffe.layers import Layer
from minicaffe.layers.batch_layer import BatchLayer
from minicaffe.net import Net
from minicaffe.net.label_location import producer
from minicaffe.net.step import Step
from minicaffe.ops.backend import HostArray
from minicaffe.schema.text import value_text

# Fields of transform_param that change values, and should be the same in training and tests.
_VALUE_FIELDS = ("scale", "mean_file", "mean_value", "force_color", "force_gray")


def surveys_of(net: Net) -> dict[Layer, SourceSurvey]:
    """Return the surveys of the data layers of a net that read files."""
    return {
        layer: SourceSurvey(layer)
        for layer in net.layers
        if isinstance(layer, BatchLayer) and layer.has_own_source
    }


def class_findings(net: Net, surveys: Mapping[Layer, SourceSurvey]) -> Iterator[Finding]:
    """Yield findings about labels against the number of scores, each once."""
    found: dict[Finding, None] = {}
    for step in net.steps:
        if step.layer.scoring() is None:
            continue
        made_by = producer(step.bottom[1], net.steps)
        survey = surveys.get(made_by.layer) if made_by else None
        if survey is not None:
            found.update(dict.fromkeys(_findings_of_scores(step, net, survey)))
            if survey.layer.is_training:
                found.update(dict.fromkeys(survey.label_findings()))
    yield from found


def _findings_of_scores(step: Step, net: Net, survey: SourceSurvey) -> Iterator[Finding]:
    scoring = step.layer.scoring()
    if scoring is None or not survey.label_counts:
        return
    scores = step.bottom[0]
    n = scores.shape[scoring.axis]
    made_by = producer(scores, net.steps)
    where = made_by.layer.where if made_by else step.layer.where
    labels = [label for label in survey.label_counts if label != scoring.ignored]
    wrong = [label for label in labels if not 0 <= label < n]
    if wrong:
        highest, total = max(labels), survey.label_counts.total()
        fix = f"Set num_output: {highest + 1}" if highest >= n else "Correct the labels"
        yield Finding(
            f"{survey.layer.where}: {sum(survey.label_counts[label] for label in wrong)} of "
            f"{total} labels are not 0 to {n - 1}, the {n} classes of {where}; they "
            f"are {min(labels)} to {highest}. {fix}, or set ignore_label in loss_param.",
            is_error=True,
        )
    elif survey.layer.is_training and survey.is_whole and labels and max(labels) + 1 < n:
        yield Finding(
            f"{where}: has {n} classes, but the labels end at {max(labels)}. Set num_output: "
            f"{max(labels) + 1}, unless images of the other classes will follow."
        )


def input_findings(net: Net) -> Iterator[Finding]:
    """Yield findings about the values of the last batch of the data layers."""
    for step in net.steps:
        if not isinstance(step.layer, BatchLayer):
            continue
        values = step.top[0].data.get()
        if not np.isfinite(values).all():
            yield Finding(
                f"{step.layer.where}: the first batch has values that are NaN or infinite. Correct "
                "the data, the mean or scale.",
                is_error=True,
            )
        elif values.size > 1 and (values == values.flat[0]).all():
            yield Finding(
                f"{step.layer.where}: every value of the first batch is {values.flat[0]:g}. "
                "Correct scale and mean in transform_param, or the data.",
                is_error=True,
            )


def transform_findings(net: Net, test_nets: list[Net]) -> Iterator[Finding]:
    """Yield differences of mean and scale between the training and a test net."""
    training = {layer.param.top[0]: layer for layer in _data_layers(net)}
    for number, test_net in enumerate(test_nets):
        for layer in _data_layers(test_net):
            other = training.get(layer.param.top[0])
            if type(other) is not type(layer):  # another type may read other fields
                continue
            here, there = _value_settings(layer), _value_settings(other)
            for field in _VALUE_FIELDS:
                if here[field] != there[field]:
                    yield Finding(
                        f"{layer.where}: {field} is {here[field]} in test net #{number}, and "
                        f"{there[field]} in the training net, so that tests see other values. Give "
                        "both the same transform_param."
                    )


def _data_layers(net: Net) -> list[BatchLayer]:
    return [layer for layer in net.layers if isinstance(layer, BatchLayer)]


def transform_text(layer: BatchLayer) -> str:
    """Return the mean, the scale and the like of a data layer; "" if it has none."""
    given = {field.name for field, _ in layer.transformation(layer.param).ListFields()}
    settings = _value_settings(layer)
    return ", ".join(f"{field} {settings[field]}" for field in _VALUE_FIELDS if field in given)


def _value_settings(layer: BatchLayer) -> dict[str, str]:
    param = layer.transformation(layer.param)
    settings = {}
    for name in _VALUE_FIELDS:
        field, value = cast(Descriptor, param.DESCRIPTOR).fields_by_name[name], getattr(param, name)
        values = value if name == "mean_value" else [value]
        settings[name] = ", ".join(value_text(field, one) for one in values) or "not given"
    return settings


def value_range(values: HostArray) -> str:
    """Return the range and the mean of values as text."""
    return f"{values.min():.4g} to {values.max():.4g}, mean {values.mean(dtype=np.float64):.4g}"
