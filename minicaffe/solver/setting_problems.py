"""Problems of a solver's settings that are known before its nets are built."""

from __future__ import annotations

from collections.abc import Iterator

from minicaffe.errors import nearest
from minicaffe.schema import SolverParameter
from minicaffe.solver.lr_policy import lr_policy_problems
from minicaffe.solver.rules import rule_problems
from minicaffe.solver.scores.average_precision import AP_VERSIONS

_NAMES = {"eval_type": ("classification", "detection"), "ap_version": tuple(AP_VERSIONS)}


def solver_problems(param: SolverParameter) -> Iterator[tuple[str, str]]:
    """Yield all problems: field and message."""
    yield from lr_policy_problems(param)
    yield from rule_problems(param)
    for field in ("keep_last", "patience"):
        if getattr(param, field) < 0:
            yield field, f"{field}: {getattr(param, field)}; it must not be negative"
    for field, known in _NAMES.items():
        value = getattr(param, field)
        if value not in known:
            yield field, f'{field}: "{value}" is unknown. {nearest(value, known)}'
