"""Table of the seven solver types: update rule, its settings and its number of history blobs.

The arithmetic is an op (`minicaffe.ops.update`); a solver type adds its name, the number of history
blobs for each parameter and the fields that it reads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

from minicaffe.errors import nearest
from minicaffe.ops.update import Update
from minicaffe.schema import SolverParameter
from minicaffe.solver.lr_policy import non_finite_fields
from minicaffe.solver.update_settings import unread_update_fields, update_problems


@dataclass(frozen=True)
class Rule:
    """One solver type.

    Parameters
    ----------
    type : str
        The name in the solver's `type` field.
    n_history : int
        History blobs for each parameter. A .solverstate holds the first of all parameters, then
        the second of all parameters.
    op : callable
        Returns the op for a SolverParameter.
    correction : callable
        Factor of the rate at the n-th update (counted from 1).
    uses_momentum : bool
        Whether the rule reads `momentum`.
    averages : tuple of str
        Fields that are the weight of the past in a running average.
    reads : tuple of str
        Further fields that only some rules read.
    decay_is_decoupled : bool
        Whether the decay changes the parameters directly, by rate * decay, so that the correction
        of the rate must not change it.
    """

    type: str
    n_history: int
    op: Callable[[SolverParameter], Update]
    correction: Callable[[SolverParameter, int], float] = lambda param, n: 1.0
    uses_momentum: bool = True
    averages: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    decay_is_decoupled: bool = False


def _regularization(param: SolverParameter) -> Literal["L1", "L2"]:
    return "L1" if param.regularization_type == "L1" else "L2"


def _bias_correction(param: SolverParameter, n: int) -> float:
    """Undo that Adam's averages begin at zero (Kingma and Ba, 2015, section 3)."""
    return float(math.sqrt(1 - param.momentum2**n) / (1 - param.momentum**n))


def _adam(p: SolverParameter) -> Update:
    return Update("adam", _regularization(p), p.momentum, p.momentum2, p.delta)


def _adamw(p: SolverParameter) -> Update:
    return replace(_adam(p), rule="adamw")


RULES = {
    rule.type: rule
    for rule in (
        Rule("SGD", 1, lambda p: Update("sgd", _regularization(p), p.momentum)),
        Rule("Nesterov", 1, lambda p: Update("nesterov", _regularization(p), p.momentum)),
        Rule(
            "AdaGrad",
            1,
            lambda p: Update("adagrad", _regularization(p), delta=p.delta),
            uses_momentum=False,
            reads=("delta",),
        ),
        Rule(
            "RMSProp",
            1,
            lambda p: Update("rmsprop", _regularization(p), decay2=p.rms_decay, delta=p.delta),
            uses_momentum=False,
            averages=("rms_decay",),
            reads=("rms_decay", "delta"),
        ),
        Rule(
            "AdaDelta",
            2,
            lambda p: Update("adadelta", _regularization(p), p.momentum, delta=p.delta),
            reads=("delta",),
        ),
        Rule(
            "Adam",
            2,
            _adam,
            correction=_bias_correction,
            averages=("momentum", "momentum2"),
            reads=("momentum2", "delta"),
        ),
        Rule(
            "AdamW",
            2,
            _adamw,
            correction=_bias_correction,
            averages=("momentum", "momentum2"),
            reads=("momentum2", "delta"),
            decay_is_decoupled=True,
        ),
    )
}


_FLOATS = [
    field.name
    for field in SolverParameter.DESCRIPTOR.fields
    if field.cpp_type == field.CPPTYPE_FLOAT
]


def rule_problems(param: SolverParameter) -> Iterator[tuple[str, str]]:
    """Yield the problems of a SolverParameter's type and numbers: field and message."""
    rule = RULES.get(param.type)
    if rule is None:
        yield "type", f'unknown solver type "{param.type}". {nearest(param.type, RULES)}'
    elif param.momentum and not rule.uses_momentum:
        yield "momentum", f"momentum: {param.momentum:g} cannot be used with {rule.type}; remove it"
    for field in rule.averages if rule is not None else ():
        if math.isfinite(getattr(param, field)) and not 0 <= getattr(param, field) < 1:
            value = getattr(param, field)
            yield field, f"{field} must be at least 0 and below 1, it is {value:g}"
    # With an infinite limit, and with NaN as in Caffe, nothing is clipped.
    excepted = "" if param.clip_gradients == -math.inf else "clip_gradients"
    yield from non_finite_fields(param, (field for field in _FLOATS if field != excepted))
    yield from update_problems(param)
    fewest = {"iter_size": 1, "average_loss": 1, "max_iter": 0, "snapshot": 0, "display": 0}
    for field, least in fewest.items():
        if getattr(param, field) < least:
            yield field, f"{field} must be at least {least}, it is {getattr(param, field)}"
    kind = param.regularization_type
    if kind not in ("L1", "L2"):
        yield "regularization_type", f'unknown regularization_type "{kind}". Known: L1, L2.'


def unread_rule_fields(param: SolverParameter) -> Iterator[tuple[str, str]]:
    """Yield the fields that the solver type does not read, but others do: field and message."""
    for field in ("momentum2", "rms_decay", "delta"):
        if param.HasField(field) and field not in RULES[param.type].reads:
            readers = ", ".join(rule.type for rule in RULES.values() if field in rule.reads)
            yield (
                field,
                f'{field} has no effect with type: "{param.type}". Remove it, or use a type that '
                f"reads it: {readers}",
            )
    if param.HasField("regularization_type") and not param.weight_decay:
        yield (
            "regularization_type",
            "regularization_type has no effect without weight_decay. Set weight_decay",
        )
    yield from unread_update_fields(param)
