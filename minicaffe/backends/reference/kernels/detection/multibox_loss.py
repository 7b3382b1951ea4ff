"""Loss of box codes and class scores, on the host."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from minicaffe.backends.reference.backend import ReferenceBackend, ReferenceKernel, kernel
from minicaffe.backends.reference.kernels._normalization import normalizer
from minicaffe.backends.reference.kernels.detection._boxes import decode, encode, suppress
from minicaffe.backends.reference.kernels.detection._matching import FREE, Matches, match
from minicaffe.backends.reference.kernels.detection._truth import require_objects
from minicaffe.ops.backend import HostArray, Tensor
from minicaffe.ops.detection.multibox_loss import MultiBoxLoss

# Smaller probabilities count as this one, as in SoftmaxWithLoss.
_LOG_TINY = float(np.log(np.finfo(np.float32).tiny))
# If all objects are one class, their labels may be larger than it.
_MANY_CLASSES = 1 << 31


class _Batch(NamedTuple):
    """The bottoms: N images, P priors, L codes a prior, K classes, G true boxes.

    `codes` (N, P, L, 4), `scores` (N, P, K), `priors` (N, P, 4), `variances` (P, 4), `truth`
    (G, 8), `free` (N, P), whether a prior without a match may be a negative.
    """

    codes: HostArray
    scores: HostArray
    priors: HostArray
    variances: HostArray
    truth: HostArray
    free: HostArray


class _Positives(NamedTuple):
    """M matches, index arrays (M,): image, prior, code of the prior, row of the truth."""

    image: HostArray
    prior: HostArray
    code: HostArray
    row: HostArray

    def where(self, chosen: HostArray) -> _Positives:
        return _Positives(*(index[chosen] for index in self))


class _Terms(NamedTuple):
    """Losses of chosen priors (n,), and their gradients (n, ...) at the places `at`."""

    at: tuple[HostArray, ...]
    losses: HostArray
    gradients: HostArray


@kernel(MultiBoxLoss)
class ReferenceMultiBoxLoss(ReferenceKernel[MultiBoxLoss]):
    """Match, mine, and compute losses and gradients of what was chosen."""

    def __init__(self, backend: ReferenceBackend, op: MultiBoxLoss, *tensors: Tensor) -> None:
        super().__init__(backend, op, *tensors)
        n_images, n_priors = tensors[0].shape[0], tensors[2].shape[2] // 4
        self._loc_shape = n_images, n_priors, 1 if op.shares_location else op.n_classes, 4
        self._conf_shape = n_images, n_priors, op.n_classes

    def forward(
        self,
        loc: Tensor,
        conf: Tensor,
        prior: Tensor,
        truth: Tensor,
        arm: tuple[Tensor | None, Tensor | None],
        loss: Tensor,
    ) -> None:
        """Overwrite loss."""
        op = self.op
        batch = self._read((loc, conf, prior, truth), arm)
        positives, negatives = self._choose(batch)
        self._loc = self._loc_terms(batch, positives)
        self._conf = self._conf_terms(batch, positives, negatives)
        matches = np.zeros(self._conf_shape[:2], int)
        np.add.at(matches, (positives.image, positives.prior), 1)
        self._divisor = normalizer(np, op.normalization, matches, len(matches))
        total = op.loc_weight * self._loc.losses.sum() + op.conf_weight * self._conf.losses.sum()
        loss.set(total / self._divisor)

    def backward(self, dloss: Tensor, dloc: Tensor | None, dconf: Tensor | None) -> None:
        """Overwrite dloc and dconf."""
        scale = dloss.get() / self._divisor
        if dloc is not None:
            _scatter(self._loc, scale * self.op.loc_weight, self._loc_shape, dloc)
        if dconf is not None:
            _scatter(self._conf, scale * self.op.conf_weight, self._conf_shape, dconf)

    def _read(self, given: tuple[Tensor, ...], arm: tuple[Tensor | None, Tensor | None]) -> _Batch:
        loc, conf, prior, truth = (tensor.get() for tensor in given)
        arm_conf, arm_loc = arm
        n_images, n_priors, _ = self._conf_shape
        priors, variances = prior.reshape(2, n_priors, 4)
        priors = np.broadcast_to(priors, (n_images, n_priors, 4))
        if arm_loc is not None:
            moves = arm_loc.get().reshape(priors.shape)
            priors = decode(self.op.code, moves, priors, variances)
        free = np.ones((n_images, n_priors), bool)
        if arm_conf is not None:
            objectness = arm_conf.get().reshape(n_images, n_priors, 2)[..., 1]
            free = objectness >= self.op.min_objectness
        true = truth.reshape(-1, 8)
        true = true[(true[:, 0] >= 0) & (true[:, 0] < n_images)]
        if not self.op.uses_difficult:
            true = true[true[:, 7] == 0]
        n_classes = _MANY_CLASSES if self.op.is_agnostic else self.op.n_classes
        require_objects(true[:, 0], true[:, 1], n_classes, self.op.background)
        codes, scores = loc.reshape(self._loc_shape), conf.reshape(self._conf_shape)
        return _Batch(codes, scores, priors, variances, true, free)

    def _choose(self, batch: _Batch) -> tuple[_Positives, HostArray]:
        """Return the matches, and which priors are negatives (N, P)."""
        found = [np.zeros((4, 0), int)]
        free, overlap = batch.free.copy(), np.zeros(batch.free.shape, batch.codes.dtype)
        for image in range(len(free)):
            for rows, matches in self._matches(batch, image):
                prior = np.flatnonzero(matches.truth >= 0)
                row = rows[matches.truth[prior]]
                code = np.zeros_like(row)
                if not self.op.shares_location:
                    code = batch.truth[row, 1].astype(int)
                found.append(np.stack([np.full_like(row, image), prior, code, row]))
                free[image] &= matches.truth == FREE
                np.maximum(overlap[image], matches.overlap, out=overlap[image])
        positives = _Positives(*np.concatenate(found, 1))
        if self.op.mining.method == "none":
            return positives, free
        return self._mine(batch, positives, free, overlap)

    def _matches(self, batch: _Batch, image: int) -> Iterator[tuple[HostArray, Matches]]:
        """Yield rows of the truth, and the matches of an image with these."""
        op = self.op
        rows = np.flatnonzero(batch.truth[:, 0] == image)
        if op.matching.uses_priors:
            yield rows, match(op.matching, batch.priors[image], batch.truth[rows, 3:7])
            return
        for code in range(batch.codes.shape[2]):
            of_code = rows if op.shares_location else rows[batch.truth[rows, 1] == code]
            if op.shares_location or code != op.background:
                boxes = self._decoded(batch, image)[:, code]
                yield of_code, match(op.matching, boxes, batch.truth[of_code, 3:7])

    def _decoded(self, batch: _Batch, image: int) -> HostArray:
        """Return the decoded boxes of an image, (P, L, 4)."""
        priors, variances = batch.priors[image, :, None], batch.variances[:, None]
        return decode(self.op.code, batch.codes[image], priors, variances)

    def _mine(
        self, batch: _Batch, positives: _Positives, free: HostArray, overlap: HostArray
    ) -> tuple[_Positives, HostArray]:
        """Return the matches and the negatives that the losses choose."""
        rule = self.op.mining
        is_hard = rule.method == "hard_example"
        losses = self._conf_losses(batch.scores, self._labels(batch, positives))
        matched = np.zeros(free.shape, bool)
        matched[positives.image, positives.prior] = True
        if is_hard:
            terms = self._loc_terms(batch, positives)
            losses[positives.image, positives.prior] += terms.losses
            candidates = free | matched
        else:
            candidates = free & (overlap < rule.overlap_limit)
        chosen = np.zeros(free.shape, bool)
        for image in np.unique(batch.truth[:, 0]).astype(int):
            size = rule.sample_size if is_hard else int(matched[image].sum() * rule.ratio)
            at = np.flatnonzero(candidates[image])
            chosen[image, at[self._hardest(batch, image, at, losses[image, at])[:size]]] = True
        if is_hard:
            positives = positives.where(chosen[positives.image, positives.prior])
        return positives, free & chosen

    def _hardest(
        self, batch: _Batch, image: int, priors: HostArray, losses: HostArray
    ) -> HostArray:
        """Return indices of `priors` by descending loss, NaN first, without suppressed ones."""
        rule = self.op.mining
        losses = np.where(np.isnan(losses), np.inf, losses)
        if rule.suppression is None:
            return np.argsort(-losses, kind="stable")
        boxes = batch.priors[image] if rule.suppresses_priors else self._decoded(batch, image)[:, 0]
        return suppress(rule.suppression, boxes[priors], losses)

    def _loc_terms(self, batch: _Batch, positives: _Positives) -> _Terms:
        """Return losses (M,) and gradients (M, 4) of the codes of matches."""
        op, (image, prior, code, row) = self.op, positives
        at = image, prior, code
        priors, variances = batch.priors[image, prior], batch.variances[prior]
        codes = batch.codes[at]
        apart = codes - encode(op.code, batch.truth[row, 3:7], priors, variances)
        slope = 1 / variances if op.code.without_variance else 1
        if op.ignores_outside:
            boxes = priors
            if not op.matching.uses_priors:
                boxes = decode(op.code, codes, priors, variances)
            slope = np.where((boxes < 0) | (boxes > 1), 0, slope)
        apart *= slope
        losses, gradients = apart * apart / 2, apart
        if op.is_smooth:
            size = np.abs(apart)
            losses = np.where(size < 1, losses, size - 0.5)
            gradients = apart.clip(-1, 1)
        return _Terms(at, losses.sum(1), gradients * slope)

    def _labels(self, batch: _Batch, positives: _Positives) -> HostArray:
        """Return the class of each prior, (N, P): that of its match or the background."""
        labels = np.full(batch.free.shape, self.op.background)
        agnostic = self.op.background + 1
        labels[positives.image, positives.prior] = (
            agnostic if self.op.is_agnostic else batch.truth[positives.row, 1]
        )
        return labels

    def _conf_terms(self, batch: _Batch, positives: _Positives, negatives: HostArray) -> _Terms:
        """Return losses (n,) and gradients (n, K) of the scores of matches and negatives."""
        chosen = negatives.copy()
        chosen[positives.image, positives.prior] = True
        scores, labels = batch.scores[chosen], self._labels(batch, positives)[chosen]
        if self.op.is_logistic:
            gradients = 0.5 * np.tanh(0.5 * scores) + 0.5
        else:
            gradients = np.exp(_log_softmax(scores))
        gradients[np.arange(len(labels)), labels] -= 1
        return _Terms(np.nonzero(chosen), self._conf_losses(scores, labels), gradients)

    def _conf_losses(self, scores: HostArray, labels: HostArray) -> HostArray:
        """Return the loss of each label (...) by its scores (..., K)."""
        losses: HostArray
        if self.op.is_logistic:
            # -t log(s) - (1 - t) log(1 - s), written so that exp never overflows.
            losses = (np.maximum(scores, 0) + np.log1p(np.exp(-np.abs(scores)))).sum(-1)
            losses -= _of_label(scores, labels)
        else:
            losses = -np.maximum(_of_label(_log_softmax(scores), labels), _LOG_TINY)
        return losses


def _of_label(values: HostArray, labels: HostArray) -> HostArray:
    """Return values[..., labels], (...)."""
    found: HostArray = np.take_along_axis(values, labels[..., None], -1)[..., 0]
    return found


def _log_softmax(scores: HostArray) -> HostArray:
    shifted = scores - scores.max(-1, keepdims=True)
    logs: HostArray = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return logs


def _scatter(terms: _Terms, scale: HostArray, shape: tuple[int, ...], diff: Tensor) -> None:
    """Overwrite a diff with scaled gradients at their places, and 0 elsewhere."""
    values = np.zeros(shape, terms.gradients.dtype)
    values[terms.at] = terms.gradients * scale
    diff.set(values.reshape(diff.shape))
