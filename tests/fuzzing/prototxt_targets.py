"""Targets: nets and solvers as text."""

from __future__ import annotations

import random
import re

from fuzzing.material import layer_nets
from fuzzing.mutations import change_bytes, change_text
from fuzzing.target import Files, Target, target

OLD_NETS = [
    'input: "x" input_dim: 2 input_dim: 3 input_dim: 4 input_dim: 5 layers { name: "c" type: '
    'CONVOLUTION bottom: "x" top: "y" blobs_lr: 1 blobs_lr: 2 weight_decay: 1 convolution_param { '
    'num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }',
    'layer { name: "d" type: "DummyData" top: "x" top: "z" dummy_data_param { shape { dim: 3 dim: '
    '4 } shape { dim: 3 } data_filler { type: "gaussian" std: 0.1 sparse: 2 } data_filler { type: '
    '"uniform" min: 0 max: 1 } } }\nlayer { name: "i" type: "InnerProduct" bottom: "x" top: "y" '
    'param { name: "w" lr_mult: 1 decay_mult: 0 share_mode: PERMISSIVE } inner_product_param { '
    'num_output: 3 axis: 1 weight_filler { type: "msra" variance_norm: FAN_OUT } bias_filler { '
    'type: "positive_unitball" } } include { phase: TRAIN min_level: 0 not_stage: "b" } }\n'
    'layer { name: "l" type: "EuclideanLoss" bottom: "y" bottom: "y" top: "l" loss_weight: 0.5 }',
]
SOLVER_NET = (
    'net_param { layer { name: "d" type: "DummyData" top: "x" top: "l" dummy_data_param { shape { '
    'dim: 3 dim: 4 } shape { dim: 3 } data_filler { type: "gaussian" std: 1 } data_filler { type: '
    '"constant" value: 1 } } } layer { name: "i" type: "InnerProduct" bottom: "x" top: "y" '
    'inner_product_param { num_output: 3 weight_filler { type: "xavier" } } } layer { name: "o" '
    'type: "SoftmaxWithLoss" bottom: "y" bottom: "l" top: "loss" } }\n'
    'base_lr: 0.01 max_iter: 4 snapshot_prefix: "s" '
)
SOLVERS = [
    'lr_policy: "step" gamma: 0.1 stepsize: 2 momentum: 0.9 weight_decay: 0.005 display: 1 '
    "test_iter: 1 test_interval: 2 average_loss: 3 random_seed: 1 iter_size: 2 clip_gradients: 5",
    'lr_policy: "multistep" gamma: 0.1 stepvalue: 1 stepvalue: 3 regularization_type: "L1" '
    'weight_decay: 0.005 type: "Nesterov" momentum: 0.9 snapshot: 2',
    'lr_policy: "inv" gamma: 0.1 power: 0.75 type: "Adam" momentum: 0.9 momentum2: 0.999 delta: '
    "1e-8 snapshot: 3 snapshot_format: HDF5 snapshot_diff: true",
    'lr_policy: "poly" power: 2 type: "RMSProp" rms_decay: 0.98 debug_info: true display: 1',
    'lr_policy: "sigmoid" gamma: -0.1 stepsize: 2 type: "AdaDelta" momentum: 0.95 delta: 1e-6 '
    'test_iter: 1 test_interval: 2 train_state { stage: "a" level: 1 } test_state { stage: "b" }',
    'lr_policy: "exp" gamma: 0.9 type: "AdaGrad" solver_mode: CPU test_initialization: false',
    'lr_policy: "fixed" solver_type: ADAM momentum: 0.9 snapshot_after_train: false',
]
# A long training that is asked for would be made.
_LONG = re.compile(rb"(max_iter|iter_size|test_iter)(\s*:\s*)\+?\w{3,}")


@target
def net_text() -> Target:
    """Nets that are read only."""
    single = layer_nets()
    bare = [text.removeprefix("force_backward: true\n") for text in single]
    texts = ["".join(bare[i : i + 5]) for i in range(0, len(bare), 5)] + OLD_NETS

    def make(rng: random.Random, number: int) -> Files:
        text = rng.choice(texts)
        if number % 2:
            return {"q.prototxt": change_bytes(text.encode(), rng)}
        return {"q.prototxt": change_text(text, rng, texts)}

    return Target(make, [["upgrade_net_proto_text", "q.prototxt", "out.prototxt"]])


@target
def net_build() -> Target:
    """Nets that are built and run."""
    texts = layer_nets() + OLD_NETS
    time = ["time", "--model=q.prototxt", "--iterations=1", "--threads=1"]

    def make(rng: random.Random, number: int) -> Files:
        return {"q.prototxt": change_text(texts[number % len(texts)], rng, texts)}

    return Target(make, [time, ["summarize", "q.prototxt"]])


@target
def solver() -> Target:
    """Solvers that train."""
    texts = [SOLVER_NET + text for text in SOLVERS]

    def make(rng: random.Random, number: int) -> Files:
        text = change_text(texts[number % len(texts)], rng, texts)
        return {"q.prototxt": _LONG.sub(rb"\1\g<2>20", text)}

    return Target(make, [["train", "--solver=q.prototxt", "--threads=1"]])
