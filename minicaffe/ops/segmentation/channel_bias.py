"""Biases of score maps by the labels of an image: what every backend must compute.

Tensors in planning order: x (N, C, H, W), scores; labels, whole numbers as floats; y like x. Labels
below 0, or in `ignored`, stand for nothing.

ChannelBias: labels (N, L...), the classes of an image: each adds to the scores of its class in all
pixels, foreground, or background if it is `background_label`. With `of_pixels` labels are (N, 1, H,
W), and a pixel whose label counts adds there: background to the score of `background_label`, and
foreground to that of its label, if this is another one. The gradient of x is dy.

AdaptiveBias: labels (N, L...). In each image that has labels,

1. with suppresses_others, a score of an absent class that is above the lowest score of the present
   classes at its pixel becomes that score less `margin`;
2. n_rounds times, for each present class, 0 first and the others in random order: with d the
   maximum of the present classes' scores less its own score at each pixel, sorted, the class is
   raised by d[floor(p H W)], p = `background` for class 0, else `foreground`;
3. all scores are shifted so that the mean over the pixels of the maximum of the present classes is
   what it was after step 1.

No gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from minicaffe.ops.backend import Op, Tensor
from minicaffe.random import RandomStream


@dataclass(frozen=True)
class ChannelBias(Op["ChannelBiasKernel"]):
    """Describe biases of the classes that an image or a pixel has."""

    background: float
    foreground: float
    background_label: int = 0
    ignored: tuple[int, ...] = ()
    of_pixels: bool = False


class ChannelBiasKernel(Protocol):
    """Forward only: the gradient is a copy."""

    def forward(self, x: Tensor, labels: Tensor, y: Tensor) -> None:
        """Overwrite y.

        Raises
        ------
        LabelError
            If a label that counts is not a class.
        """


@dataclass(frozen=True)
class AdaptiveBias(Op["AdaptiveBiasKernel"]):
    """Describe biases that give each class of an image a part of its pixels."""

    n_rounds: int
    background: float
    foreground: float
    suppresses_others: bool = True
    margin: float = 1e-5


class AdaptiveBiasKernel(Protocol):
    """Forward only."""

    def forward(self, x: Tensor, labels: Tensor, y: Tensor, stream: RandomStream) -> None:
        """Overwrite y; draw the order of the classes from one step of the stream.

        Raises
        ------
        LabelError
            If a label that counts is not a class.
        """
