"""Layers of Ristretto in floating point: those of Caffe."""

from oracles.conv import convolution, deconvolution
from oracles.inner_product import inner_product
from oracles.lrn import ORACLES as OF_LRN

ORACLES = {
    "ConvolutionRistretto": convolution,
    "DeconvolutionRistretto": deconvolution,
    "FcRistretto": inner_product,
    "LRNRistretto": OF_LRN["LRN"],
}
