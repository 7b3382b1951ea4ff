import logging

import pytest

from minicaffe.log import logger


@pytest.fixture
def caplog_minicaffe(caplog):
    """Caplog for our logger, which does not propagate to the root."""
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, logger="minicaffe")
    yield caplog
    logger.removeHandler(caplog.handler)
