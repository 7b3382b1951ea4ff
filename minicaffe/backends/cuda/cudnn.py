"""Opening cuDNN: the graph API where it is installed, the older C API behind it."""

from __future__ import annotations

from minicaffe.backends.cuda import cudnn_legacy
from minicaffe.backends.cuda.cudnn_frontend import Frontend
from minicaffe.backends.cuda.cudnn_legacy import Legacy
from minicaffe.backends.cuda.plans import Dnn
from minicaffe.errors import BackendUnavailable
from minicaffe.log import logger

# Of device memory, for one plan.
WORKSPACE_LIMIT = 1 << 30


def open_cudnn(
    stream: int, *, is_deterministic: bool = False, workspace_limit: int = WORKSPACE_LIMIT
) -> tuple[Dnn, ...]:
    """Return the ways to reach cuDNN on the current device, the better one first.

    Without the graph API a line in the log says how to get it.

    Parameters
    ----------
    stream : int
        The CUDA stream that all plans run on.
    is_deterministic : bool
        Leave out plans whose sums may come in another order in the next run.
    workspace_limit : int
        Bytes; plans that need more are left out.

    Raises
    ------
    BackendUnavailable
        If cuDNN is not installed or does not start.
    """
    library = cudnn_legacy.load()
    legacy = Legacy(
        library, stream, is_deterministic=is_deterministic, workspace_limit=workspace_limit
    )
    try:
        frontend = Frontend.open(
            stream, is_deterministic=is_deterministic, workspace_limit=workspace_limit
        )
    except BackendUnavailable as error:
        logger.info(f"Using cuDNN's older API: {error}")
        return (legacy,)
    return (frontend, legacy)
