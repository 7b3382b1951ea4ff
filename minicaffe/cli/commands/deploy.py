"""Write the net to deploy of a training net: inputs instead of data, probabilities instead of loss.

Data layers become inputs, SoftmaxWithLoss becomes Softmax, and layers that need labels are left
out. The images of the input have the size of those in the data, after the crop; if the data are
not there, that of crop_size or --input_shape. Without -o the file is written beside TRAIN_VAL, with
"deploy" in its name (train_val.prototxt gives deploy.prototxt), unless such a file exists.

Example:
  minicaffe deploy models/lenet/lenet_train_test.prototxt -o lenet_deploy.prototxt
"""

from __future__ import annotations

from pathlib import Path

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.flags import flag, positional
from minicaffe.cli.options.input_shape import InputShapeFlags
from minicaffe.cli.options.net_state import NetStateFlags
from minicaffe.errors import NetError
from minicaffe.log import logger


class DeployFlags(NetStateFlags, InputShapeFlags):
    """Flags of the command."""

    net: str = positional(metavar="TRAIN_VAL", help="prototxt of the training net")
    output: str = flag(
        "--output",
        "-o",
        "-o",
        "--output",
        metavar="DEPLOY",
        help="file to write; is overwritten if it exists",
    )
    batch: int | None = flag(
        at_least=1, metavar="N", help="number of images of the input (default: 1)"
    )


def run(flags: DeployFlags) -> int:
    """Convert and write."""
    from minicaffe.project.deploy_net import deploy_path, deploy_text, make_deploy_net
    from minicaffe.schema import NetState, read_net

    path = Path(flags.output) if flags.output else deploy_path(Path(flags.net))
    if not flags.output and path.exists():
        raise NetError(f"{path}: exists already. Name the file to write with -o FILE.")
    state = NetState()
    flags.apply_to(state)
    source = read_net(flags.net)
    param = make_deploy_net(source, state, flags.batch, flags.image_shape())
    with write_atomically(path) as file:
        file.write(deploy_text(param, Path(flags.net).name).encode())
    logger.info(f"Wrote {path}")
    return 0
