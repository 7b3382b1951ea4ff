"""Fold BatchNorm and Scale into the convolutions before them.

BatchNorm, Scale, Bias, BN and linear Power layers that directly follow a Convolution, Deconvolution
or InnerProduct are removed from the net, and the weights changed so that the outputs stay the same.
A layer stays if other layers read the blob before it. For nets of deployment: folded statistics
cannot be trained further.

Example:
  minicaffe fuse deploy.prototxt net.caffemodel -o fused.prototxt fused.caffemodel
"""

from __future__ import annotations

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.flags import Flags, flag, positional
from minicaffe.cli.options.files import WEIGHTS_ARGUMENT
from minicaffe.errors import NetError
from minicaffe.schema import format_prototxt, read_net
from minicaffe.weights.files import read_weights_file, write_weights_file, writer_for
from minicaffe.weights.fuse import fuse_net


class FuseFlags(Flags):
    """Flags of the command."""

    net: str = positional(metavar="NET", help="net prototxt")
    weights: str = WEIGHTS_ARGUMENT
    new_weights: str = positional(metavar="WEIGHTS2", help="file to write: the new weights")
    output: str = flag(
        "--output",
        "-o",
        *("-o", "--output"),
        required=True,
        metavar="NET2",
        help="file to write: the net without the folded layers",
    )


def run(flags: FuseFlags) -> int:
    """Fold, write, and print what was folded."""
    writer_for(flags.new_weights)  # fails before a large file is read
    fused = fuse_net(read_net(flags.net), read_weights_file(flags.weights))
    for name, folded in fused.folded.items():
        print(f"{name} <- {', '.join(folded)}")
    for name, reason in fused.kept.items():
        print(f"kept {name}: {reason}")
    if not fused.folded:
        raise NetError(
            f"{flags.net}: nothing to fold: no BatchNorm, Scale, Bias or BN layer is the only "
            "reader of a Convolution, Deconvolution or InnerProduct"
        )
    write_weights_file(flags.new_weights, fused.layers, fused.param.name)
    with write_atomically(flags.output) as file:
        file.write(format_prototxt(fused.param).encode())
    return 0
