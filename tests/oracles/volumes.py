"""Convolutions of C3D: those of Caffe with a kernel for each axis."""

from oracles.conv import convolution
from oracles.softmax import ORACLES as OF_SOFTMAX


def clip_convolution(layer, bottoms, params, training, transposed=False):
    as_caffe = type(layer)()
    given = layer.convolution3d_param
    proto = as_caffe.convolution_param
    proto.num_output, proto.group = given.num_output, given.group
    for field, of_frames in (
        ("kernel_size", "kernel_depth"),
        ("stride", "temporal_stride"),
        ("pad", "temporal_pad"),
    ):
        size = getattr(given, field)
        getattr(proto, field).extend([getattr(given, of_frames), size, size])
    flat = [params[0], *(b.ravel() for b in params[1:])]
    return convolution(as_caffe, bottoms, flat, training, transposed)


def clip_deconvolution(layer, bottoms, params, training):
    return clip_convolution(layer, bottoms, params, training, transposed=True)


ORACLES = {
    "Convolution3D": clip_convolution,
    "Deconvolution3D": clip_deconvolution,
    "VoxelSoftmax": OF_SOFTMAX["Softmax"],
    "VoxelSoftmaxLoss": OF_SOFTMAX["SoftmaxWithLoss"],
}
