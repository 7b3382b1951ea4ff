"""Connectionist temporal classification by the forward-backward algorithm.

The states of a sample are its labels with a blank before, between and behind them: S = 2 L + 1. All
samples and states advance together; only the steps are a loop. Probabilities are logarithms in
float64, so that neither long sequences underflow nor differences of large costs lose digits.
"""

from __future__ import annotations

from typing import NamedTuple

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.sequence._rows_of_labels import label_rows
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.sequence.ctc_loss import CtcLoss


class _States(NamedTuple):
    """The states of the samples, N x S, and the samples whose labels fit into the steps."""

    classes: Array
    # Whether a path may come from two states before: a label that differs from the last one.
    may_skip: Array
    # The index of the last state, a blank, (N,).
    last: Array
    is_possible: Array


@kernel(CtcLoss)
class ReferenceCtcLoss(ReferenceKernel[CtcLoss]):
    """Costs from the paths to each state, gradients from those from it as well."""

    def forward(self, x: Tensor, labels: Tensor, loss: Tensor) -> None:
        """Overwrite loss."""
        xp = self.xp
        log_p = self._log_softmax(x.read())
        states = self._states(labels.read(), log_p)
        costs = -self._total(self._arrivals(self._emitted(log_p, states), states), states)
        total = xp.where(states.is_possible, costs, 0).sum()
        counted = states.is_possible.sum() if self.op.divides_by_possible else len(costs)
        loss.write()[...] = total / xp.maximum(counted, 1)

    def backward(self, x: Tensor, labels: Tensor, dloss: Tensor, dx: Tensor) -> None:
        """Overwrite dx."""
        xp, out = self.xp, dx.write()
        log_p = self._log_softmax(x.read())
        states = self._states(labels.read(), log_p)
        emitted = self._emitted(log_p, states)
        arrivals = self._arrivals(emitted, states)
        total = self._total(arrivals, states)
        departures = self._departures(emitted, states)
        # The probability of each state at each step, given the labels.
        posterior = xp.exp(arrivals + departures - xp.where(states.is_possible, total, 0)[:, None])
        gradient = xp.exp(log_p, out=log_p)
        steps, samples = xp.arange(out.shape[0])[:, None, None], xp.arange(out.shape[1])[:, None]
        # Several states have one class, and -= with index arrays would subtract only one of them.
        xp.add.at(gradient, (steps, samples, states.classes), -posterior)
        out[...] = dloss.read() * xp.where(states.is_possible[:, None], gradient, 0)

    def _log_softmax(self, x: Array) -> Array:
        scores = x.astype(float)
        scores -= scores.max(2, keepdims=True)
        scores -= self.xp.log(self.xp.exp(scores).sum(2, keepdims=True))
        return scores

    def _states(self, labels: Array, log_p: Array) -> _States:
        xp, blank = self.xp, self.op.blank
        rows, lengths = label_rows(xp, labels, log_p.shape[2], blank, blank)
        n, longest = rows.shape
        classes = xp.full((n, 2 * longest + 1), blank, rows.dtype)
        classes[:, 1::2] = rows
        may_skip = xp.zeros(classes.shape, bool)
        may_skip[:, 3::2] = rows[:, 1:] != rows[:, :-1]
        in_row = xp.arange(1, longest) < lengths[:, None]
        repeats = (in_row & (rows[:, 1:] == rows[:, :-1])).sum(1)
        return _States(classes, may_skip, 2 * lengths, lengths + repeats <= len(log_p))

    def _emitted(self, log_p: Array, states: _States) -> Array:
        """Return the log probability of each state's class, (T, N, S); no state behind the last."""
        xp = self.xp
        emitted = xp.take_along_axis(log_p, states.classes[None], 2)
        exists = xp.arange(states.classes.shape[1]) <= states.last[:, None]
        return xp.where(exists, emitted, -xp.inf)

    def _arrivals(self, emitted: Array, states: _States) -> Array:
        """Return the log probability of all paths that end in each state, (T, N, S)."""
        xp = self.xp
        arrivals = xp.full(emitted.shape, -xp.inf)
        arrivals[:1, :, :2] = emitted[:1, :, :2]
        for t in range(1, len(emitted)):
            before, here = arrivals[t - 1], arrivals[t]
            here[...] = before
            here[:, 1:] = xp.logaddexp(here[:, 1:], before[:, :-1])
            skipped = xp.where(states.may_skip[:, 2:], before[:, :-2], -xp.inf)
            here[:, 2:] = xp.logaddexp(here[:, 2:], skipped)
            here += emitted[t]
        return arrivals

    def _departures(self, emitted: Array, states: _States) -> Array:
        """Return the log probability of all paths that go on from each state, (T, N, S)."""
        xp = self.xp
        departures = xp.full(emitted.shape, -xp.inf)
        positions = xp.arange(emitted.shape[2])
        is_end = (positions <= states.last[:, None]) & (positions >= states.last[:, None] - 1)
        departures[-1:] = xp.where(is_end, 0, -xp.inf)
        for t in range(len(emitted) - 2, -1, -1):
            after, here = departures[t + 1] + emitted[t + 1], departures[t]
            here[...] = after
            here[:, :-1] = xp.logaddexp(here[:, :-1], after[:, 1:])
            skipped = xp.where(states.may_skip[:, 2:], after[:, 2:], -xp.inf)
            here[:, :-2] = xp.logaddexp(here[:, :-2], skipped)
        return departures

    def _total(self, arrivals: Array, states: _States) -> Array:
        """Return the log probability of the labels, (N,)."""
        xp = self.xp
        ends = xp.stack([states.last, xp.maximum(states.last - 1, 0)], 1)
        found = xp.take_along_axis(arrivals[-1], ends, 1)
        found[:, 1] = xp.where(states.last > 0, found[:, 1], -xp.inf)
        return xp.logaddexp(found[:, 0], found[:, 1])
