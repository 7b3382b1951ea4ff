"""Settings of layers that nothing reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from minicaffe.fillers import unread_filler_fields
from minicaffe.schema import FillerParameter, LayerParameter


def unread_fields(
    param: LayerParameter, type_name: str, own: str, shared: Sequence[str]
) -> Iterator[str]:
    """Yield a sentence about each setting of a layer that its type does not read.

    Parameters
    ----------
    param : LayerParameter
    type_name : str
    own : str
        The field with the settings of the type.
    shared : sequence of str
        Further fields that it reads.
    """
    for field, value in param.ListFields():
        if field.name.endswith("_param") and field.name not in (own, *shared):
            yield f"{field.name} has no effect, because {type_name} does not read it. Remove it."
        elif field.name == own:
            yield from _unread_bias(own, value)
            yield from _unread_of_fillers(own, value)


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
