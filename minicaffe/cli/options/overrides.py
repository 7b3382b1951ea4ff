"""Flags that replace settings of a solver and its nets: --set, --max_iter, --keep_best, ..."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from minicaffe.cli.flags import Flags, WholeNumber, flag

if TYPE_CHECKING:  # imports protobuf, which --help must not
    from minicaffe.schema.overrides import Overrides


_TOTAL = "total"


class BatchSizeText:
    """Reads ``N``, ``total`` or ``N:total`` for `add_argument`, and says what it must be."""

    def __call__(self, text: str) -> str:
        """Return the text as it is."""
        n, colon, word = text.partition(":")
        if text == _TOTAL:
            return text
        if n.isalpha() or (colon and word != _TOTAL):
            raise argparse.ArgumentTypeError(f"{text!r} must be N, total or N:total")
        WholeNumber(at_least=1)(n)
        return text


class OverrideFlags(Flags):
    """Flags of train and check that replace settings of their files."""

    settings: list[str] = flag(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="set a field of the solver, as base_lr=0.001, or of its nets, as "
        "net.layer[conv1].convolution_param.num_output=32; may be repeated",
    )
    max_iter: int | None = flag(
        at_least=0, metavar="N", help="number of iterations, as --set max_iter=N"
    )
    seed: int | None = flag(
        at_least=0, metavar="N", help="start of all random numbers, as --set random_seed=N"
    )
    batch_size: str | None = flag(
        type=BatchSizeText(),
        metavar="N[:total]|total",
        help="batch size of the data layers of the training net, for each process; N:total for all "
        "processes together, total to divide that of the prototxt",
    )
    keep_best: str = flag(
        metavar="OUTPUT[:max|min]",
        help="keep the weights of the test with the best value of an output, as accuracy or loss",
    )
    keep_last: int | None = flag(
        at_least=1, metavar="N", help="remove the snapshots of this training but for the last N"
    )
    patience: int | None = flag(
        at_least=1, metavar="N", help="stop after N tests without a better score"
    )

    def overrides(self) -> Overrides:
        """Return the overrides; raise UsageError if one has a wrong form."""
        from minicaffe.schema.overrides import Override, Overrides

        settings = [Override.of(text, f"--set {text}") for text in self.settings]
        for name, value in (
            ("max_iter", self.max_iter),
            ("seed", self.seed),
            ("keep_best", self.keep_best or None),
            ("keep_last", self.keep_last),
            ("patience", self.patience),
        ):
            if value is not None:
                field = "random_seed" if name == "seed" else name
                settings.append(Override.of(f"{field}={value}", f"--{name}={value}"))
        n = (self.batch_size or "").removesuffix(_TOTAL).rstrip(":")
        words = f"--batch_size={self.batch_size}"
        batch_size = Override.of(f"batch_size={n}", words) if n else None
        return Overrides(tuple(settings), batch_size)

    @property
    def batch_is_total(self) -> bool:
        """Whether batch_size is that of all processes together."""
        return (self.batch_size or "").endswith(_TOTAL)
