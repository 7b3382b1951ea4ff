"""Fixtures of the tests of the board and of the service."""

import pytest
from processes import served


@pytest.fixture
def serve():
    """A function that starts a command which answers HTTP requests, as `served` does."""
    return served
