"""Train LeNet with every solver or every learning-rate policy: compare.py solvers|policies N.

N is the number of iterations. Writes lab/compare_NAME.prototxt for each run and prints a table.
"""

import sys
from pathlib import Path

from google.protobuf import text_format

import caffe

TEST_BATCHES = 20


def solvers():
    """Return the settings of the six solver types, with a usual rate for each."""
    return {
        "SGD": {"base_lr": 0.01, "momentum": 0.9},
        "Nesterov": {"base_lr": 0.01, "momentum": 0.9},
        "AdaGrad": {"base_lr": 0.01},
        "RMSProp": {"base_lr": 0.001, "rms_decay": 0.98},
        "AdaDelta": {"base_lr": 1.0, "momentum": 0.95, "delta": 1e-6},
        "Adam": {"base_lr": 0.001, "momentum": 0.9, "momentum2": 0.999},
    }


def policies(n):
    """Return the settings of the seven policies for `n` iterations of SGD."""
    settings = {
        "fixed": {},
        "step": {"gamma": 0.1, "stepsize": n // 2},
        "multistep": {"gamma": 0.1, "stepvalue": [n // 2, 3 * n // 4]},
        "exp": {"gamma": 0.01 ** (1 / n)},
        "inv": {"gamma": 0.0001, "power": 0.75},
        "poly": {"power": 1.0},
        "sigmoid": {"gamma": -10 / n, "stepsize": n // 2},
    }
    return {
        name: {"base_lr": 0.01, "momentum": 0.9, "lr_policy": name, **extra}
        for name, extra in settings.items()
    }


def train(name, settings, n):
    """Train for `n` iterations and return loss and accuracy on the test set."""
    param = caffe.proto.caffe_pb2.SolverParameter(
        net="models/lenet/lenet_train_test.prototxt",
        test_iter=[TEST_BATCHES],
        test_interval=n + 1,
        test_initialization=False,
        max_iter=n,
        weight_decay=0.0005,
        random_seed=1,
        snapshot_prefix=f"lab/compare_{name}",
        **{"lr_policy": "fixed", **settings},
    )
    path = f"lab/compare_{name}.prototxt"
    Path(path).write_text(text_format.MessageToString(param))
    solver = caffe.get_solver(path)
    solver.step(n)
    net = solver.test_nets[0]
    scores = [{k: float(v) for k, v in net.forward().items()} for _ in range(TEST_BATCHES)]
    return (sum(score[k] for score in scores) / TEST_BATCHES for k in ("loss", "accuracy"))


what, iterations = sys.argv[1], int(sys.argv[2])
runs = (
    policies(iterations)
    if what == "policies"
    else {name: {"type": name, **extra} for name, extra in solvers().items()}
)
print(f"{what:10}{'test loss':>11}{'accuracy':>10}")
for name, settings in runs.items():
    loss, accuracy = train(name, settings, iterations)
    print(f"{name:10}{loss:11.3f}{accuracy:10.3f}", flush=True)
