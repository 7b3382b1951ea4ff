from __future__ import annotations

import pytest

from minicaffe.backends import get_backend
from minicaffe.errors import BackendUnavailable


@pytest.fixture(scope="session")
def onednn():
    """The oneDNN backend, where its library loads."""
    try:
        return get_backend("onednn", threads=2)
    except BackendUnavailable as reason:
        pytest.skip(str(reason))
