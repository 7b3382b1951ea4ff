"""Learning rates of single parameters by the norms of their values and gradients.

NVCaffe's larc (layer-wise adaptive rate control) and Intel's local_lr_auto replace the lr_mult of
each parameter w with gradient g, unless that is 0. With eta = larc_eta * |w| / |g|:

=============  ===========================================================
setting        rate of the parameter
=============  ===========================================================
larc, "scale"  rate * eta
larc, "clip"   min(rate, eta)
local_lr_auto  rate * local_gw_ratio * |w| / (|g| + weight_decay * |w|)
=============  ===========================================================

g is the mean gradient of iter_size batches, clipped, without weight decay. If |w| or |g| is 0, the
factor (or eta) is 1. Source: You, Gitman and Ginsburg, "Large batch training of convolutional
networks", 2017.
"""

from __future__ import annotations

import math

from minicaffe.net import Net
from minicaffe.ops.backend import Tensor
from minicaffe.ops.update import SumOfSquares
from minicaffe.schema import SolverParameter
from minicaffe.solver.update_settings import UpdateSettings


class LocalRates:
    """Computes the factors of the learning rate.

    Parameters
    ----------
    net : Net
        The net to train.
    param : SolverParameter
    """

    def __init__(self, net: Net, param: SolverParameter) -> None:
        self._net, self._param = net, param

    def multipliers(self, settings: UpdateSettings, scale: float) -> list[float]:
        """Return the lr_mult of each parameter for one update.

        Parameters
        ----------
        settings : UpdateSettings
        scale : float
            Factor of the gradients.
        """
        if not (self._param.larc or self._param.local_lr_auto):
            return [p.lr_mult for p in self._net.parameters]
        factors = []
        for p in self._net.parameters:
            w, g = _norm(self._net, p.blob.data), _norm(self._net, p.blob.diff) * scale
            factors.append(self._multiplier(settings, w, g) if p.lr_mult else 0.0)
        return factors

    def _multiplier(self, settings: UpdateSettings, w: float, g: float) -> float:
        param = self._param
        has_norms = w > 0 and g > 0
        if param.local_lr_auto:
            return param.local_gw_ratio * w / (g + settings.decay * w) if has_norms else 1.0
        eta = param.larc_eta * w / g if has_norms else 1.0
        if param.larc_policy == "scale":
            return eta
        return min(settings.rate, eta) / settings.rate if settings.rate > 0 else 0.0


def _norm(net: Net, values: Tensor) -> float:
    """Return the L2 norm of a tensor; waits for the device."""
    with net.backend.lock:
        return math.sqrt(net.backend.plan(SumOfSquares(), values).forward([values]))
