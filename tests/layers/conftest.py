"""The backends that the layer tests run on."""

from __future__ import annotations

import pytest

from probe import BACKEND_NAMES, backend_or_skip


@pytest.fixture(params=BACKEND_NAMES)
def backend(request):
    """Yield a new backend of each kind that can run here."""
    return backend_or_skip(request.param)
