"""What the settings of a data-parallel training require of each other."""

from __future__ import annotations

from collections.abc import Iterator

from minicaffe.errors import Problems, SolverError
from minicaffe.schema import SolverSource
from minicaffe.solver.parallel.settings import DataParallel


def check_parallel(source: SolverSource, parallel: DataParallel) -> None:
    """Raise a SolverError with all settings that contradict each other."""
    problems = Problems(SolverError)
    for text in _parallel_problems(source, parallel):
        problems.add(text)
    problems.raise_if_any()


def _parallel_problems(source: SolverSource, parallel: DataParallel) -> Iterator[str]:
    parts, size = parallel.summation_parts, parallel.communicator.size
    iter_size = source.param.iter_size
    if not parts:
        return
    if parts < 1 or parts & (parts - 1):
        yield (
            f"summation_parts must be a power of two, it is {parts}. "
            f"Use {' or '.join(map(str, _neighbours(parts)))}."
        )
    elif parts % size:
        yield (
            f"summation_parts is {parts}, which {size} processes cannot divide evenly. Start 1, 2, "
            "4 or another power of two of processes, at most as many as parts."
        )
    if iter_size > 1:
        yield (
            f"{source.where('iter_size')}: iter_size: {iter_size} cannot be used with "
            f"summation_parts: {parts}, because each part is computed in one pass. Remove "
            f"iter_size and use {iter_size} times as many summation_parts with as large a batch."
        )
    if parallel.gradient_type != "float32":
        yield (
            f"gradient_type {parallel.gradient_type} cannot be used with summation_parts: {parts}, "
            "because rounded sums depend on the number of processes. Remove one of them."
        )


def _neighbours(n: int) -> list[int]:
    """Return the powers of two around a number."""
    lower = 1 << max(0, n.bit_length() - 1)
    return [lower, 2 * lower] if n > 0 else [1]
