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
cosine      min_lr + (base_lr - min_lr) * (1 + cos(pi * t)) / 2
onecycle    a warm-up to base_lr, then a cosine to a rate near 0
==========  ==========================================================================

multifixed, plateau, min_lr and what follows are those of forks. Before the policy the rate may
grow, from warmup_start_lr to base_lr in warmup_iter iterations (Intel), linearly, or from rampup_lr
to base_lr in rampup_interval iterations (NVCaffe), with the square of the iteration. No rate is
below min_lr if that is set (NVCaffe).

cosine (Loshchilov and Hutter, "SGDR", 2017, equation 5): t is the share of a cycle that has passed,
0 to 1. A cycle goes from the end of the warm-up, or from a stepvalue, to the next stepvalue, and
the last one to max_iter. At a stepvalue the rate is base_lr again (a warm restart).

onecycle (Smith and Topin, "Super-Convergence", 2018; the shares and the cosine are those of fastai
and PyTorch): the warm-up is linear, takes 30 % of max_iter unless warmup_iter or rampup_interval is
given, and begins at base_lr / 25 unless warmup_start_lr or rampup_lr is given. The rate falls to
min_lr at max_iter, to base_lr / 250,000 if that is not given.
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
    "cosine": lambda p, i: p.min_lr + (p.base_lr - p.min_lr) * half_cosine(cycle_share(p, i)),
    "onecycle": lambda p, i: (
        _last_rate(p) + (p.base_lr - _last_rate(p)) * half_cosine(cycle_share(p, i))
    ),
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
    "cosine": ("max_iter",),
    "onecycle": ("max_iter",),
}
# The fields that a policy reads if they are given.
OPTIONAL: dict[str, tuple[str, ...]] = {"cosine": ("stepvalue",)}
# The fields whose iterations precede the policy, and the rates to begin with.
RAMPS = {"warmup_iter": "warmup_start_lr", "rampup_interval": "rampup_lr"}
# The policies that fall to min_lr at max_iter.
_FALLING = ("poly", "cosine", "onecycle")
# Of onecycle: the share of max_iter that the warm-up takes, and the divisors of base_lr that give
# the first rate and the last one.
_RISING_SHARE, _FIRST_DIVISOR, _LAST_DIVISOR = 0.3, 25, 250_000


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


def ramp_length(param: SolverParameter) -> int:
    """Return the number of iterations in which the rate grows to base_lr."""
    length = max(param.warmup_iter, param.rampup_interval)
    if param.lr_policy == "onecycle" and not length:
        return int(_RISING_SHARE * param.max_iter)
    return int(length)


def is_ramping(param: SolverParameter, iteration: int) -> bool:
    """Return whether the rate of an iteration precedes the policy."""
    return iteration < ramp_length(param)


def _ramp(param: SolverParameter, iteration: int) -> float:
    share = iteration / ramp_length(param)
    field = "rampup_lr" if param.rampup_interval else "warmup_start_lr"
    first = getattr(param, field)
    if param.lr_policy == "onecycle" and not param.HasField(field):
        first = param.base_lr / _FIRST_DIVISOR
    return float(first + (param.base_lr - first) * (share**2 if param.rampup_interval else share))


def half_cosine(share: float) -> float:
    """Return the half wave that falls from 1 to 0 while `share` grows from 0 to 1."""
    return (1 + math.cos(math.pi * min(share, 1.0))) / 2


def cycle_share(param: SolverParameter, iteration: int) -> float:
    """Return which share of its cycle an iteration after the warm-up has passed."""
    restarts = list(param.stepvalue) if param.lr_policy == "cosine" else []
    n_passed = bisect_right(restarts, iteration)
    start = max([ramp_length(param), *restarts[:n_passed]])
    end = [*restarts, param.max_iter][n_passed]
    return (iteration - start) / (end - start) if start < end else 1.0


def _last_rate(param: SolverParameter) -> float:
    """Return the rate of onecycle at max_iter."""
    is_given = param.HasField("min_lr")
    return float(param.min_lr if is_given else param.base_lr / _LAST_DIVISOR)


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
    if policy in _FALLING and param.HasField("max_iter") and param.max_iter < 1:
        yield (
            "max_iter",
            f'lr_policy: "{policy}" needs a max_iter of at least 1, it is {param.max_iter}',
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
    if param.lr_policy in _FALLING and param.min_lr > param.base_lr:
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
    reads = {name: (*NEEDS.get(name, ()), *OPTIONAL.get(name, ())) for name in POLICIES}
    fields = {name for read in reads.values() for name in read} - {"max_iter"}
    for field in sorted(fields.difference(reads.get(policy, ()))):
        if _is_given(param, field):
            readers = ", ".join(name for name, read in reads.items() if field in read)
            yield (
                field,
                f'{field} has no effect with lr_policy: "{policy}". Remove it, or use a policy '
                f"that reads it: {readers}",
            )
    for needed, field in RAMPS.items():
        # The warm-up of onecycle is there without warmup_iter.
        is_read = getattr(param, needed) or (policy, field) == ("onecycle", "warmup_start_lr")
        if param.HasField(field) and not is_read:
            yield field, f"{field} has no effect without {needed}. Remove it, or set {needed}"


def _is_given(param: SolverParameter, field: str) -> bool:
    return any(field == found.name for found, _ in param.ListFields())
