"""Settings of layers that nothing reads."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from minicaffe.fillers import unread_filler_fields
from minicaffe.schema import FillerParameter, LayerParameter
from minicaffe.schema.without_effect import is_without_effect


def unread_fields(
    param: LayerParameter,
    kind: str,
    own_field: str,
    shared_fields: Collection[str],
    quantized_kind: str,
) -> Iterator[str]:
    """Yield a sentence about each setting of a layer that its type does not read.

    Parameters
    ----------
    param : LayerParameter
    kind : str
        The type.
    own_field : str
        The field with the type's message, "" if it has none.
    shared_fields : collection of str
        Further fields that it reads.
    quantized_kind : str
        The type that computes the same by quantization_param, "" if there is none.
    """
    for field, value in param.ListFields():
        if is_without_effect(field):
            continue  # one line about the file names it
        if field.name == own_field:
            yield from _unread_bias(field.name, value)
            yield from _unread_of_fillers(field.name, value)
        elif field.name.endswith("_param") and field.name not in shared_fields:
            is_known = quantized_kind and field.name == "quantization_param"
            fix = f"Set type: {quantized_kind}, or remove it." if is_known else "Remove it."
            yield f"{field.name} has no effect, because {kind} does not read it. {fix}"


# Settings of forks that change results and are not computed, with their only value.
_ONLY_VALUES: dict[str, dict[str, object]] = {
    "accuracy_param": {"min_is_better": False},
    "ctc_loss_param": {
        "output_delay": 0,
        "preprocess_collapse_repeated": False,
        "loss_calculation_t": 0,
    },
    "eval_detection_param": {"constriant": True},
    "softmax_param": {"normalize_type": "Softmax"},
}


def uncomputed_settings(param: LayerParameter) -> Iterator[str]:
    """Yield a sentence about each setting of a fork that no layer computes."""
    for block, fields in _ONLY_VALUES.items():
        for field, only in fields.items():
            value = getattr(getattr(param, block), field)
            if value != only:
                yield f"{block} {{ {field}: {value} }}, of a fork, is not computed; remove it"


# Any: a message of one of several types.
def _unread_bias(field: str, settings: Any) -> Iterator[str]:
    """Yield a sentence about a bias_filler without a bias."""
    names = settings.DESCRIPTOR.fields_by_name
    has_both = "bias_term" in names and "bias_filler" in names
    if has_both and settings.HasField("bias_filler") and not settings.bias_term:
        yield f"{field}.bias_filler has no effect without a bias. Set bias_term: true."


# Any: a message of one of several types.
def _unread_of_fillers(field: str, settings: Any) -> Iterator[str]:
    """Yield a sentence about each setting of a filler that the filler's type does not read."""
    for name, value in settings.ListFields():
        if isinstance(value, FillerParameter):
            for unread in unread_filler_fields(value):
                yield (
                    f'{field}.{name.name}.{unread} has no effect: the filler "{value.type}" does '
                    "not read it. Remove it, or choose another type."
                )
