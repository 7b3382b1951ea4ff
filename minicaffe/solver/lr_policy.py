"""Learning-rate policies: the rate as a function of the iteration.

=========  ==========================================================================
policy     rate at iteration i
=========  ==========================================================================
fixed      base_lr
step       base_lr * gamma ^ floor(i / stepsize)
exp        base_lr * gamma ^ i
inv        base_lr * (1 + gamma * i) ^ -power
multistep  base_lr * gamma ^ (how many of the stepvalues have been reached)
poly       base_lr * (1 - i / max_iter) ^ power
sigmoid    base_lr / (1 + exp(-gamma * (i - stepsize)))
=========  ==========================================================================
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator

from minicaffe.errors import nearest
from minicaffe.schema import SolverParameter

Policy = Callable[[SolverParameter, int], float]


def _sigmoid(x: float) -> float:
    """Return 1 / (1 + exp(-x)); the exponential cannot overflow."""
    small = math.exp(-abs(x))
    return 1 / (1 + small) if x >= 0 else small / (1 + small)


POLICIES: dict[str, Policy] = {
    "fixed": lambda p, i: p.base_lr,
    "step": lambda p, i: p.base_lr * p.gamma ** (i // p.stepsize),
    "exp": lambda p, i: p.base_lr * p.gamma**i,
    "inv": lambda p, i: p.base_lr * (1 + p.gamma * i) ** -p.power,
    "multistep": lambda p, i: p.base_lr * p.gamma ** steps_reached(p, i),
    # The last forward pass of a run asks for the rate at max_iter; beyond it the rate stays 0.
    "poly": lambda p, i: p.base_lr * max(0.0, 1 - i / p.max_iter) ** p.power,
    "sigmoid": lambda p, i: p.base_lr * _sigmoid(p.gamma * (i - p.stepsize)),
}
# The fields that each policy requires besides base_lr.
NEEDS: dict[str, tuple[str, ...]] = {
    "step": ("gamma", "stepsize"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "multistep": ("gamma", "stepvalue"),
    "poly": ("power", "max_iter"),
    "sigmoid": ("gamma", "stepsize"),
}


def learning_rate(param: SolverParameter, iteration: int) -> float:
    """Return the rate that a SolverParameter sets for an iteration.

    The parameter must have no `lr_policy_problems`. As in C, a power that overflows is infinite,
    and one of a negative number is NaN.
    """
    try:
        rate = POLICIES[param.lr_policy](param, iteration)
    except (OverflowError, ZeroDivisionError):
        return math.inf
    return math.nan if isinstance(rate, complex) else float(rate)


def steps_reached(param: SolverParameter, iteration: int) -> int:
    """Return how many stepvalues an iteration has reached."""
    return bisect_right(list(param.stepvalue), iteration)


def current_step(param: SolverParameter, iteration: int) -> int:
    """Return how often the rate was lowered before an iteration, as a .solverstate counts."""
    last = max(0, iteration - 1)
    if param.lr_policy == "multistep":
        return steps_reached(param, last)
    return last // int(param.stepsize) if param.lr_policy == "step" else 0


def lr_policy_problems(param: SolverParameter) -> Iterator[tuple[str, str]]:
    """Yield the problems of a SolverParameter's learning rate: field and message."""
    policy = param.lr_policy
    if not param.HasField("base_lr"):
        yield "", "base_lr is missing; it is the learning rate to begin with"
    if policy not in POLICIES:
        what = f'lr_policy: "{policy}" is unknown' if policy else "lr_policy is missing"
        yield "lr_policy", f"{what}. {nearest(policy, POLICIES)}"
    yield from non_finite_fields(param, ("base_lr", "gamma", "power"))
    for field in NEEDS.get(policy, ()):
        if not _is_given(param, field):
            yield "lr_policy", f'lr_policy: "{policy}" needs {field}, which is missing'
    if policy == "step" and param.HasField("stepsize") and param.stepsize < 1:
        yield "stepsize", f"stepsize must be at least 1, it is {param.stepsize}"
    if policy == "poly" and param.HasField("max_iter") and param.max_iter < 1:
        yield (
            "max_iter",
            f'lr_policy: "poly" needs a max_iter of at least 1, it is {param.max_iter}',
        )
    if list(param.stepvalue) != sorted(param.stepvalue):
        yield "stepvalue", f"stepvalues must ascend; they are {list(param.stepvalue)}"


def non_finite_fields(param: SolverParameter, fields: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield those of some fields that are NaN or infinite: field and message."""
    for field in fields:
        value = getattr(param, field)
        if not math.isfinite(value):
            yield field, f"{field} must be a finite number, it is {value:g}"


def unread_rate_fields(param: SolverParameter) -> Iterator[tuple[str, str]]:
    """Yield the fields that lr_policy does not read, but others do: field and message."""
    policy = param.lr_policy
    fields = {name for needed in NEEDS.values() for name in needed} - {"max_iter"}
    for field in sorted(fields.difference(NEEDS.get(policy, ()))):
        if _is_given(param, field):
            readers = ", ".join(name for name, needed in NEEDS.items() if field in needed)
            yield (
                field,
                f'{field} has no effect with lr_policy: "{policy}". Remove it, or use a policy '
                f"that reads it: {readers}",
            )


def _is_given(param: SolverParameter, field: str) -> bool:
    return bool(param.stepvalue) if field == "stepvalue" else bool(param.HasField(field))
