"""Epilogue of a product in the C kernels: bias, factor and term of each channel, then ReLU."""

from __future__ import annotations

from typing import NamedTuple

from minicaffe.backends.onednn.runtime.tensor import OneDnnTensor


class ChannelEpilogue(NamedTuple):
    """Bias, factor and term of each channel of an output, then ReLU.

    Attributes
    ----------
    bias : OneDnnTensor, optional
        Added.
    scaling : tuple of OneDnnTensor
        Factor and term, applied after the bias; may be empty.
    rectifies : bool
        Whether a ReLU follows.
    """

    bias: OneDnnTensor | None = None
    scaling: tuple[OneDnnTensor, ...] = ()
    rectifies: bool = False

    def addresses(self) -> tuple[int | None, int | None, int | None]:
        """Return the addresses of bias, factor and term; None for those that are absent."""
        bias = None if self.bias is None else self.bias.address()
        if not self.scaling:
            return bias, None, None
        factor, term = self.scaling
        return bias, factor.address(), term.address()


NO_EPILOGUE = ChannelEpilogue()
