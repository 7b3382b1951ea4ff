"""Learning-rate policies against their formulas, computed by hand, and their refusals."""

import math

import pytest

from minicaffe.schema import SolverParameter, parse_prototxt
from minicaffe.solver.lr_policy import current_step, learning_rate, lr_policy_problems


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
]


@pytest.mark.parametrize(("policy", "fields", "iteration", "rate"), TABLE)
def test_rate(policy, fields, iteration, rate):
    param = solver_param(f'base_lr: 0.5 lr_policy: "{policy}" {fields}')
    assert not list(lr_policy_problems(param))
    assert learning_rate(param, iteration) == pytest.approx(rate, rel=1e-6, abs=1e-12)


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
        ("base_lr: 1", "lr_policy", "lr_policy is missing. Known: exp, fixed"),
        ('base_lr: 1 lr_policy: "Step"', "lr_policy", '"Step" is unknown. Did you mean step'),
        ('base_lr: 1 lr_policy: "step" gamma: 1', "lr_policy", '"step" needs stepsize'),
        ('base_lr: 1 lr_policy: "step" gamma: 1 stepsize: 0', "stepsize", "at least 1, it is 0"),
        ('base_lr: 1 lr_policy: "inv" gamma: 1', "lr_policy", '"inv" needs power'),
        ('base_lr: 1 lr_policy: "multistep" gamma: 1', "lr_policy", "needs stepvalue"),
        ('base_lr: 1 lr_policy: "poly" power: 1', "lr_policy", "needs max_iter"),
        ('base_lr: 1 lr_policy: "poly" power: 1 max_iter: 0', "max_iter", "at least 1, it is 0"),
        ('base_lr: 1 lr_policy: "fixed" stepvalue: 5 stepvalue: 2', "stepvalue", "must ascend"),
    ],
)
def test_problems(fields, field, message):
    ((found, text),) = lr_policy_problems(solver_param(fields))
    assert found == field
    assert message in text
