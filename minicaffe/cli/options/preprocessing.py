"""Flags shared by classify and detect: the net and the preprocessing of its images."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from minicaffe.cli.flags import Flags, flag
from minicaffe.cli.options.files import WEIGHTS
from minicaffe.data.mean import parse_mean
from minicaffe.errors import UsageError

if TYPE_CHECKING:
    from minicaffe.data.preparation import Floats
    from minicaffe.prediction import PixelValues

# Mean colour of the images of ILSVRC 2012: blue, green, red.
_ILSVRC_MEAN = "104.00699,116.66877,122.67892"


class PreprocessingArguments(TypedDict):
    """Keyword arguments of pycaffe's Classifier and Detector."""

    mean: Floats | None
    input_scale: float | None
    raw_scale: float | None
    channel_swap: tuple[int, ...] | None


class PreprocessingFlags(Flags):
    """Flags of Caffe's classify.py and detect.py."""

    model_def: str = flag(required=True, metavar="FILE", help="deploy net prototxt")
    pretrained_model: str = WEIGHTS
    gpu: bool = flag(help="compute on the GPU")
    mean_file: str = flag(
        default=_ILSVRC_MEAN,
        help=".npy or .binaryproto file, or numbers, subtracted after raw_scale; empty: no mean",
    )
    input_scale: float | None = flag(help="factor applied after the mean is subtracted")
    raw_scale: float = flag(default=255.0, help="factor applied before the mean is subtracted")
    channel_swap: str = flag(
        default="2,1,0", help="order of the net's channels of RGB images; empty: RGB"
    )

    def preprocessing(self, of_channels: bool = False) -> PreprocessingArguments:
        """Return the arguments that the flags set.

        Parameters
        ----------
        of_channels : bool
            Whether to average a mean image over its pixels.
        """
        mean = parse_mean(self.mean_file) if self.mean_file else None
        if mean is not None and of_channels and mean.ndim == 3:
            mean = mean.mean(axis=(1, 2))
        swap = self.channel_swap
        given: PreprocessingArguments = {
            "mean": mean,
            "input_scale": self.input_scale,
            "raw_scale": self.raw_scale,
            "channel_swap": parse_integers(swap, "channel_swap", 3) if swap else None,
        }
        self._compare_with_training(given)
        return given

    def pixel_values(self) -> PixelValues:
        """Return how images that are resized to an input become its values."""
        return self._pixel_values(self.preprocessing(of_channels=True))

    def _compare_with_training(self, given: PreprocessingArguments) -> None:
        from minicaffe.prediction.preparation_check import warn_of_other_preparation

        mean = given["mean"]
        if mean is not None and mean.ndim == 3:
            given = {**given, "mean": mean.mean(axis=(1, 2))}
        warn_of_other_preparation(self.pretrained_model, self._pixel_values(given))

    def _pixel_values(self, given: PreprocessingArguments) -> PixelValues:
        """Return the values for arguments whose mean is none, or one for each channel."""
        from minicaffe.prediction import PixelValues

        return PixelValues(
            given["mean"],
            1.0 if self.input_scale is None else self.input_scale,
            self.raw_scale,
            given["channel_swap"] or (0, 1, 2),
        )

    def set_mode(self) -> None:
        """Set pycaffe's mode and print it."""
        from minicaffe.pycaffe import set_mode_cpu, set_mode_gpu

        if self.gpu:
            set_mode_gpu()
        else:
            set_mode_cpu()
        print(f"{'GPU' if self.gpu else 'CPU'} mode")


def parse_integers(text: str, flag_name: str, n: int) -> tuple[int, ...]:
    """Return the `n` integers of a flag; raise UsageError if it has another form."""
    parts = text.split(",")
    if len(parts) != n or not all(part.strip().isdecimal() for part in parts):
        raise UsageError(f"--{flag_name}={text}: must be {n} integers separated by commas")
    return tuple(int(part) for part in parts)
