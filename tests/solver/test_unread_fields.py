"""Warnings of a solver's fields without effect, and of trainings that cannot learn."""

import pytest
from small_nets import DATA_NET, FED_NET, FIXED

LEARN = 'base_lr: 0.1 snapshot_after_train: false random_seed: 1 lr_policy: "fixed" max_iter: 9 '


@pytest.fixture
def warnings(make_solver, caplog_minicaffe):
    """A function that makes a solver and returns its warnings."""

    def of(net, settings):
        caplog_minicaffe.clear()
        make_solver(net, settings)
        return [r.getMessage() for r in caplog_minicaffe.records if r.levelname == "WARNING"]

    return of


def test_healthy_solvers_have_no_warning(warnings, database):
    assert warnings(FED_NET, FIXED) == []
    tests = "test_iter: 2 test_interval: 3 display: 2 average_loss: 5 weight_decay: 0.1 "
    assert warnings(DATA_NET, LEARN + tests + 'regularization_type: "L1"') == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("gamma: 0.1", 'gamma has no effect with lr_policy: "fixed". Remove it, or use a policy'),
        ("power: 2", 'power has no effect with lr_policy: "fixed"'),
        ("stepsize: 5", "stepsize has no effect"),
        ("stepvalue: 5", "stepvalue has no effect"),
        ("momentum2: 0.9", 'momentum2 has no effect with type: "SGD". Remove it, or use a type'),
        ("rms_decay: 0.9", "that reads it: RMSProp"),
        ('delta: 1e-6 type: "Nesterov"', 'delta has no effect with type: "Nesterov"'),
        ('regularization_type: "L1"', "regularization_type has no effect without weight_decay"),
        ("test_interval: 50", "test_interval: 50 has no effect, because no net is tested. Add"),
        ("test_compute_loss: true", "test_compute_loss: true has no effect"),
        ("average_loss: 9", "average_loss: 9 has no effect, because the mean of the last losses"),
        ("debug_info: true", "debug_info: true has no effect"),
        ("keep_last: 2", "keep_last: 2 removes nothing of this training"),
        ("snapshot_diff: true", "snapshot_diff has no effect, because no snapshot is written"),
        ("snapshot: 10", "no snapshot is due: snapshot: 10 is larger than max_iter: 9"),
        ("stagelr: 1", "stagelr has no effect"),
        ("warmup_start_lr: 0.1", "warmup_start_lr has no effect without warmup_iter"),
        ("rampup_lr: 0.1", "rampup_lr has no effect without rampup_interval. Remove it, or"),
        ("larc_eta: 0.1", "larc_eta has no effect without larc"),
        ("max_momentum: 0.95", "max_momentum has no effect without momentum_policy"),
        ("weight_decay_power: 2", "weight_decay_power has no effect without weight_decay_policy"),
        ("richness: 5 group_id: [1, 2]", "accepted without effect: group_id, richness. These are"),
        ("clip_gradients: 0", "clip_gradients: 0 makes every gradient 0: nothing is learnt"),
    ],
)
def test_fields_without_effect(warnings, settings, message):
    (found,) = warnings(FED_NET, LEARN + settings)
    assert found.startswith(("solver.prototxt:1: ", "solver.prototxt: accepted"))
    assert message in found


def test_no_rate(warnings):
    settings = LEARN.replace("base_lr: 0.1", "base_lr: 0")
    assert "base_lr: 0 changes no parameter" in warnings(FED_NET, settings)[0]


def test_tests_of_no_iterations(warnings, database):
    (found,) = warnings(DATA_NET, LEARN + "test_iter: 0 test_interval: 3")
    assert "test_iter: 0 tests nothing: test net #0 has no score" in found


LOSS = 'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "y" top: "loss"'


@pytest.mark.parametrize(
    ("rest", "advice"),
    [
        (" loss_weight: 0 }", 'Layer "loss" has loss_weight: 0; remove it.'),
        (
            " include { phase: TEST } }",
            'Layer "loss" (solver_net.prototxt:7) is not in phase TRAIN; correct its include or '
            "exclude rule.",
        ),
        (None, "Add a layer such as SoftmaxWithLoss or EuclideanLoss."),
    ],
)
def test_a_net_without_a_loss(warnings, rest, advice):
    net = FED_NET.replace(LOSS + " }", LOSS + rest if rest else "")
    assert warnings(net, FIXED) == [
        f"solver_net.prototxt: nothing is learnt, because the training net has no loss. {advice}"
    ]


def test_a_python_layer_may_be_the_loss(warnings, workdir, monkeypatch):
    (workdir / "silent_loss.py").write_text(
        "import caffe\nclass L(caffe.Layer):\n    def reshape(self, b, t): t[0].reshape(1)\n"
    )
    monkeypatch.syspath_prepend(workdir)
    python = (
        'layer { name: "loss" type: "Python" bottom: "ip" top: "loss" '
        'python_param { module: "silent_loss" layer: "L" }'
    )
    net = FED_NET.replace(LOSS, python)
    assert warnings(net, FIXED)[0].endswith('Is layer "loss" the loss? Add loss_weight: 1 to it.')
    assert warnings(net.replace(python, python + " loss_weight: 1"), FIXED) == []


def test_layers_that_do_not_learn(warnings):
    frozen = "param { lr_mult: 0 } " * 2 + "inner_product_param"
    (found,) = warnings(FED_NET.replace("inner_product_param", frozen), FIXED)
    assert "nothing is learnt, because every lr_mult is 0 in the training net" in found
    branch = (
        'layer { name: "extra" type: "InnerProduct" bottom: "x" top: "extra" '
        "inner_product_param { num_output: 2 } }"
    )
    (found,) = warnings(FED_NET + branch, FIXED)
    assert 'no loss depends on layers "extra", so that they do not learn' in found


def test_tests_that_read_the_training_data(warnings, database):
    common = DATA_NET.replace("include { phase: TRAIN }", "", 1)
    lines = common.split("\n")
    start = next(i for i, line in enumerate(lines) if "include { phase: TEST }" in line)
    del lines[start : start + 3]
    (found,) = warnings("\n".join(lines), LEARN + "test_iter: 1 test_interval: 3")
    assert 'layer "data" (Data): is in the training net and in a test net' in found
    assert warnings("\n".join(lines), LEARN) == []


def test_a_warning_of_both_nets_comes_once(warnings, database):
    net = DATA_NET.replace('bottom: "conv" top: "ip"', 'bottom: "conv" top: "ip" lrn_param { }')
    (found,) = warnings(net, LEARN + "test_iter: 1 test_interval: 3")
    assert "lrn_param has no effect" in found
