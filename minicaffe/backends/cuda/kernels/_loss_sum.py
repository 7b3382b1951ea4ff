"""Losses as sums over blocks, brought together in a fixed order."""

from __future__ import annotations

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel
from minicaffe.backends.cuda.driver.device import THREADS, Address
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.softmax import Normalization

MAX_BLOCKS = 1024


class LossSum(CudaKernel):
    """Memory for the sums of blocks, and the kernel that makes a loss of them.

    Parameters
    ----------
    backend : CudaBackend
    normalizer : float
        What the sum is divided by; 0: how much counted.
    """

    file = "_loss_sum"

    def __init__(self, backend: CudaBackend, normalizer: float) -> None:
        super().__init__(backend, None)
        self._normalizer = float(normalizer)
        self._inverse_normalizer = self.device.allocate(4)

    @staticmethod
    def normalizer(choice: Normalization, pixels: int, samples: int) -> float:
        """Return what a loss is divided by, 0 for "valid"; see `minicaffe.ops.softmax`."""
        if choice == "valid":
            return 0.0
        return float(max({"full": pixels, "batch_size": samples, "none": 1}[choice], 1))

    @property
    def inverse_normalizer(self) -> Address:
        """Where 1 / what was divided by is found after forward."""
        return self._inverse_normalizer.address

    def blocks(self, n: int, each: int = THREADS) -> int:
        """Return how many blocks sum n terms, `each` of them at once in a block."""
        return max(1, min(-(-n // each), MAX_BLOCKS))

    def block_sums(self, blocks: int) -> Address:
        """Return where each block writes its loss and how much counted."""
        return self.scratch(8 * blocks, "loss")

    def finish(self, blocks: int, loss: CudaTensor) -> None:
        """Overwrite the loss."""
        to = loss.target()
        self.function("reduce_loss")(
            1,
            THREADS,
            self.block_sums(blocks),
            blocks,
            self._normalizer,
            to,
            self.inverse_normalizer,
        )
