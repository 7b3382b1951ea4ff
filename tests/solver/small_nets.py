"""Nets that train in milliseconds, for the tests of the solver."""

import numpy as np

# Eleven records, batches of four: no epoch ends with a batch.
DATA_NET = """
name: "small"
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TRAIN }
  transform_param { mirror: true crop_size: 6 scale: 0.004 }
  data_param { source: "train_lmdb" batch_size: 4 backend: LMDB } }
layer { name: "data" type: "Data" top: "data" top: "label" include { phase: TEST }
  transform_param { crop_size: 6 scale: 0.004 }
  data_param { source: "train_lmdb" batch_size: 3 backend: LMDB } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "accuracy" type: "Accuracy" bottom: "ip" bottom: "label" top: "accuracy"
  include { phase: TEST } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
# A net that is fed by hand.
FED_NET = """
name: "fed"
layer { name: "x" type: "Input" top: "x" top: "y"
  input_param { shape { dim: 4 dim: 3 } shape { dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss" }
"""
FIXED = 'base_lr: 0.1 lr_policy: "fixed" snapshot_after_train: false random_seed: 1 '


def feed(solver, step):
    """Fill FED_NET's inputs with numbers that depend on the step alone."""
    rng = np.random.default_rng(step)
    x, y = solver.net.inputs
    x.data.set(rng.standard_normal(x.shape).astype(np.float32))
    y.data.set(rng.integers(0, 2, y.shape).astype(np.float32))


def weights(solver):
    """Return copies of all parameters, by layer and index."""
    return {f"{p.layer.name}.{p.index}": p.blob.data.get().copy() for p in solver.net.parameters}
