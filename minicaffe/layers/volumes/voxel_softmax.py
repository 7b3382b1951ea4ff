"""VoxelSoftmax and VoxelSoftmaxLoss."""

from __future__ import annotations

from minicaffe.layers.registry import register
from minicaffe.layers.softmax import Softmax
from minicaffe.layers.softmax_loss import SoftmaxWithLoss


@register("VoxelSoftmax")
class VoxelSoftmax(Softmax):
    """Turn the scores of each voxel into probabilities.

    Shapes: x (N, C, D, H, W) -> p (N, C, D, H, W)

    Notes
    -----
    As Softmax, along the channels. The name of this layer in C3D 1.0.
    """


@register("VoxelSoftmaxLoss")
class VoxelSoftmaxLoss(SoftmaxWithLoss):
    """Compute softmax and multinomial logistic loss of each voxel.

    Shapes: x (N, C, D, H, W), labels (N, 1, D, H, W) -> loss ()[, p (N, C, D, H, W)]

    Notes
    -----
    As SoftmaxWithLoss: the mean over the voxels. The name of this layer in C3D 1.0.
    """
