"""How much of the parameters enters their average after an update: ema_decay and swa_start.

==========  ===================================================================
setting     share of the parameters after the update of iteration i
==========  ===================================================================
ema_decay   1 - min(ema_decay, i / (i + 9))
swa_start   1 / (k + 1) if i + 1 = swa_start + k * swa_interval for a k >= 0,
            else 0
==========  ===================================================================

So the first average is the parameters themselves. Polyak and Juditsky, 1992; Izmailov et al.,
"Averaging weights leads to wider optima and better generalization", 2018. The limit i / (i + 9) is
that of TensorFlow's ExponentialMovingAverage with `num_updates`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from minicaffe.schema import SolverParameter


def averages_weights(param: SolverParameter) -> bool:
    """Return whether a solver keeps an average of the parameters."""
    return bool(param.ema_decay or param.swa_start)


def has_average(param: SolverParameter, n_updates: int) -> bool:
    """Return whether there is an average after so many updates."""
    return averages_weights(param) and n_updates >= max(1, param.swa_start)


def average_share(param: SolverParameter, iteration: int) -> float:
    """Return the share of the parameters in their average after the update of an iteration."""
    if param.ema_decay:
        return 1 - min(param.ema_decay, iteration / (iteration + 9))
    if not has_average(param, iteration + 1):
        return 0.0
    k, rest = divmod(iteration + 1 - param.swa_start, param.swa_interval)
    return 0.0 if rest else 1 / (k + 1)


def average_problems(param: SolverParameter) -> Iterator[tuple[str, str]]:
    """Yield the problems of a SolverParameter's averages: field and message."""
    if math.isfinite(param.ema_decay) and not 0 <= param.ema_decay < 1:
        yield "ema_decay", f"ema_decay must be at least 0 and below 1, it is {param.ema_decay:g}"
    for field, least in {"swa_start": 0, "swa_interval": 1}.items():
        if getattr(param, field) < least:
            yield field, f"{field} must be at least {least}, it is {getattr(param, field)}"
    if param.ema_decay and param.swa_start:
        yield "swa_start", "ema_decay and swa_start exclude each other; remove one of them"


def unread_average_fields(param: SolverParameter) -> Iterator[tuple[str, str]]:
    """Yield the fields of averages that have no effect: field and message."""
    if param.HasField("swa_interval") and not param.swa_start:
        yield (
            "swa_interval",
            "swa_interval has no effect without swa_start. Remove it, or set swa_start",
        )
    if param.swa_start > param.max_iter > 0:
        yield (
            "swa_start",
            f"swa_start: {param.swa_start} is larger than max_iter: {param.max_iter}, so that "
            "nothing is averaged. Lower it",
        )
