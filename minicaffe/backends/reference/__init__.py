"""The reference backend: readable NumPy kernels that define the correct values.

The kernels use the array module ``xp``, so that CuPy, which has NumPy's interface, runs them too.
Other backends derive from `ReferenceBackend` and override single kernels.

Importing this package imports all modules of `kernels`, which registers the kernels.
"""

import minicaffe.backends.reference.kernels  # noqa: F401 - registers the kernels
from minicaffe.backends.reference.backend import ReferenceBackend

__all__ = ["ReferenceBackend"]
