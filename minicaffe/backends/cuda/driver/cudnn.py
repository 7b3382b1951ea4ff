"""Open cuDNN: the graph API if it is installed, then the legacy C API."""

from __future__ import annotations

from minicaffe.backends.cuda.driver.cudnn_frontend import Frontend
from minicaffe.backends.cuda.driver.cudnn_legacy import Legacy
from minicaffe.backends.cuda.driver.plans import Dnn, PlanLimits
from minicaffe.errors import BackendUnavailable
from minicaffe.log import logger


def open_cudnn(stream: int, limits: PlanLimits) -> tuple[Dnn, ...]:
    """Return the available APIs of cuDNN on the current device, the preferred one first.

    For an API that is not available, the log states the reason and how to install it.

    Parameters
    ----------
    stream : int
        The CUDA stream of all plans.
    limits : PlanLimits

    Returns
    -------
    tuple of Dnn
        Empty if cuDNN is not installed or cannot be initialised.
    """
    found: list[Dnn] = []
    for opened in (Frontend.open, Legacy.open):
        try:
            found.append(opened(stream, limits))
        except BackendUnavailable as error:
            logger.info(f"Not all of cuDNN can be used: {error}")
    return tuple(found)
