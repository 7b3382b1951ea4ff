"""Reduction of losses: sums of blocks, then their sum in a fixed order."""

from __future__ import annotations

from minicaffe.backends.cuda.backend import CudaBackend, CudaKernel
from minicaffe.backends.cuda.driver.device import THREADS, Address
from minicaffe.backends.cuda.runtime.tensor import CudaTensor
from minicaffe.ops.softmax import Normalization

MAX_BLOCKS = 1024


class LossSum(CudaKernel[None]):
    """The second step of a loss: reduces the sums of blocks and normalises.

    Parameters
    ----------
    backend : CudaBackend
    normalizer : float
        Divisor of the sum; 0: the number of counted items.
    """

    file = "_loss_sum"

    def __init__(self, backend: CudaBackend, normalizer: float) -> None:
        super().__init__(backend, None)
        self._normalizer = float(normalizer)
        self._inverse_normalizer = self.device.allocate(4)

    @staticmethod
    def normalizer(choice: Normalization, pixels: int, samples: int) -> float:
        """Return the divisor of a loss, 0 for "valid"; see `minicaffe.ops.softmax`."""
        if isinstance(choice, float):
            return choice
        if choice == "valid":
            return 0.0
        return float(max({"full": pixels, "batch_size": samples, "none": 1}[choice], 1))

    @property
    def inverse_normalizer(self) -> Address:
        """Address of 1 / divisor, valid after forward."""
        return self._inverse_normalizer.address

    def blocks(self, n: int, each: int = THREADS) -> int:
        """Return the number of blocks that sum n terms, of which a block takes `each` at a time."""
        return max(1, min(-(-n // each), MAX_BLOCKS))

    def block_sums(self, blocks: int) -> Address:
        """Return the address at which each block writes its loss and its count."""
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
