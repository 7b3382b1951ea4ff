"""Learning-rate policies: the rate as a function of the iteration.

==========  ==========================================================================
policy      rate at iteration i
==========  ==========================================================================
fixed       base_lr
step        base_lr * gamma ^ floor(i / stepsize)
exp         base_lr * gamma ^ i
inv         base_lr * (1 + gamma * i) ^ -power
multistep   base_lr * gamma ^ (how many of the stepvalues have been reached)
poly        min_lr + (base_lr - min_lr) * (1 - i / max_iter) ^ power
sigmoid     base_lr / (1 + exp(-gamma * (i - stepsize)))
multifixed  stagelr of the first stage whose stageiter is at least i, else of the last
plateau     base_lr * gamma ^ (how often the loss stopped falling: see `Plateau`)
==========  ==========================================================================

The last two, min_lr and what follows are those of forks. Before the policy the rate may grow, from
warmup_start_lr to base_lr in warmup_iter iterations (Intel), linearly, or from rampup_lr to base_lr
in rampup_interval iterations (NVCaffe), with the square of the iteration. No rate is below min_lr
if that is set (NVCaffe).
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence

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
    "poly": lambda p, i: (
        p.min_lr + (p.base_lr - p.min_lr) * max(0.0, 1 - i / p.max_iter) ** p.power
    ),
    "sigmoid": lambda p, i: p.base_lr * _sigmoid(p.gamma * (i - p.stepsize)),
    "multifixed": lambda p, i: p.stagelr[
        min(bisect_left(list(p.stageiter), i), len(p.stagelr) - 1)
    ],
    "plateau": lambda p, i: p.base_lr,
}
# The fields that each policy requires besides base_lr.
NEEDS: dict[str, tuple[str, ...]] = {
    "step": ("gamma", "stepsize"),
    "exp": ("gamma",),
    "inv": ("gamma", "power"),
    "multistep": ("gamma", "stepvalue"),
    "poly": ("power", "max_iter"),
    "sigmoid": ("gamma", "stepsize"),
    "multifixed": ("stagelr", "stageiter"),
    "plateau": ("gamma", "plateau_winsize"),
}
# The fields whose iterations precede the policy, and the rates to begin with.
RAMPS = {"warmup_iter": "warmup_start_lr", "rampup_interval": "rampup_lr"}


def learning_rate(param: SolverParameter, iteration: int, reductions: int = 0) -> float:
    """Return the rate that a SolverParameter sets for an iteration.

    The parameter must have no `lr_policy_problems`. As in C, a power that overflows is infinite,
    and one of a negative number is NaN.

    Parameters
    ----------
    param : SolverParameter
    iteration : int
    reductions : int
        Those of lr_policy "plateau" so far.
    """
    try:
        if is_ramping(param, iteration):
            rate = _ramp(param, iteration)
        else:
            rate = POLICIES[param.lr_policy](param, iteration) * param.gamma**reductions
    except (OverflowError, ZeroDivisionError):
        return math.inf
    if isinstance(rate, complex):
        return math.nan
    return max(float(rate), param.min_lr) if param.HasField("min_lr") else float(rate)


def is_ramping(param: SolverParameter, iteration: int) -> bool:
    """Return whether the rate of an iteration precedes the policy."""
    return iteration < max(param.warmup_iter, param.rampup_interval)


def _ramp(param: SolverParameter, iteration: int) -> float:
    if param.warmup_iter:
        share, first = iteration / param.warmup_iter, param.warmup_start_lr
    else:
        share, first = (iteration / param.rampup_interval) ** 2, param.rampup_lr
    return float(first + (param.base_lr - first) * share)


def steps_reached(param: SolverParameter, iteration: int) -> int:
    """Return how many stepvalues an iteration has reached."""
    return bisect_right(list(param.stepvalue), iteration)


def current_step(param: SolverParameter, iteration: int, reductions: int = 0) -> int:
    """Return how often the rate was lowered before an iteration, as a .solverstate counts."""
    if param.lr_policy == "plateau":
        return reductions
    last = max(0, iteration - 1)
    if param.lr_policy == "multistep":
        return steps_reached(param, last)
    return last // int(param.stepsize) if param.lr_policy == "step" else 0


def lr_policy_problems(param: SolverParameter) -> Iterator[tuple[str, str]]:
    """Yield the problems of a SolverParameter's learning rate: field and message."""
    policy = param.lr_policy
    ramps = [field for field in RAMPS if getattr(param, field)]
    if not param.HasField("base_lr") and (policy != "multifixed" or ramps):
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
    for field in ("stepvalue", "stageiter"):
        values = list(getattr(param, field))
        if values != sorted(values):
            yield field, f"{field}s must ascend; they are {values}"
    yield from _fork_problems(param, ramps)


def _fork_problems(param: SolverParameter, ramps: Sequence[str]) -> Iterator[tuple[str, str]]:
    if param.stagelr and param.stageiter and len(param.stagelr) != len(param.stageiter):
        yield (
            "stagelr",
            f"there are {len(param.stagelr)} stagelr and {len(param.stageiter)} stageiter; give "
            "as many of both",
        )
    if len(ramps) > 1:
        yield "rampup_interval", "warmup_iter and rampup_interval exclude each other; remove one"
    for field in (*RAMPS, "min_lr"):
        if -math.inf < getattr(param, field) < 0:
            yield field, f"{field} must be at least 0, it is {getattr(param, field):g}"
    if any(size < 1 for size in param.plateau_winsize):
        sizes = list(param.plateau_winsize)
        yield "plateau_winsize", f"plateau_winsizes must be at least 1; they are {sizes}"
    if param.lr_policy == "poly" and param.min_lr > param.base_lr:
        yield (
            "min_lr",
            f"min_lr: {param.min_lr:g} is larger than base_lr: {param.base_lr:g}; lower it",
        )


def horizon(param: SolverParameter) -> int:
    """Return the number of iterations of a schedule; 0 if the solver does not tell.

    Without max_iter (py-faster-rcnn and others call `step` themselves) it goes a quarter beyond
    the last of stepvalue or stageiter, or to 3 times stepsize.
    """
    last = max([*param.stepvalue, *param.stageiter], default=0)
    return int(param.max_iter or last * 5 // 4 or 3 * param.stepsize)


def non_finite_fields(param: SolverParameter, fields: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield those of some fields that are NaN or infinite: field and message."""
    for field in fields:
        found = getattr(param, field)
        for value in [found] if isinstance(found, float) else found:
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
    for needed, field in RAMPS.items():
        if param.HasField(field) and not getattr(param, needed):
            yield field, f"{field} has no effect without {needed}. Remove it, or set {needed}"


def _is_given(param: SolverParameter, field: str) -> bool:
    return any(field == found.name for found, _ in param.ListFields())
