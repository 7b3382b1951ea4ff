"""Warnings of settings in a net that nothing reads, so that they have no effect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from minicaffe.errors import near
from minicaffe.layers import Layer
from minicaffe.log import logger
from minicaffe.schema import NetSource, NetState, NetStateRule
from minicaffe.schema.without_effect import sentence_about_fields_without_effect

_MOST_NAMES = 10  # of layers in a warning


def warn_of_unread_settings(source: NetSource, state: NetState, layers: Sequence[Layer]) -> None:
    """Warn of the fields of layers, and of the stages and the level, that nothing reads.

    Parameters
    ----------
    source : NetSource
        The net as read, with the rules of all its layers.
    state : NetState
        What the rules are compared with.
    layers : sequence of Layer
        Those that the rules have left.
    """
    if sentence := sentence_about_fields_without_effect(source.param):
        logger.warning(f"{source.where()}: {sentence}")
    alike: dict[str, list[Layer]] = {}
    for layer in layers:
        for sentence in layer.unread_settings(layer.param):
            alike.setdefault(sentence, []).append(layer)
    for sentence, (first, *others) in alike.items():
        names = ", ".join(f'"{layer.name}"' for layer in others[:_MOST_NAMES])
        rest = f" and {len(others) - _MOST_NAMES} more" if len(others) > _MOST_NAMES else ""
        logger.warning(
            f"{first.where}: {sentence}" + (f" Likewise in {names}{rest}." if names else "")
        )
    rules = list(_rules(source))
    known = {name for rule in rules for name in (*rule.stage, *rule.not_stage)}
    for stage in state.stage:
        if stage and stage not in known:
            what = f'no rule of a layer names the stage "{stage}", so that it has no effect'
            logger.warning(f"{source.where()}: {what}. {_known_stages(stage, known)}")
    if state.level and not any(r.HasField("min_level") or r.HasField("max_level") for r in rules):
        logger.warning(
            f"{source.where()}: no rule of a layer has min_level or max_level, so that level "
            f"{state.level} has no effect. Remove it, or add the rules."
        )


def _rules(source: NetSource) -> Iterator[NetStateRule]:
    for layer in source.param.layer:
        yield from layer.include
        yield from layer.exclude


def _known_stages(stage: str, known: Iterable[str]) -> str:
    names = sorted(known)
    if not names:
        return "Remove it, or add include { stage: ... } to layers."
    return " ".join(filter(None, (near(stage, names), f"Known: {', '.join(names)}.")))
