"""Learning-rate policies against their formulas, computed by hand, and their refusals."""

import math

import pytest

from minicaffe.schema import SolverParameter, parse_prototxt
from minicaffe.solver.lr_policy import current_step, horizon, learning_rate, lr_policy_problems


def solver_param(text):
    return parse_prototxt(text, SolverParameter).message


TABLE = [
    ("fixed", "", 7, 0.5),
    ("step", "gamma: 0.1 stepsize: 3", 2, 0.5),
    ("step", "gamma: 0.1 stepsize: 3", 3, 0.05),
    ("step", "gamma: 0.1 stepsize: 3", 8, 0.005),
    ("exp", "gamma: 0.5", 3, 0.0625),
    ("inv", "gamma: 0.5 power: 2", 2, 0.125),
    ("multistep", "gamma: 0.1 stepvalue: 2 stepvalue: 5", 1, 0.5),
    ("multistep", "gamma: 0.1 stepvalue: 2 stepvalue: 5", 2, 0.05),
    ("multistep", "gamma: 0.1 stepvalue: 2 stepvalue: 5", 5, 0.005),
    ("poly", "power: 2 max_iter: 4", 2, 0.125),
    ("poly", "power: 2 max_iter: 4", 4, 0.0),
    ("poly", "power: 0.5 max_iter: 4", 9, 0.0),
    ("sigmoid", "gamma: -2 stepsize: 3", 3, 0.25),
    ("sigmoid", "gamma: -2 stepsize: 3", 4, 0.5 / (1 + math.exp(2))),
    ("poly", "power: 2 max_iter: 4 min_lr: 0.1", 2, 0.2),
    ("poly", "power: 2 max_iter: 4 min_lr: 0.1", 4, 0.1),
    ("exp", "gamma: 0.5 min_lr: 0.1", 2, 0.125),
    ("exp", "gamma: 0.5 min_lr: 0.1", 3, 0.1),
    *[
        ("multifixed", "stagelr: [1, 2, 3] stageiter: [2, 4, 6]", iteration, rate)
        for iteration, rate in ((0, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, 3), (99, 3))
    ],
    ("plateau", "gamma: 0.1 plateau_winsize: 5", 9, 0.5),
    ("exp", "gamma: 0.5 warmup_iter: 4", 0, 0),
    ("exp", "gamma: 0.5 warmup_iter: 4 warmup_start_lr: 0.1", 0, 0.1),
    ("exp", "gamma: 0.5 warmup_iter: 4 warmup_start_lr: 0.1", 3, 0.4),
    ("exp", "gamma: 0.5 warmup_iter: 4 warmup_start_lr: 0.1", 4, 0.03125),
    ("fixed", "rampup_interval: 4 rampup_lr: 0.1", 0, 0.1),
    ("fixed", "rampup_interval: 4 rampup_lr: 0.1", 2, 0.2),
    ("fixed", "rampup_interval: 4 rampup_lr: 0.1 min_lr: 0.15", 0, 0.15),
    ("fixed", "rampup_interval: 4 rampup_lr: 0.1", 4, 0.5),
    *[
        ("cosine", "max_iter: 12", iteration, 0.25 * (1 + math.cos(math.pi * iteration / 12)))
        for iteration in (0, 1, 5, 12)
    ],
    ("cosine", "max_iter: 12", 13, 0.0),
    ("cosine", "max_iter: 12 min_lr: 0.1", 6, 0.3),
    ("cosine", "max_iter: 12 min_lr: 0.1", 12, 0.1),
    # Warm restarts: cycles of 4, 8 and 12 iterations.
    ("cosine", "max_iter: 24 stepvalue: [4, 12]", 3, 0.25 * (1 + math.cos(math.pi * 3 / 4))),
    ("cosine", "max_iter: 24 stepvalue: [4, 12]", 4, 0.5),
    ("cosine", "max_iter: 24 stepvalue: [4, 12]", 8, 0.25),
    ("cosine", "max_iter: 24 stepvalue: [4, 12]", 12, 0.5),
    ("cosine", "max_iter: 24 stepvalue: [4, 12]", 18, 0.25),
    ("cosine", "max_iter: 24 stepvalue: [4, 40]", 22, 0.25),
    # The first cycle begins after the warm-up.
    ("cosine", "max_iter: 14 warmup_iter: 4 warmup_start_lr: 0.1", 2, 0.3),
    ("cosine", "max_iter: 14 warmup_iter: 4 warmup_start_lr: 0.1", 4, 0.5),
    ("cosine", "max_iter: 14 warmup_iter: 4 warmup_start_lr: 0.1", 9, 0.25),
    ("cosine", "max_iter: 14 warmup_iter: 4 stepvalue: [2, 8]", 6, 0.25),
    ("onecycle", "max_iter: 20", 0, 0.5 / 25),
    ("onecycle", "max_iter: 20", 3, 0.5 / 25 + (0.5 - 0.5 / 25) / 2),
    ("onecycle", "max_iter: 20", 6, 0.5),
    ("onecycle", "max_iter: 20", 13, (0.5 + 0.5 / 250_000) / 2),
    ("onecycle", "max_iter: 20", 20, 0.5 / 250_000),
    ("onecycle", "max_iter: 20 min_lr: 0.1", 0, 0.1),
    ("onecycle", "max_iter: 20 min_lr: 0.1", 13, 0.3),
    ("onecycle", "max_iter: 20 warmup_start_lr: 0.2", 3, 0.35),
    ("onecycle", "max_iter: 20 warmup_iter: 10", 5, 0.26),
    ("onecycle", "max_iter: 20 warmup_iter: 10 warmup_start_lr: 0", 5, 0.25),
    ("onecycle", "max_iter: 20 warmup_iter: 10 min_lr: 0", 15, 0.25),
    ("onecycle", "max_iter: 20 rampup_interval: 10 rampup_lr: 0.1", 5, 0.2),
]


@pytest.mark.parametrize(("policy", "fields", "iteration", "rate"), TABLE)
def test_rate(policy, fields, iteration, rate):
    param = solver_param(f'base_lr: 0.5 lr_policy: "{policy}" {fields}')
    assert not list(lr_policy_problems(param))
    assert learning_rate(param, iteration) == pytest.approx(rate, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    ("fields", "iterations"),
    [
        ('lr_policy: "step" stepsize: 10 max_iter: 50', 50),
        ('lr_policy: "step" stepsize: 10', 30),
        ('lr_policy: "multistep" stepvalue: [4, 8]', 10),
        ('lr_policy: "multifixed" stageiter: [4, 8]', 10),
        ('lr_policy: "cosine" max_iter: 50 stepvalue: 40', 50),
        ('lr_policy: "fixed"', 0),
    ],
)
def test_horizon(fields, iterations):
    assert horizon(solver_param(fields)) == iterations


def test_a_multifixed_rate_needs_no_base_lr():
    param = solver_param('lr_policy: "multifixed" stagelr: 2 stageiter: 5')
    assert not list(lr_policy_problems(param))
    assert learning_rate(param, 0) == 2


def test_each_reduction_on_a_plateau_multiplies_by_gamma():
    param = solver_param('base_lr: 0.5 lr_policy: "plateau" gamma: 0.5 plateau_winsize: 5')
    assert [learning_rate(param, 9, n) for n in range(3)] == [0.5, 0.25, 0.125]
    assert current_step(param, 9, 2) == 2


@pytest.mark.parametrize(("gamma", "rate"), [(1.0, 0.0), (-1.0, 0.5)])
def test_sigmoid_far_from_its_middle(gamma, rate):
    param = solver_param(f'base_lr: 0.5 lr_policy: "sigmoid" gamma: {gamma} stepsize: 100000')
    assert learning_rate(param, 0) == rate


@pytest.mark.parametrize(
    ("fields", "iteration", "expected"),
    [
        ('lr_policy: "step" stepsize: 3', 3, 0),
        ('lr_policy: "step" stepsize: 3', 4, 1),
        ('lr_policy: "multistep" stepvalue: 2 stepvalue: 5', 2, 0),
        ('lr_policy: "multistep" stepvalue: 2 stepvalue: 5', 6, 2),
        ('lr_policy: "fixed" stepsize: 3', 9, 0),
    ],
)
def test_current_step_counts_the_rates_used_so_far(fields, iteration, expected):
    assert current_step(solver_param(fields), iteration) == expected


@pytest.mark.parametrize(
    ("fields", "field", "message"),
    [
        ('lr_policy: "fixed"', "", "base_lr is missing"),
        ("base_lr: 1", "lr_policy", "lr_policy is missing. Known: cosine, exp, fixed"),
        ('base_lr: 1 lr_policy: "Step"', "lr_policy", '"Step" is unknown. Did you mean step'),
        ('base_lr: 1 lr_policy: "step" gamma: 1', "lr_policy", '"step" needs stepsize'),
        ('base_lr: 1 lr_policy: "step" gamma: 1 stepsize: 0', "stepsize", "at least 1, it is 0"),
        ('base_lr: 1 lr_policy: "inv" gamma: 1', "lr_policy", '"inv" needs power'),
        ('base_lr: 1 lr_policy: "multistep" gamma: 1', "lr_policy", "needs stepvalue"),
        ('base_lr: 1 lr_policy: "poly" power: 1', "lr_policy", "needs max_iter"),
        ('base_lr: 1 lr_policy: "poly" power: 1 max_iter: 0', "max_iter", "at least 1, it is 0"),
        ('base_lr: 1 lr_policy: "fixed" stepvalue: 5 stepvalue: 2', "stepvalue", "must ascend"),
        ('lr_policy: "multifixed" stagelr: 1', "lr_policy", "needs stageiter"),
        (
            'lr_policy: "multifixed" stagelr: 1 stageiter: [2, 3]',
            "stagelr",
            "there are 1 stagelr and 2 stageiter",
        ),
        (
            'lr_policy: "multifixed" stagelr: [1, 2] stageiter: [3, 2]',
            "stageiter",
            "stageiters must ascend; they are [3, 2]",
        ),
        (
            'lr_policy: "multifixed" stagelr: 1 stageiter: 2 warmup_iter: 5',
            "",
            "base_lr is missing",
        ),
        ('base_lr: 1 lr_policy: "plateau" gamma: 1', "lr_policy", "needs plateau_winsize"),
        (
            'base_lr: 1 lr_policy: "plateau" gamma: 1 plateau_winsize: 0',
            "plateau_winsize",
            "must be at least 1; they are [0]",
        ),
        ('base_lr: 1 lr_policy: "fixed" min_lr: -1', "min_lr", "at least 0, it is -1"),
        ('base_lr: 1 lr_policy: "fixed" warmup_iter: -1', "warmup_iter", "at least 0, it is -1"),
        (
            'base_lr: 1 lr_policy: "fixed" warmup_iter: 2 rampup_interval: 3',
            "rampup_interval",
            "exclude each other",
        ),
        (
            'base_lr: 1 lr_policy: "poly" power: 1 max_iter: 9 min_lr: 2',
            "min_lr",
            "min_lr: 2 is larger than base_lr: 1",
        ),
        ('base_lr: 1 lr_policy: "cosine"', "lr_policy", '"cosine" needs max_iter'),
        ('base_lr: 1 lr_policy: "onecycle" max_iter: 0', "max_iter", '"onecycle" needs a max_iter'),
        ('base_lr: 1 lr_policy: "cosine" max_iter: 9 min_lr: 2', "min_lr", "larger than base_lr"),
        (
            'base_lr: 1 lr_policy: "cosine" max_iter: 9 stepvalue: [5, 3]',
            "stepvalue",
            "stepvalues must ascend; they are [5, 3]",
        ),
    ],
)
def test_problems(fields, field, message):
    ((found, text),) = lr_policy_problems(solver_param(fields))
    assert found == field
    assert message in text
