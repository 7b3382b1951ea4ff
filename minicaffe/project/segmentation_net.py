"""Commented prototxt of a small net that gives each pixel a class."""

from __future__ import annotations

from minicaffe.project.net_texts import ImageInput, value_lines
from minicaffe.project.plan import TrainingPlan

# Sizes of images must be multiples of it: two poolings.
STRIDE = 4


def segmentation_net(
    name: str, images: ImageInput, plan: TrainingPlan, n_classes: int, root: str
) -> str:
    """Return the prototxt of a net for training and validation.

    Parameters
    ----------
    name : str
    images : ImageInput
    plan : TrainingPlan
    n_classes : int
    root : str
        The folder of the images, relative to the project, with a slash at the end.
    """
    layers = (
        _conv("conv1", "data", 16)
        + _pool("pool1", "conv1")
        + _conv("conv2", "pool1", 32)
        + _pool("pool2", "conv2")
        + _conv("conv3", "pool2", 64)
        + _conv("conv4", "conv3", 64)
        + _up("up2", "conv4", 32, "conv2")
        + _conv("conv5", "up2_and_conv2", 32)
        + _up("up1", "conv5", 16, "conv1")
        + _conv("conv6", "up1_and_conv1", 16)
    )
    return f"""name: "{name}"

# Data: images in batches. A pass through all training images is called an epoch.
{_data(images, plan.batch, True, root)}{_data(images, plan.test_batch, False, root)}
# Two poolings halve rows and columns, so that later filters see more of the image; two
# deconvolutions double them again. Each is joined with the maps before the pooling, which know
# where edges are (a U-Net: Ronneberger and others 2015).
{layers}{_scores_and_goals(n_classes)}"""


def _scores_and_goals(n_classes: int) -> str:
    return f"""
# A score for each class and pixel.
layer {{
  name: "scores"
  type: "Convolution"
  bottom: "conv6"
  top: "scores"
  convolution_param {{
    num_output: {n_classes}       # the number of classes
    kernel_size: 1
    weight_filler {{ type: "xavier" }}
  }}
}}

# What training minimises, and what validation shows.
layer {{
  name: "loss"
  type: "SoftmaxWithLoss"  # the mean of all pixels
  bottom: "scores"
  bottom: "label"
  top: "loss"
  loss_param {{ ignore_label: 255 }}  # pixels with this label do not count
}}
layer {{
  name: "accuracy"
  type: "SegAccuracy"   # 0: share of right pixels, 1: mean recall of the classes, 2: mean IoU
  bottom: "scores"
  bottom: "label"
  top: "accuracy"
  seg_accuracy_param {{ ignore_label: 255 }}
  include {{ phase: TEST }}
}}
"""


def _data(images: ImageInput, batch: int, is_training: bool, root: str) -> str:
    size = images.size
    phase, source = ("TRAIN", "train.txt") if is_training else ("TEST", "val.txt")
    who = "this layer is used for training" if is_training else "this one is used for validation"
    random = """
    shuffle: true       # a new order in each epoch
    mirror: true        # half of the images are mirrored, with their labels"""
    return f"""layer {{
  name: "data"
  type: "DenseImageData"  # reads the pairs of files in a list: image, label image
  top: "data"           # a batch of images: {batch} x 3 x {size} x {size}
  top: "label"          # the class of each pixel: {batch} x 1 x {size} x {size}
  include {{ phase: {phase} }}  # {who}
  transform_param {{
{value_lines(images)}  }}
  dense_image_data_param {{
    source: "{source}"
    root_folder: "{root}"  # put before each path of the list
    batch_size: {batch}
    new_height: {size}     # images and labels are resized
    new_width: {size}{random if is_training else ""}
  }}
}}
"""


def _conv(name: str, below: str, channels: int) -> str:
    return f"""layer {{
  name: "{name}"
  type: "Convolution"
  bottom: "{below}"
  top: "{name}"
  convolution_param {{
    num_output: {channels}
    kernel_size: 3
    pad: 1
    weight_filler {{ type: "msra" }}
  }}
}}
layer {{ name: "{name}_relu" type: "ReLU" bottom: "{name}" top: "{name}" }}
"""


def _pool(name: str, below: str) -> str:
    return f"""layer {{
  name: "{name}"
  type: "Pooling"
  bottom: "{below}"
  top: "{name}"
  pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }}
}}
"""


def _up(name: str, below: str, channels: int, beside: str) -> str:
    return f"""layer {{
  name: "{name}"
  type: "Deconvolution"
  bottom: "{below}"
  top: "{name}"
  convolution_param {{
    num_output: {channels}
    kernel_size: 2
    stride: 2
    weight_filler {{ type: "msra" }}
  }}
}}
layer {{
  name: "{name}_joined"
  type: "Concat"
  bottom: "{name}"
  bottom: "{beside}"
  top: "{name}_and_{beside}"
}}
"""
