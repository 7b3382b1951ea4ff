"""The scale of gradients in float16, where anything below 6e-8 is lost, and gradients often are.

A gradient in float16 is held times the scale. In float32 it is the true one, so that everybody but
native kernels sees true gradients. Kernels are linear in gradients and know nothing of this, but
where a gradient changes its type: conversions, losses that write float16, and sums of float16 that
are added to the gradients of parameters, which are always float32.

The scale changes as training goes on (Micikevicius et al., "Mixed precision training", ICLR 2018),
all on the device. An update looks at the gradients first. If one is not finite, it changes nothing
but the scale, which is halved; after enough good updates it is doubled. Once the scale is 1 it
cannot be to blame: then the update is made, and the training has diverged. A scale is a power of
two, so it rounds nothing.

Tensors may hold gradients of an earlier pass when an update changes the scale. So the new one is
only taken up when the next pass brings its first gradient into float16.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicaffe.backends.cuda.driver.device import Address, Device

# As struct LossScale in kernels/common.cuh; the last two are numbers for cuBLAS.
FIELDS = {
    "next": "f4", "inverse": "f4", "n_good": "i4", "is_bad": "i4", "zero": "f4", "one": "f4",
}  # fmt: skip
TYPE = np.dtype(list(FIELDS.items()))
# Some way below what most nets bear: a step that is lost costs more than bits that come later.
FIRST = 1024.0


class LossScale:
    """The scale of all nets of a backend.

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
        """Where struct LossScale lies."""
        return self._memory.address

    @property
    def inverse(self) -> Address:
        """Where 1 / the scale of the values that there are now lies."""
        return self._place("inverse")

    def number(self, value: float) -> Address:
        """Return where 0 or 1 lies."""
        return self._place("one" if value else "zero")

    def state(self) -> dict[str, Any]:
        """Return what a resumed run needs (JSON types only); waits for the device."""
        values = np.zeros(TYPE.itemsize, np.uint8)
        self._device.download(self.address, values)
        found = values.view(TYPE)[0]
        return {"loss_scale": float(found["next"]), "good_updates": int(found["n_good"])}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned in an earlier run."""
        self._upload(float(state["loss_scale"]), int(state["good_updates"]))

    def _upload(self, scale: float, n_good: int) -> None:
        values = np.array([(scale, 1 / scale, n_good, 0, 0, 1)], TYPE)
        self._device.upload(self.address, values.view(np.uint8))

    def _place(self, field: str) -> Address:
        return self.address + 4 * list(FIELDS).index(field)


def scale_address(scale: LossScale | None) -> Address:
    """Return where the struct lies, for a kernel that brings gradients into float16 or out."""
    return Address(0) if scale is None else scale.address


def inverse_scale_address(scale: LossScale | None) -> Address:
    """Return where the factor lies that makes a sum of such gradients true."""
    return Address(0) if scale is None else scale.inverse
