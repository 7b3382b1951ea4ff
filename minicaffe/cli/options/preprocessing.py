"""What classify and detect share: the flags of Caffe's Python scripts, and what they mean."""

from __future__ import annotations

import argparse
from typing import Any

from minicaffe.data.mean import parse_mean
from minicaffe.errors import UsageError

# The mean of the pictures of ILSVRC 2012: blue, green, red.
_ILSVRC_MEAN = "104.00699,116.66877,122.67892"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare net, weights and preparation of pictures."""
    parser.add_argument("--model_def", default="", metavar="FILE", help="the deploy net")
    parser.add_argument("--pretrained_model", default="", metavar="FILE", help="its weights")
    parser.add_argument("--gpu", action="store_true", help="compute on the GPU")
    parser.add_argument(
        "--mean_file",
        default=_ILSVRC_MEAN,
        help=".npy or .binaryproto, or numbers, subtracted after raw_scale; empty: nothing "
        "(default: the mean colour of ILSVRC 2012)",
    )
    parser.add_argument("--input_scale", type=float, help="factor after the mean is subtracted")
    parser.add_argument(
        "--raw_scale", type=float, default=255.0, help="factor before that (%(default)s)"
    )
    parser.add_argument(
        "--channel_swap",
        default="2,1,0",
        help="order of channels that the net was trained on; empty: as read (default: BGR)",
    )


def whole_numbers(text: str, flag: str, n: int) -> tuple[int, ...]:
    """Return the numbers of a flag, of which there must be `n`."""
    parts = text.split(",")
    if len(parts) != n or not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"--{flag}={text}: must be {n} whole numbers separated by commas")
    return tuple(int(part) for part in parts)


def choose_mode(args: argparse.Namespace) -> None:
    """Set pycaffe's mode, and say which."""
    from minicaffe.pycaffe import set_mode_cpu, set_mode_gpu

    if args.gpu:
        set_mode_gpu()
    else:
        set_mode_cpu()
    print(f"{'GPU' if args.gpu else 'CPU'} mode")


def options(args: argparse.Namespace, of_channels: bool = False) -> dict[str, Any]:
    """Return the arguments of Classifier and Detector that the flags set.

    Parameters
    ----------
    args : Namespace
    of_channels : bool
        Whether to take the means of the channels of a mean picture.

    Raises
    ------
    UsageError
        If there is no net or no weights, or a number is none.
    """
    for flag in ("model_def", "pretrained_model"):
        if not getattr(args, flag):
            raise UsageError(f"--{flag}=FILE is missing")
    mean = parse_mean(args.mean_file) if args.mean_file else None
    if mean is not None and of_channels and mean.ndim == 3:
        mean = mean.mean(axis=(1, 2))
    return {
        "mean": mean,
        "input_scale": args.input_scale,
        "raw_scale": args.raw_scale,
        "channel_swap": whole_numbers(args.channel_swap, "channel_swap", 3)
        if args.channel_swap
        else None,
    }
