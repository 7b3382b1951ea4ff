"""Greedy decoding, and edit distances of all samples at once."""

from __future__ import annotations

from minicaffe.backends.reference.backend import ReferenceKernel, kernel
from minicaffe.backends.reference.kernels.sequence._rows_of_labels import label_rows, pack
from minicaffe.ops.backend import Array, ArrayModule, Tensor
from minicaffe.ops.sequence.ctc_decode import CtcDecode, SequenceScores

# Behind the end of a sequence and of labels: differs from each class and from the other one.
AFTER_SEQUENCE, AFTER_LABELS = -1, -2


def greedy_sequences(xp: ArrayModule, op: CtcDecode, x: Array) -> tuple[Array, Array]:
    """Return the sequences, (N, T), -1 behind their ends, and their lengths."""
    best = x.argmax(2) if op.samples_first else x.argmax(2).T
    keep = best != op.blank
    if op.merges_repeated:
        keep[:, 1:] &= best[:, 1:] != best[:, :-1]
    return pack(xp, best, keep, AFTER_SEQUENCE)


@kernel(CtcDecode)
class ReferenceCtcDecode(ReferenceKernel[CtcDecode]):
    """Greedy decoding."""

    def forward(self, x: Tensor, y: Tensor) -> None:
        """Overwrite y."""
        out = y.write()
        out[...] = greedy_sequences(self.xp, self.op, x.read())[0].reshape(out.shape)


@kernel(SequenceScores)
class ReferenceSequenceScores(ReferenceKernel[SequenceScores]):
    """Greedy decoding and comparison with labels."""

    def forward(self, x: Tensor, labels: Tensor, scores: Tensor) -> None:
        """Overwrite scores."""
        xp, op, out = self.xp, self.op.decode, scores.write()
        given = x.read()
        found, lengths = greedy_sequences(xp, op, given)
        wanted, wanted_lengths = label_rows(
            xp, labels.read(), given.shape[2], op.blank, AFTER_LABELS
        )
        longer = xp.maximum(xp.maximum(lengths, wanted_lengths), 1)
        share = edit_distances(xp, (found, lengths), (wanted, wanted_lengths)) / longer
        n = max(len(found), 1)
        values = {"accuracy": (share == 0).sum() / n, "similarity": (1 - share).sum() / n}
        out[...] = xp.stack([values[m] for m in self.op.measures]).reshape(out.shape)


def edit_distances(xp: ArrayModule, a: tuple[Array, Array], b: tuple[Array, Array]) -> Array:
    """Return the edit distance of each row of `a` to that of `b`; both are rows and lengths.

    The table of distances has a row for each prefix of a. Within a row, insertions are a running
    minimum, so that the loop is over the prefixes only.
    """
    (rows, lengths), (others, other_lengths) = a, b
    columns = xp.arange(others.shape[1] + 1)
    row = xp.broadcast_to(columns, (len(rows), len(columns)))
    table = [row]
    for i in range(rows.shape[1]):
        replaced = row[:, :-1] + (others != rows[:, i, None])
        changed = xp.minimum(row[:, 1:] + 1, replaced)
        changed = xp.concatenate([row[:, :1] + 1, changed], 1)
        row = running_minimum(xp, changed - columns) + columns
        table.append(row)
    return xp.stack(table)[lengths, xp.arange(len(rows)), other_lengths]


def running_minimum(xp: ArrayModule, rows: Array) -> Array:
    """Return the minimum of each value and those before it in its row."""
    step = 1
    while step < rows.shape[1]:
        rows = xp.concatenate([rows[:, :step], xp.minimum(rows[:, step:], rows[:, :-step])], 1)
        step *= 2
    return rows
