"""Inner products with an angular margin."""

from __future__ import annotations

import math

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels._labels import class_indices
from minicaffe.backends.reference.kernels.face._samples import samples
from minicaffe.ops.backend import Array, ArrayModule, Tensor
from minicaffe.ops.face.margin_product import MarginProduct


def margin(xp: ArrayModule, cosine: Array, multiple: int) -> tuple[Array, Array]:
    """Return psi(theta) and its derivative by cos(theta).

    cos(m theta) is the Chebyshev polynomial of the cosine.
    """
    c = cosine
    value, slope = {
        1: (c, xp.ones_like(c)),
        2: (2 * c * c - 1, 4 * c),
        3: (4 * c**3 - 3 * c, 12 * c * c - 3),
        4: (8 * c**4 - 8 * c * c + 1, 32 * c**3 - 16 * c),
    }[multiple]
    k = sum((c < math.cos(i * math.pi / multiple)) * 1 for i in range(1, multiple))
    sign = 1 - 2 * (k % 2)
    return sign * value - 2 * k, sign * slope


def lengths(xp: ArrayModule, rows: Array) -> Array:
    """Return the length of each row, 1 for a row of zeros."""
    found = xp.sqrt((rows * rows).sum(1))
    return xp.where(found == 0, 1, found)


@kernel(MarginProduct)
class ReferenceMarginProduct(ReferenceKernel[MarginProduct]):
    """One product for all classes; the column of the true class is replaced."""

    def forward(self, x: Tensor, w: Tensor, labels: Tensor, damping: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        rows, filters, out = samples(x.read(), self.op.axis), w.read(), y.write()
        products = rows @ filters.T
        classes = self._classes(labels, filters)
        numbers, factor = self.xp.arange(len(rows)), damping.read()
        true = products[numbers, classes]
        size = lengths(self.xp, rows) * lengths(self.xp, filters)[classes]
        hard, _ = margin(self.xp, true / size, self.op.multiple)
        products[numbers, classes] = (factor * true + size * hard) / (1 + factor)
        out[...] = products.reshape(out.shape)

    def backward(
        self,
        inputs: tuple[Tensor, Tensor, Tensor, Tensor],
        dy: Tensor,
        dx: Tensor | None,
        dw: Tensor | None,
    ) -> None:
        """Overwrite dx and add to dw."""
        xp, (x, w, labels, damping) = self.xp, inputs
        rows, filters, factor = samples(x.read(), self.op.axis), w.read(), damping.read()
        given = samples(dy.read(), dy.read().ndim - 1)
        numbers, classes = xp.arange(len(rows)), self._classes(labels, filters)
        x_size, w_size = lengths(xp, rows), lengths(xp, filters)[classes]
        cosine = (rows * filters[classes]).sum(1) / (x_size * w_size)
        hard, slope = margin(xp, cosine, self.op.multiple)
        # The derivative of |w| |x| psi by x is slope * w + rest * |w| / |x| * x, that by w is
        # slope * x + rest * |x| / |w| * w.
        rest = hard - slope * cosine
        share = given[numbers, classes] / (1 + factor)
        plain = given.copy()
        plain[numbers, classes] = share * (factor + slope)
        if dw is not None:
            total = dw.update()
            if self.op.normalizes_gradient:
                total += given.T @ rows
            else:
                own = xp.zeros(len(filters), rows.dtype)
                xp.add.at(own, classes, share * rest * x_size / w_size)
                total += plain.T @ rows + own[:, None] * filters
        if dx is not None:
            by_x = rest * w_size / x_size
            if self.op.normalizes_gradient:
                scale = xp.sqrt(slope**2 + by_x**2)
                plain[numbers, classes] = share * (factor + slope / scale)
                by_x = by_x / scale
            out = dx.write()
            out[...] = (plain @ filters + (share * by_x)[:, None] * rows).reshape(out.shape)

    def _classes(self, labels: Tensor, filters: Array) -> Array:
        return class_indices(self.xp, labels.read().reshape(-1), len(filters))[0]
