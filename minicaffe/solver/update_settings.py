"""Learning rate, weight decay and momentum of one update.

Weight decay and momentum follow NVCaffe's weight_decay_policy and momentum_policy:

========  ================================================================================
policy    value at iteration i
========  ================================================================================
fixed     weight_decay; momentum
poly      weight_decay * (i / max_iter) ^ weight_decay_power;
          momentum + (max_momentum - momentum) * (i / max_iter) ^ momentum_power
opt       (1 - sqrt(rate) / 2) ^ 2, at most max_momentum if that is set (momentum only)
onecycle  max_momentum - (max_momentum - momentum) * s, where s grows linearly from 0 to 1 in the
          warm-up of lr_policy "onecycle" and falls to 0 like its rate (momentum only)
========  ================================================================================

"onecycle" is not NVCaffe's: Smith, "A disciplined approach to neural network hyper-parameters",
2018, section 4.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from minicaffe.errors import nearest
from minicaffe.schema import SolverParameter
from minicaffe.solver.lr_policy import cycle_share, half_cosine, is_ramping, ramp_length

_MOMENTUM_POLICIES = ("fixed", "poly", "opt", "onecycle")
_DECAY_POLICIES = ("fixed", "poly")


class UpdateSettings(NamedTuple):
    """The settings of one update.

    Parameters
    ----------
    rate : float
        Learning rate, before lr_mult; a rule's correction included.
    decay : float
        Weight decay, before decay_mult; divided by the correction of a rule that decouples it.
    momentum : float
    average_share : float
        Of the updated parameters in their average; see `minicaffe.solver.averaging`.
    """

    rate: float
    decay: float = 0.0
    momentum: float = 0.0
    average_share: float = 0.0


def weight_decay(param: SolverParameter, iteration: int) -> float:
    """Return the weight decay of an iteration."""
    if param.weight_decay_policy == "fixed":
        return param.weight_decay
    return float(param.weight_decay * _share(param, iteration) ** param.weight_decay_power)


def momentum(param: SolverParameter, iteration: int, rate: float) -> float:
    """Return the momentum of an iteration with learning rate `rate`."""
    first, largest = param.momentum, param.max_momentum
    if param.momentum_policy == "poly":
        return float(first + (largest - first) * _share(param, iteration) ** param.momentum_power)
    if param.momentum_policy == "opt":
        best = (1 - math.sqrt(max(rate, 0.0)) / 2) ** 2
        return min(largest, best) if param.HasField("max_momentum") else best
    if param.momentum_policy == "onecycle":
        return float(largest - (largest - first) * _height_of_cycle(param, iteration))
    return first


def _height_of_cycle(param: SolverParameter, iteration: int) -> float:
    """Return 0 to 1 in the warm-up of lr_policy "onecycle", and 1 to 0 after it."""
    if is_ramping(param, iteration):
        return iteration / ramp_length(param)
    return half_cosine(cycle_share(param, iteration))


def _share(param: SolverParameter, iteration: int) -> float:
    return iteration / param.max_iter


def update_problems(param: SolverParameter) -> Iterator[tuple[str, str]]:
    """Yield the problems of a SolverParameter's policies of updates: field and message."""
    policies = {
        "momentum_policy": _MOMENTUM_POLICIES,
        "weight_decay_policy": _DECAY_POLICIES,
        "larc_policy": ("scale", "clip"),
    }
    for field, known in policies.items():
        policy = getattr(param, field)
        if policy not in known:
            yield field, f'{field}: "{policy}" is unknown. {nearest(policy, known)}'
        if policy == "poly" and param.max_iter < 1:
            yield field, f'{field}: "poly" needs max_iter, which is missing'
    if param.momentum_policy != "fixed" and param.type not in ("SGD", "Nesterov"):
        yield (
            "momentum_policy",
            f'momentum_policy is for type: "SGD" or "Nesterov", not "{param.type}"; remove it',
        )
    if param.momentum_policy == "onecycle" and param.lr_policy != "onecycle":
        yield (
            "momentum_policy",
            f'momentum_policy: "onecycle" follows lr_policy: "onecycle"; it is "{param.lr_policy}"',
        )
    if param.local_lr_auto and param.type == "AdamW":
        yield (
            "local_lr_auto",
            "local_lr_auto reckons with a weight decay that is part of the gradient, which that of "
            'type: "AdamW" is not; use larc or another type',
        )
    if param.larc and param.local_lr_auto:
        yield "local_lr_auto", "larc and local_lr_auto exclude each other; remove one of them"


def unread_update_fields(param: SolverParameter) -> Iterator[tuple[str, str]]:
    """Yield the fields that have no effect without another one: field and message."""
    readers = {
        "max_momentum": ("momentum_policy", param.momentum_policy != "fixed"),
        "momentum_power": ("momentum_policy", param.momentum_policy == "poly"),
        "weight_decay_power": ("weight_decay_policy", param.weight_decay_policy == "poly"),
        "larc_policy": ("larc", param.larc),
        "larc_eta": ("larc", param.larc),
        "local_gw_ratio": ("local_lr_auto", param.local_lr_auto),
    }
    for field, (reader, is_read) in readers.items():
        if param.HasField(field) and not is_read:
            yield field, f"{field} has no effect without {reader}. Remove it, or set {reader}"
