"""The reference backend: clear and correct, on NumPy.

Its kernels are written on ``xp``, so that an array module with NumPy's interface (CuPy) runs them
too. Other backends inherit from `ReferenceBackend` and override single kernels.
"""

from minicaffe.backends.reference import (  # noqa: F401 - importing a module registers its kernels
    accuracy,
    activation,
    arg_max,
    concat,
    conv,
    crop,
    dropout,
    eltwise,
    embed,
    im2col,
    inner_product,
    layout,
    pool,
    recurrent,
    reduction,
    rows,
    softmax,
    tile,
    update,
)
from minicaffe.backends.reference.backend import ReferenceBackend

__all__ = ["ReferenceBackend"]
