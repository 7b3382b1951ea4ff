"""Commented prototxts of a new project: data layers, a small net, the solver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from minicaffe.project.plan import TrainingPlan

_COLOURS = {3: ("blue", "green", "red"), 1: ("grey",)}
_FIRST_CHANNELS, _MOST_CHANNELS = 16, 128
_LAST_SIDE = 8  # of the maps behind the last pooling


@dataclass(frozen=True)
class ImageInput:
    """What the data layers of a project make of the stored images.

    Parameters
    ----------
    channels : int
    stored : int
        Rows and columns in the databases.
    size : int
        Rows and columns after the crop.
    mean : sequence of float
        Of each channel; empty if none is subtracted.
    scale : float
        Values are multiplied by it after the mean was subtracted.
    tops : sequence of str
        The names of the images and of the labels.
    """

    channels: int
    stored: int
    size: int
    mean: Sequence[float]
    scale: float
    tops: Sequence[str] = ("data", "label")


def data_layers(images: ImageInput, plan: TrainingPlan) -> str:
    """Return the two data layers, for training and for validation."""
    return _data_layer(images, plan.batch, True) + _data_layer(images, plan.test_batch, False)


def _data_layer(images: ImageInput, batch: int, is_training: bool) -> str:
    data, label = images.tops
    size, stored = images.size, images.stored
    shape = f"{batch} x {images.channels} x {size} x {size}"
    phase, source = ("TRAIN", "train_lmdb") if is_training else ("TEST", "val_lmdb")
    who = "this layer is used for training" if is_training else "this one is used for validation"
    crop = "a random window of" if is_training else "the middle of"
    mirror = (
        "    mirror: true        # half of the images are mirrored: more variety from the same "
        "images.\n                        # Remove it if left and right differ: letters, digits\n"
    )
    return f"""layer {{
  name: "data"
  type: "Data"          # reads images and labels from a database
  top: "{data}"           # a batch of images: {shape} (images, channels, rows, columns)
  top: "{label}"          # their {batch} labels: line numbers in labels.txt, from 0
  include {{ phase: {phase} }}  # {who}
  transform_param {{
    crop_size: {size:<4}     # {crop} the {stored} x {stored} pixels in the database
{mirror if is_training else ""}{value_lines(images)}  }}
  data_param {{ source: "{source}" backend: LMDB batch_size: {batch} }}
}}
"""


def value_lines(images: ImageInput) -> str:
    """Return the lines of transform_param that change values: mean and scale."""
    colours = _COLOURS[images.channels] if images.mean else ()
    means = "".join(
        f"    mean_value: {mean:<10.4g}  # subtracted: the mean {colour} of the training images\n"
        for mean, colour in zip(images.mean, colours, strict=True)
    )
    scale = f"    scale: {images.scale:<8.4g}     # then all values are multiplied by this\n"
    return means + scale if images.scale != 1 else means


def small_net(name: str, images: ImageInput, plan: TrainingPlan, n_classes: int) -> str:
    """Return the prototxt of a small convolutional net for training and validation."""
    below, channels, side = images.tops[0], _FIRST_CHANNELS, images.size
    blocks: list[str] = []
    while not blocks or side > _LAST_SIDE:
        number = len(blocks) + 1
        blocks.append(_block(number, below, channels, is_first=number == 1))
        below, side = f"pool{number}", -(-side // 2)
        channels = min(2 * channels, _MOST_CHANNELS)
    return f"""name: "{name}"

# Data: images in batches. A pass through all training images is called an epoch.
{data_layers(images, plan)}
# Convolutions: each finds patterns in the maps before it; pooling halves rows and columns.
{"".join(blocks)}
{_decision(below, n_classes)}{_goals(images.tops[1])}"""


def _decision(below: str, n_classes: int) -> str:
    return f"""# The decision: a vector of 64 features, then a score for each class.
layer {{
  name: "features"
  type: "InnerProduct"  # every output is a weighted sum of all values below
  bottom: "{below}"
  top: "features"
  inner_product_param {{ num_output: 64 weight_filler {{ type: "msra" }} }}
}}
layer {{ name: "relu_features" type: "ReLU" bottom: "features" top: "features" }}
layer {{
  name: "dropout"
  type: "Dropout"       # in training, drops a fifth of the features at random: against overfitting
  bottom: "features"
  top: "features"
  dropout_param {{ dropout_ratio: 0.2 }}
}}
layer {{
  name: "scores"
  type: "InnerProduct"
  bottom: "features"
  top: "scores"
  inner_product_param {{
    num_output: {n_classes}       # the number of classes
    weight_filler {{ type: "xavier" }}
  }}
}}

"""


def _goals(label: str) -> str:
    return f"""# What training minimises, and what validation shows.
layer {{
  name: "loss"
  type: "SoftmaxWithLoss"  # scores to probabilities; the loss is -log of the true class's
  bottom: "scores"
  bottom: "{label}"
  top: "loss"
}}
layer {{
  name: "accuracy"
  type: "Accuracy"      # the share of images whose highest score is that of their class
  bottom: "scores"
  bottom: "{label}"
  top: "accuracy"
  include {{ phase: TEST }}
}}
"""


def _block(number: int, below: str, channels: int, is_first: bool) -> str:
    filler = '    weight_filler { type: "msra" }  # random first weights, scaled for ReLU\n'
    plain = '    weight_filler { type: "msra" }\n'
    return f"""layer {{
  name: "conv{number}"
  type: "Convolution"
  bottom: "{below}"
  top: "conv{number}"
  convolution_param {{
    num_output: {channels}      # number of filters, so of maps
    kernel_size: 3      # filters of 3 x 3
    pad: 1              # a border of zeros, so that maps keep their size
{filler if is_first else plain}  }}
}}
layer {{ name: "relu{number}" type: "ReLU" bottom: "conv{number}" top: "conv{number}" }}
layer {{
  name: "pool{number}"
  type: "Pooling"
  bottom: "conv{number}"
  top: "pool{number}"
  pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }}
}}
"""


@dataclass(frozen=True)
class Rates:
    """Update rule of a solver.

    Parameters
    ----------
    kind : str
        Type of the solver, such as "Adam".
    base_lr : float
        Learning rate of the first iterations.
    momentum, weight_decay : float
    """

    kind: str = "Adam"
    base_lr: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 0.0005


def solver_text(
    name: str, plan: TrainingPlan, rates: Rates, score: str = "accuracy", weights: str = ""
) -> str:
    """Return the prototxt of a solver.

    Parameters
    ----------
    name : str
        Of the project; snapshots begin with it.
    plan : TrainingPlan
    rates : Rates
    score : str
        The output of the test whose best value decides which weights are kept.
    weights : str
        Trained weights to start from, relative to the solver.
    """
    first, second = plan.drops
    start = f'weights: "{weights}"  # layers of the same names start from these weights\n'
    return f"""# How the net is trained: minicaffe train solver.prototxt
net: "train_val.prototxt"
{start if weights else ""}
# One iteration takes {plan.batch} images; {plan.max_iter} iterations see each of the \
{plan.n_training} training images about {plan.epochs:.0f} times.
max_iter: {plan.max_iter}

{_tests(plan, score)}
# How weights change. base_lr is the learning rate: lower it if the loss becomes large or NaN.
# It falls to a tenth at each stepvalue. weight_decay keeps weights small, against overfitting.
type: "{rates.kind}"
base_lr: {rates.base_lr:g}
lr_policy: "multistep"
gamma: 0.1
stepvalue: {first}
stepvalue: {second}
momentum: {rates.momentum:g}
weight_decay: {rates.weight_decay:g}

# The log shows the loss every {max(plan.max_iter // 20, 1)} iterations, as a mean over as many.
display: {max(plan.max_iter // 20, 1)}
average_loss: {max(plan.max_iter // 20, 1)}

# Weights (.caffemodel) and the state to resume from (.solverstate) are saved in snapshots/.
snapshot: {plan.max_iter // 2}
snapshot_prefix: "snapshots/{name}"

# The same seed gives the same training again. CPU, or GPU (NVIDIA).
random_seed: 1
solver_mode: CPU
"""


def _tests(plan: TrainingPlan, score: str) -> str:
    twice = plan.test_iter * plan.test_batch - plan.n_validation
    rest = f"; {twice} of them twice" if twice else ""
    return f"""# Validation: {plan.n_validation} images every {plan.test_interval} iterations,
# in {plan.test_iter} x {plan.test_batch} images{rest}.
test_iter: {plan.test_iter}
test_interval: {plan.test_interval}
# The weights of the best test are kept, in the folder of the run: runs/solver-1/best.caffemodel.
keep_best: "{score}"
"""
