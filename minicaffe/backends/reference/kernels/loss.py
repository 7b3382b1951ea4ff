"""Loss functions except softmax loss."""

from __future__ import annotations

import math

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels._labels import class_indices
from minicaffe.backends.reference.kernels._normalization import normalizer
from minicaffe.backends.reference.kernels.softmax import softmax
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.infogain_loss import InfogainLoss
from minicaffe.ops.loss import (
    ContrastiveLoss,
    EuclideanLoss,
    HingeLoss,
    MultinomialLogisticLoss,
    SigmoidCrossEntropyLoss,
)

# Lower bound of probabilities before the logarithm, as in Caffe.
TINY = 1e-20
# Keeps the gradient of a distance finite at 0.
CLOSE = 1e-4


def rows(values: Array) -> Array:
    """Return (N, ...) as (N, K)."""
    return values.reshape(len(values), math.prod(values.shape[1:]))


@kernel(EuclideanLoss)
class ReferenceEuclideanLoss(ReferenceKernel[EuclideanLoss]):
    """Half the mean squared distance."""

    def forward(self, a: Tensor, b: Tensor, loss: Tensor) -> None:
        """Overwrite loss."""
        apart = rows(a.read()) - rows(b.read())
        loss.write()[...] = (apart * apart).sum() / max(2 * len(apart), 1)

    def backward(
        self, a: Tensor, b: Tensor, dloss: Tensor, da: Tensor | None, db: Tensor | None
    ) -> None:
        """Overwrite da and db."""
        apart = rows(a.read()) - rows(b.read())
        apart *= dloss.read() / max(len(apart), 1)
        write_both(apart, da, db)


def write_both(gradient: Array, da: Tensor | None, db: Tensor | None) -> None:
    """Overwrite da with a gradient and db with its negative."""
    for side, sign in ((da, 1), (db, -1)):
        if side is not None:
            out = side.write()
            out[...] = sign * gradient.reshape(out.shape)


@kernel(HingeLoss)
class ReferenceHingeLoss(ReferenceKernel[HingeLoss]):
    """One-against-all hinge loss."""

    def forward(self, x: Tensor, labels: Tensor, margins: Tensor, loss: Tensor) -> None:
        """Overwrite margins and loss."""
        scores, out = x.read(), margins.write()
        found, _ = self._margins(rows(scores), labels.read())
        out[...] = found.reshape(out.shape)
        penalty = found * found if self.op.norm == "L2" else found
        loss.write()[...] = penalty.sum() / max(len(found), 1)

    def backward(self, x: Tensor, labels: Tensor, dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        margins, signs = self._margins(rows(x.read()), labels.read())
        slope = 2 * margins if self.op.norm == "L2" else margins > 0
        out = dx.write()
        gradient = signs * slope * (dloss.read() / max(len(margins), 1))
        out[...] = gradient.reshape(out.shape)

    def _margins(self, scores: Array, labels: Array) -> tuple[Array, Array]:
        """Return the margins, and -1 for true classes and 1 for others, both (N, K)."""
        classes, _ = class_indices(self.xp, labels.reshape(len(scores)), scores.shape[1])
        signs = self.xp.ones_like(scores)
        signs[self.xp.arange(len(classes)), classes] = -1
        return self.xp.maximum(0, 1 + signs * scores), signs


@kernel(ContrastiveLoss)
class ReferenceContrastiveLoss(ReferenceKernel[ContrastiveLoss]):
    """Contrastive loss: distances of similar pairs, margin minus distance of dissimilar ones."""

    def forward(self, a: Tensor, b: Tensor, similar: Tensor, loss: Tensor) -> None:
        """Overwrite loss."""
        apart = rows(a.read()) - rows(b.read())
        squares = (apart * apart).sum(1)
        lack = self._lack(squares)
        penalty = lack if self.op.legacy else lack * lack
        losses = self.xp.where(self._is_similar(similar), squares, penalty)
        loss.write()[...] = losses.sum() / max(2 * len(apart), 1)

    def backward(
        self,
        a: Tensor,
        b: Tensor,
        similar: Tensor,
        dloss: Tensor,
        da: Tensor | None,
        db: Tensor | None,
    ) -> None:
        """Overwrite da and db."""
        xp = self.xp
        apart = rows(a.read()) - rows(b.read())
        squares = (apart * apart).sum(1)
        lack = self._lack(squares)
        push = lack > 0 if self.op.legacy else lack / (xp.sqrt(squares) + CLOSE)
        weight = xp.where(self._is_similar(similar), 1, -1 * push)
        scale = dloss.read() / max(len(apart), 1)
        write_both(apart * (weight * scale)[:, None], da, db)

    def _lack(self, squares: Array) -> Array:
        """Return margin minus distance (legacy: minus its square), or 0."""
        distances = squares if self.op.legacy else self.xp.sqrt(squares)
        return self.xp.maximum(self.op.margin - distances, 0)

    def _is_similar(self, similar: Tensor) -> Array:
        return self.xp.trunc(similar.read()).ravel() != 0


@kernel(MultinomialLogisticLoss)
class ReferenceMultinomialLogisticLoss(ReferenceKernel[MultinomialLogisticLoss]):
    """Negative log likelihood of the true class."""

    def forward(self, p: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Overwrite loss."""
        true, _ = self._true(p, labels)
        loss.write()[...] = -self.xp.log(true).sum() / max(len(true), 1)

    def backward(self, p: Tensor, labels: Tensor, dloss: Tensor, dp: Tensor) -> None:
        """Overwrite dp."""
        true, at = self._true(p, labels)
        out = dp.write()
        gradient = self.xp.zeros_like(rows(out))
        gradient[at] = -dloss.read() / max(len(true), 1) / true
        out[...] = gradient.reshape(out.shape)

    def _true(self, p: Tensor, labels: Tensor) -> tuple[Array, tuple[Array, Array]]:
        """Return the probabilities of the true classes, (N,), and their indices in (N, K)."""
        given = rows(p.read())
        classes, _ = class_indices(self.xp, labels.read().reshape(len(given)), given.shape[1])
        at = (self.xp.arange(len(given)), classes)
        return self.xp.maximum(given[at], TINY), at


@kernel(InfogainLoss)
class ReferenceInfogainLoss(ReferenceKernel[InfogainLoss]):
    """Softmax with a weight for each pair of true and predicted class."""

    def forward(self, x: Tensor, labels: Tensor, h: Tensor, p: Tensor, loss: Tensor) -> None:
        """Overwrite p and loss."""
        xp = self.xp
        probabilities = p.write()
        probabilities[...] = softmax(xp, x.read(), self.op.axis)
        weights, counts = self._weights(probabilities, labels.read(), h.read())
        terms = weights * xp.log(xp.maximum(probabilities, TINY))
        total = xp.where(xp.expand_dims(counts, self.op.axis), terms, 0).sum()
        loss.write()[...] = -total / self._normalizer(probabilities, counts)

    def backward(self, p: Tensor, labels: Tensor, h: Tensor, dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        probabilities = p.read()
        weights, counts = self._weights(probabilities, labels.read(), h.read())
        gradient = probabilities * weights.sum(self.op.axis, keepdims=True) - weights
        gradient = self.xp.where(self.xp.expand_dims(counts, self.op.axis), gradient, 0)
        dx.write()[...] = gradient * (dloss.read() / self._normalizer(probabilities, counts))

    def _weights(self, p: Array, labels: Array, h: Array) -> tuple[Array, Array]:
        """Return h[label], like p and 0 for ignored labels, and a mask of labels that count."""
        axis, n = self.op.axis, p.shape[self.op.axis]
        pixels = p.shape[:axis] + p.shape[axis + 1 :]
        classes, counts = class_indices(self.xp, labels.reshape(pixels), n, self.op.ignore_label)
        weights = h.reshape(n, n)[classes] * counts[..., None]
        return self.xp.moveaxis(weights, -1, axis), counts

    def _normalizer(self, p: Array, counts: Array) -> Array:
        samples = math.prod(p.shape[: self.op.axis])
        return normalizer(self.xp, self.op.normalization, counts, samples)


@kernel(SigmoidCrossEntropyLoss)
class ReferenceSigmoidCrossEntropyLoss(ReferenceKernel[SigmoidCrossEntropyLoss]):
    """Binary cross entropy of each value."""

    def forward(self, x: Tensor, t: Tensor, loss: Tensor) -> None:
        """Overwrite loss."""
        xp, scores = self.xp, x.read()
        targets, counts = self._targets(scores, t)
        # -t log(s) - (1 - t) log(1 - s), written so that exp never overflows.
        losses = xp.maximum(scores, 0) - scores * targets + xp.log1p(xp.exp(-xp.abs(scores)))
        loss.write()[...] = xp.where(counts, losses, 0).sum() / self._normalizer(scores, counts)

    def backward(self, x: Tensor, t: Tensor, dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        scores = x.read()
        targets, counts = self._targets(scores, t)
        gradient = self.xp.where(counts, 0.5 * self.xp.tanh(0.5 * scores) + 0.5 - targets, 0)
        dx.write()[...] = gradient * (dloss.read() / self._normalizer(scores, counts))

    def _targets(self, scores: Array, t: Tensor) -> tuple[Array, Array]:
        """Return the targets in the shape of the scores, and a mask of those that count."""
        targets = t.read().reshape(scores.shape)
        if self.op.ignore_label is None:
            return targets, self.xp.ones(targets.shape, bool)
        return targets, self.xp.trunc(targets) != self.op.ignore_label

    def _normalizer(self, scores: Array, counts: Array) -> Array:
        return normalizer(self.xp, self.op.normalization, counts, len(scores))
