"""A small SSD on a database of squares: it learns, is evaluated, and resumes exactly."""

import re
from pathlib import Path

import numpy as np
import pytest

from minicaffe.data.annotations.annotated_datum import encode_annotated_datum
from minicaffe.data.annotations.object_box import ObjectBox
from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.schema import read_solver
from minicaffe.solver.solver import Solver

SIZE = 32
AUGMENTED = """
  distort_param { brightness_prob: 0.5 brightness_delta: 20 hue_prob: 0.5 hue_delta: 9 }
  expand_param { prob: 0.5 max_expand_ratio: 1.5 } emit_constraint { } mirror: true
"""
SAMPLERS = """annotated_data_param {
  batch_sampler { max_sample: 1 max_trials: 1 }
  batch_sampler { sampler { min_scale: 0.6 } sample_constraint { min_object_coverage: 0.9 }
                  max_sample: 1 max_trials: 20 } }
"""


def data(phase, settings, samplers):
    return (
        f'layer {{ name: "data" type: "AnnotatedData" top: "data" top: "label" include {{ phase: '
        f"{phase} }} transform_param {{ scale: 0.0078125 mean_value: 128 resize_param {{ height: "
        f"{SIZE} width: {SIZE} }} {settings} }} data_param {{ source: "
        f'"db" batch_size: 8 backend: LMDB }} {samplers} }}'
    )


def convolution(name, bottom, top, n, stride=1):
    return (
        f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{top}" '
        f"convolution_param {{ num_output: {n} kernel_size: 3 pad: 1 stride: {stride} "
        'weight_filler { type: "msra" } } }'
    )


def head(name, values):
    return (
        convolution(name, "c3", name, values)
        + f'layer {{ name: "{name}_p" type: "Permute" bottom: "{name}" top: "{name}_p" '
        "permute_param { order: 0 order: 2 order: 3 order: 1 } }"
        f'layer {{ name: "{name}_f" type: "Flatten" bottom: "{name}_p" top: "{name}_f" }}'
    )


NET = (
    data("TRAIN", AUGMENTED, SAMPLERS)
    + data("TEST", "", "")
    + convolution("c1", "data", "c1", 12, 2)
    + 'layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }'
    + convolution("c2", "c1", "c2", 16, 2)
    + 'layer { name: "r2" type: "ReLU" bottom: "c2" top: "c2" }'
    + convolution("c3", "c2", "c3", 24)
    + 'layer { name: "r3" type: "ReLU" bottom: "c3" top: "c3" }'
    + head("loc", 4)
    + head("conf", 3)
    + """
layer { name: "prior" type: "PriorBox" bottom: "c3" bottom: "data" top: "prior"
  prior_box_param { min_size: 10 variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 } }
layer { name: "loss" type: "MultiBoxLoss" bottom: "loc_f" bottom: "conf_f" bottom: "prior"
  bottom: "label" top: "loss" include { phase: TRAIN } propagate_down: true propagate_down: true
  propagate_down: false propagate_down: false
  multibox_loss_param { num_classes: 3 code_type: CENTER_SIZE overlap_threshold: 0.4 } }
layer { name: "rows" type: "Reshape" bottom: "conf_f" top: "rows" include { phase: TEST }
  reshape_param { shape { dim: 0 dim: -1 dim: 3 } } }
layer { name: "soft" type: "Softmax" bottom: "rows" top: "soft" include { phase: TEST }
  softmax_param { axis: 2 } }
layer { name: "flat" type: "Flatten" bottom: "soft" top: "flat" include { phase: TEST } }
layer { name: "found" type: "DetectionOutput" bottom: "loc_f" bottom: "flat" bottom: "prior"
  top: "found" include { phase: TEST } detection_output_param { num_classes: 3
  code_type: CENTER_SIZE nms_param { nms_threshold: 0.45 top_k: 50 } keep_top_k: 20
  confidence_threshold: 0.01 } }
layer { name: "detection_eval" type: "DetectionEvaluate" bottom: "found" bottom: "label"
  top: "detection_eval" include { phase: TEST }
  detection_evaluate_param { num_classes: 3 overlap_threshold: 0.5 } }
"""
)
SOLVER = """net: "net.prototxt" base_lr: 0.003 lr_policy: "fixed" type: "Adam" max_iter: 60
test_iter: 2 test_interval: 60 test_initialization: false eval_type: "detection"
ap_version: "11point" show_per_class_result: true snapshot: 30 snapshot_prefix: "s"
random_seed: 3 average_loss: 5"""


@pytest.fixture
def solver_file(workdir):
    """The solver, its net and its database of bright and dark squares."""
    rng = np.random.default_rng(7)
    with create_database("db", "LMDB") as database:
        for i in range(16):
            label, side = i % 2 + 1, int(rng.integers(8, 14))
            top, left = rng.integers(0, SIZE - side, 2)
            image = rng.integers(100, 150, (3, SIZE, SIZE)).astype(np.uint8)
            image[:, top : top + side, left : left + side] = (255, 0)[label - 1]
            sides = tuple(float(x) / SIZE for x in (left, top, left + side, top + side))
            value = encode_annotated_datum(encode_datum(image, -1), [ObjectBox(label, sides)])
            database.put(b"%04d" % i, value)
    Path("net.prototxt").write_text(NET)
    Path("solver.prototxt").write_text(SOLVER)
    return "solver.prototxt"


def test_it_learns_and_resumes_exactly(solver_file, caplog_minicaffe):
    solver = Solver(read_solver(solver_file))
    solver.solve()
    found = [m for m in caplog_minicaffe.messages if re.match(r"class|    Test net output", m)]
    names = [line.split(":")[0].strip() for line in found]
    assert names == ["class1", "class2", "Test net output #0"]
    assert float(found[-1].split(" = ")[1]) > 0.5
    resumed = Solver(read_solver(solver_file))
    resumed.restore("s_iter_30.solverstate")
    resumed.step(30)
    for ours, theirs in zip(resumed.net.parameters, solver.net.parameters, strict=True):
        np.testing.assert_array_equal(ours.blob.data.get(), theirs.blob.data.get())
