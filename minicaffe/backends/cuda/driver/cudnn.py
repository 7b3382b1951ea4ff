"""Opening cuDNN: the graph API where it is installed, the older C API behind it."""

from __future__ import annotations

from minicaffe.backends.cuda.driver.cudnn_frontend import Frontend
from minicaffe.backends.cuda.driver.cudnn_legacy import Legacy
from minicaffe.backends.cuda.driver.plans import Dnn
from minicaffe.errors import BackendUnavailable
from minicaffe.log import logger

# Of device memory, for one plan.
WORKSPACE_LIMIT = 1 << 30


def open_cudnn(
    stream: int, *, is_deterministic: bool = False, workspace_limit: int = WORKSPACE_LIMIT
) -> tuple[Dnn, ...]:
    """Return the ways to reach cuDNN on the current device, the better one first.

    Whatever cannot be reached is told in the log, with how to get it.

    Parameters
    ----------
    stream : int
        The CUDA stream that all plans run on.
    is_deterministic : bool
        Leave out plans whose sums may come in another order in the next run.
    workspace_limit : int
        Bytes; plans that need more are left out.

    Returns
    -------
    tuple of Dnn
        None where cuDNN is not installed or does not start.
    """
    found: list[Dnn] = []
    for opened in (Frontend.open, Legacy.open):
        try:
            found.append(
                opened(stream, is_deterministic=is_deterministic, workspace_limit=workspace_limit)
            )
        except BackendUnavailable as error:
            logger.info(f"Not all of cuDNN can be used: {error}")
    return tuple(found)
