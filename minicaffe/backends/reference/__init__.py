"""The reference backend: clear and correct, on NumPy.

Its kernels are written on ``xp``, so that an array module with NumPy's interface (CuPy) runs them
too. Other backends inherit from `ReferenceBackend` and override single kernels.

Importing this package imports all of its modules, and each registers its kernels.
"""

import minicaffe.backends.reference.kernels  # noqa: F401 - registers the kernels
from minicaffe.backends.reference.backend import ReferenceBackend

__all__ = ["ReferenceBackend"]
