"""What the Caffe forks that read the written files understand."""

from __future__ import annotations

from dataclasses import dataclass

from minicaffe.schema.minicaffe_pb2 import PoolingParameter


@dataclass(frozen=True)
class Dialect:
    """One fork.

    Attributes
    ----------
    floor : str
        The setting of pooling layers that rounds sizes down: "round_mode", "ceil_mode" or "".
    has_clip : bool
        Whether there is a Clip layer.
    has_permute : bool
        Whether there is a Permute layer.
    """

    floor: str
    has_clip: bool
    has_permute: bool

    def round_down(self, pooling: PoolingParameter) -> None:
        """Set rounding down."""
        if self.floor == "round_mode":
            pooling.round_mode = PoolingParameter.FLOOR
        else:
            pooling.ceil_mode = False


DIALECTS = {
    "bvlc": Dialect("round_mode", has_clip=True, has_permute=False),
    "ssd": Dialect("ceil_mode", has_clip=False, has_permute=True),
    "nvcaffe": Dialect("", has_clip=False, has_permute=True),
    "nnie": Dialect("", has_clip=False, has_permute=True),
}
