"""The backends that the layer tests run on."""

from __future__ import annotations

import pytest

from minicaffe.errors import BackendUnavailable
from probe import BACKEND_NAMES, make_backend


@pytest.fixture(params=BACKEND_NAMES)
def backend(request):
    """Yield a new backend of each kind that can run here."""
    try:
        return make_backend(request.param)
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
