import logging
import signal
import sys

import pytest

from emulator import EmulatedDevice, reason_to_skip
from minicaffe.log import logger


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    """Keep tuning results of the emulated GPU out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINICAFFE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def _sighup_is_not_ignored():
    """Test programs as without nohup, in which they draw no progress line."""
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def caplog_minicaffe(caplog):
    """Caplog for minicaffe's logger, which does not propagate to the root."""
    logger.addHandler(caplog.handler)
    caplog.set_level(logging.INFO, logger="minicaffe")
    yield caplog
    logger.removeHandler(caplog.handler)


@pytest.fixture
def emulated_device(pytestconfig):
    """A GPU emulated on the CPU; out-of-bounds writes of kernels fail the test at its end."""
    reason = reason_to_skip()
    if reason:
        pytest.skip(reason)
    device = EmulatedDevice(pytestconfig.cache.mkdir("emulated_kernels"))
    yield device
    device.check()
