"""Detection of NaN and infinity, for kernels whose primitive loses them.

oneDNN compares with instructions that drop NaN: max pooling, ELU, PReLU and others then give finite
values. Such a kernel looks at its input first, and computes with the reference kernel if a value is
not finite. One pass over values that the primitive reads next anyway costs little. The C kernel
reads bfloat16 as it is stored; without it, NumPy reads float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.backends.onednn.runtime.memory import address_of
from minicaffe.backends.onednn.runtime.precision import VALUE_BYTES, value_type
from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor
from minicaffe.backends.reference.kernels.update import is_finite
from minicaffe.native.library import NativeFunction

if TYPE_CHECKING:
    from minicaffe.backends.onednn.backend import OneDnnBackend

# One thread looks at so many values in 60 microseconds, about as long as waking another takes.
MIN_VALUES_PER_THREAD = 1 << 20


def has_finite_values(backend: OneDnnBackend, x: OneDnnTensor) -> bool:
    """Return whether all values are finite; the padding of a packed layout is 0."""
    check = backend.native_function("check_finite")
    if check is not None:
        return _is_finite_in_c(check, backend, x)
    values = x.values(x.layout)
    threads = min(backend.threads, values.size // MIN_VALUES_PER_THREAD)
    if threads <= 1:
        return is_finite(np, values)
    parts = np.array_split(values, threads)
    found = [True] * threads

    def look(thread: int) -> None:
        found[thread] = is_finite(np, parts[thread])

    backend.spread(look, threads)
    return all(found)


def _is_finite_in_c(check: NativeFunction, backend: OneDnnBackend, x: OneDnnTensor) -> bool:
    stored = x.stored
    size_bytes, kind = stored.size_bytes, value_type(stored)
    threads = backend.engine.threads_for(size_bytes=size_bytes, keeps_bits=True)
    n = size_bytes // VALUE_BYTES[kind]
    return backend.engine.passes(check, address_of(x.source(stored)), kind, n, threads=threads)


def without_warnings(compute: Callable[..., None], *tensors: OneDnnTensor) -> None:
    """Call a function without NumPy's warnings; the solver warns of a loss that is not finite."""
    with np.errstate(all="ignore"):
        compute(*tensors)
