"""Dynamic loss scaling for float16 gradients, which underflow below 6e-8.

A float16 gradient is stored multiplied by the scale. A float32 gradient is unscaled, so that all
code except native kernels reads true gradients. Kernels are linear in gradients and ignore the
scale, except where a gradient changes its type: conversions, losses that write float16, and sums of
float16 values that are added to parameter gradients, which are always float32.

The scale adapts during training (Micikevicius et al., "Mixed precision training", ICLR 2018),
entirely on the device. An update checks the gradients first. If one is not finite, the update is
skipped and the scale is halved; after enough finite updates in a row it is doubled. At scale 1 the
scale cannot be the cause: the update is applied, and the training has diverged. The scale is a
power of two, so multiplying by it does not round.

Tensors may hold gradients of an earlier pass when an update changes the scale. Therefore the new
scale takes effect when the next pass converts its first gradient to float16.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from minicaffe.backends.cuda.driver.device import Address, Device

# Layout of struct LossScale in kernels/_common.cuh; cuBLAS reads the last two as alpha and beta.
FIELDS = {
    "next": "f4", "inverse": "f4", "n_good": "i4", "is_bad": "i4", "zero": "f4", "one": "f4",
}  # fmt: skip
TYPE = np.dtype(list(FIELDS.items()))
# Below the scale that most nets tolerate, because a skipped step costs more than the bits that are
# gained when the scale grows.
FIRST = 1024.0


class LossScale:
    """The loss scale, shared by all nets of a backend.

    Parameters
    ----------
    device : Device
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self._memory = device.allocate(TYPE.itemsize)
        self._upload(FIRST, 0)

    @property
    def address(self) -> Address:
        """Device address of struct LossScale."""
        return self._memory.address

    @property
    def inverse(self) -> Address:
        """Device address of 1 / scale for gradients that are already in float16."""
        return self._field("inverse")

    def number(self, value: float) -> Address:
        """Return the device address of the constant 0 or 1."""
        return self._field("one" if value else "zero")

    def state(self) -> dict[str, float]:
        """Return the state for exact resuming (JSON types only); waits for the device."""
        values = np.zeros(TYPE.itemsize, np.uint8)
        self._device.download(self.address, values)
        found = values.view(TYPE)[0]
        return {"loss_scale": float(found["next"]), "good_updates": int(found["n_good"])}

    def restore(self, state: Mapping[str, float]) -> None:
        """Restore what `state` returned in an earlier run."""
        self._upload(float(state["loss_scale"]), int(state["good_updates"]))

    def _upload(self, scale: float, n_good: int) -> None:
        values = np.array([(scale, 1 / scale, n_good, 0, 0, 1)], TYPE)
        self._device.upload(self.address, values.view(np.uint8))

    def _field(self, field: str) -> Address:
        return self.address + 4 * list(FIELDS).index(field)


def scale_address(scale: LossScale | None) -> Address:
    """Return the struct's address, for a kernel that converts gradients to or from float16."""
    return Address(0) if scale is None else scale.address


def inverse_scale_address(scale: LossScale | None) -> Address:
    """Return the address of the factor that unscales a sum of float16 gradients."""
    return Address(0) if scale is None else scale.inverse
