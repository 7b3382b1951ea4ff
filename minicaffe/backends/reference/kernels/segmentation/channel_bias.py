"""Biases of score maps by the labels of an image."""

from __future__ import annotations

import math

import numpy as np

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels._labels import row_numbers
from minicaffe.backends.reference.kernels.loss import rows
from minicaffe.ops.backend import Array, Tensor
from minicaffe.ops.segmentation.channel_bias import AdaptiveBias, ChannelBias
from minicaffe.random import RandomStream


@kernel(ChannelBias)
class ReferenceChannelBias(ReferenceKernel[ChannelBias]):
    """Add by class."""

    def forward(self, x: Tensor, labels: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        xp, op, out = self.xp, self.op, y.write()
        out[...] = x.read()
        given = rows(labels.read())
        counts = given >= 0
        for label in op.ignored:
            counts &= given != label
        classes = row_numbers(xp, xp.where(counts, given, 0), out.shape[1])
        bias = xp.where(classes == op.background_label, op.background, op.foreground)
        samples, places = xp.nonzero(counts)
        at = classes[samples, places]
        scores = out.reshape(*out.shape[:2], math.prod(out.shape[2:]))
        if op.of_pixels:
            scores[:, op.background_label] += xp.where(counts, op.background, 0)
            scores[samples, at, places] += xp.where(
                at == op.background_label, 0, op.foreground
            ).astype(out.dtype)
        else:
            xp.add.at(scores, (samples, at), bias[samples, places][:, None].astype(out.dtype))


@kernel(AdaptiveBias)
class ReferenceAdaptiveBias(ReferenceKernel[AdaptiveBias]):
    """Image by image, because each has classes of its own."""

    def forward(self, x: Tensor, labels: Tensor, y: Tensor, stream: RandomStream) -> None:
        """Overwrite y."""
        out, given = y.write(), rows(labels.read())
        generators = stream.row_generators(len(out))
        out[...] = x.read()
        classes = row_numbers(self.xp, self.xp.where(given < 0, 0, given), out.shape[1])
        for n, scores in enumerate(out):
            present = sorted(
                {int(c) for c, label in zip(classes[n], given[n], strict=True) if label >= 0}
            )
            if present:
                scores[...] = self._raised(scores, present, generators[n])

    def _raised(self, scores: Array, present: list[int], generator: np.random.Generator) -> Array:
        xp, op = self.xp, self.op
        lowest = scores[present].min(0)
        if op.suppresses_others:
            others = [c for c in range(len(scores)) if c not in present]
            scores[others] = xp.where(scores[others] > lowest, lowest - op.margin, scores[others])
        highest = scores[present].max(0)
        before = highest.mean()
        for _ in range(op.n_rounds):
            foreground = [c for c in present if c]
            order = [c for c in present if not c] + generator.permutation(foreground).tolist()
            for c in order:
                share = op.foreground if c else op.background
                lack = xp.sort((highest - scores[c]).ravel())
                scores[c] += lack[min(int(share * lack.size), lack.size - 1)]
                highest = xp.maximum(highest, scores[c])
        return scores + (before - highest.mean())
