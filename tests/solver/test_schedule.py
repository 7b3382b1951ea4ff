"""Settings of forks that change the updates: momentum, weight decay, local rates, plateaus."""

import numpy as np
import pytest
from small_nets import FED_NET, FIXED, feed, weights

from minicaffe.errors import SolverError
from minicaffe.schema import SolverParameter, parse_prototxt
from minicaffe.solver.rules import rule_problems
from minicaffe.solver.schedule import Plateau
from minicaffe.solver.update_settings import momentum, weight_decay
from probe import GPU_NAMES

BACKENDS = ["auto", "reference", *GPU_NAMES]


def solver_param(text):
    return parse_prototxt(text, SolverParameter).message


def gradient_step(solver, step=0):
    """Feed a batch and make one iteration; return the gradients before it."""
    feed(solver, step)
    solver.net.clear_param_diffs()
    solver.net.forward()
    solver.net.backward()
    gradients = [p.blob.diff.get().copy() for p in solver.net.parameters]
    solver.step(1)
    return gradients


@pytest.mark.parametrize(
    ("policy", "rate", "values"),
    [
        ("momentum: 0.5", 1, {0: 0.5, 9: 0.5}),
        (
            'momentum: 0.5 momentum_policy: "poly" max_momentum: 0.9 max_iter: 8',
            1,
            {0: 0.5, 4: 0.7, 8: 0.9},
        ),
        (
            'momentum: 0.5 momentum_policy: "poly" max_momentum: 0.9 max_iter: 8 momentum_power: 2',
            1,
            {0: 0.5, 4: 0.6, 8: 0.9},
        ),
        ('momentum_policy: "opt"', 0.04, {0: 0.81, 5: 0.81}),
        ('momentum_policy: "opt" max_momentum: 0.7', 0.04, {3: 0.7}),
        (
            'lr_policy: "onecycle" max_iter: 20 momentum: 0.85 momentum_policy: "onecycle" '
            "max_momentum: 0.95",
            1,
            {0: 0.95, 3: 0.9, 6: 0.85, 13: 0.9, 20: 0.95},
        ),
    ],
)
def test_momentum_policies(policy, rate, values):
    param = solver_param(policy)
    assert {i: momentum(param, i, rate) for i in values} == pytest.approx(values)


def test_weight_decay_policies():
    fixed = solver_param("weight_decay: 0.3 max_iter: 8")
    assert weight_decay(fixed, 4) == pytest.approx(0.3)
    poly = solver_param('weight_decay: 0.3 max_iter: 8 weight_decay_policy: "poly"')
    assert weight_decay(poly, 4) == pytest.approx(0.15)
    poly.weight_decay_power = 2
    assert weight_decay(poly, 4) == pytest.approx(0.075)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ('momentum_policy: "linear"', 'momentum_policy: "linear" is unknown'),
        ('momentum_policy: "poly"', 'momentum_policy: "poly" needs max_iter, which is missing'),
        ('weight_decay_policy: "poly"', 'weight_decay_policy: "poly" needs max_iter'),
        ('weight_decay_policy: "opt"', 'weight_decay_policy: "opt" is unknown'),
        ('larc: true larc_policy: "max"', 'larc_policy: "max" is unknown'),
        ('momentum_policy: "opt" type: "Adam"', 'is for type: "SGD" or "Nesterov", not "Adam"'),
        ("larc: true local_lr_auto: true", "larc and local_lr_auto exclude each other"),
        ('local_lr_auto: true type: "AdamW"', "use larc or another type"),
        ('lr_policy: "cosine" momentum_policy: "onecycle"', 'onecycle"; it is "cosine"'),
    ],
)
def test_problems(fields, message):
    ((_, found),) = rule_problems(solver_param(fields))
    assert message in found


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["SGD", "Nesterov"])
def test_momentum_changes_from_update_to_update(make_solver, kind, backend):
    policy = f'momentum: 0.5 momentum_policy: "poly" max_momentum: 0.9 max_iter: 2 type: "{kind}"'
    solver = make_solver(FED_NET, FIXED + policy, backend)
    w, history = weights(solver)["ip.0"], 0
    for step, m in enumerate((0.5, 0.7)):
        gradient = gradient_step(solver, step)[0]
        before, history = history, m * history + 0.1 * gradient
        w = w - (history if kind == "SGD" else (1 + m) * history - m * before)
        np.testing.assert_allclose(weights(solver)["ip.0"], w, rtol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_weight_decay_grows(make_solver, backend):
    decay = 'weight_decay: 0.4 weight_decay_policy: "poly" max_iter: 4'
    solver = make_solver(FED_NET, FIXED + decay, backend)
    solver.iter = 2
    before = weights(solver)["ip.0"]
    gradient = gradient_step(solver)[0]
    expected = before - 0.1 * (gradient + 0.2 * before)
    np.testing.assert_allclose(weights(solver)["ip.0"], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["L2", "L1"])
def test_adamw_decays_weights_apart_from_the_gradient(make_solver, kind, backend):
    """Loshchilov and Hutter, 2019, algorithm 2, with a decay of rate * weight_decay."""
    more = f'momentum: 0.9 momentum2: 0.99 weight_decay: 0.3 regularization_type: "{kind}" '
    solver = make_solver(FED_NET, f'{FIXED} type: "AdamW" {more} delta: 1e-6', backend)
    w = weights(solver)["ip.0"].astype(np.float64)
    m = v = 0.0
    for n in (1, 2, 3):
        gradient = gradient_step(solver, n)[0]
        m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
        unbiased = m / (1 - 0.9**n), v / (1 - 0.99**n)
        decay = 0.3 * (w if kind == "L2" else np.sign(w))
        w = w - 0.1 * (unbiased[0] / np.sqrt(unbiased[1]) + decay)
        np.testing.assert_allclose(weights(solver)["ip.0"], w, rtol=1e-3, atol=1e-4)


LARC = "larc: true larc_eta: 0.02 "


def norm(x):
    return np.sqrt(np.sum(np.square(x, dtype=np.float64)))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("settings", "factor"),
    [
        (LARC, lambda w, g: 0.1 * 0.02 * w / g),
        (LARC + 'larc_policy: "clip"', lambda w, g: min(0.1, 0.02 * w / g)),
        ('larc: true larc_eta: 9 larc_policy: "clip"', lambda w, g: 0.1),
        ("local_lr_auto: true local_gw_ratio: 0.02", lambda w, g: 0.1 * 0.02 * w / (g + 0.3 * w)),
        ("local_lr_auto: true", lambda w, g: 0.1 * 0.001 * w / (g + 0.3 * w)),
    ],
    ids=["scale", "clip", "clip at the rate", "intel", "intel's default"],
)
def test_local_rates(make_solver, settings, factor, backend):
    """Of the bias, whose norm is 0 at the beginning, the factor is 1."""
    solver = make_solver(FED_NET, FIXED + f"weight_decay: 0.3 {settings}", backend)
    before = weights(solver)
    gradient, bias_gradient = gradient_step(solver)
    rate = factor(norm(before["ip.0"]), norm(gradient))
    expected = before["ip.0"] - rate * (gradient + 0.3 * before["ip.0"])
    after = weights(solver)
    np.testing.assert_allclose(after["ip.0"], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(after["ip.1"], -0.1 * bias_gradient, rtol=1e-4)


def test_local_rates_leave_frozen_parameters(make_solver):
    net = FED_NET.replace('top: "ip"\n', 'top: "ip" param { lr_mult: 0 } param { lr_mult: 3 }\n')
    for settings in (LARC, LARC + 'larc_policy: "clip"', "local_lr_auto: true"):
        solver = make_solver(net, FIXED + settings)
        before = weights(solver)
        gradient = gradient_step(solver)[1]
        np.testing.assert_array_equal(weights(solver)["ip.0"], before["ip.0"])
        np.testing.assert_allclose(weights(solver)["ip.1"], -0.1 * gradient, rtol=1e-5)


def test_local_rates_read_the_mean_of_clipped_gradients(make_solver):
    settings = LARC + "iter_size: 2 clip_gradients: 1e-3"
    solver = make_solver(FED_NET, FIXED + settings)
    before = weights(solver)["ip.0"]
    gradient = gradient_step(solver)[0]
    expected = before - 0.1 * 0.02 * norm(before) * gradient / norm(gradient)
    np.testing.assert_allclose(weights(solver)["ip.0"], expected, rtol=1e-4)


PLATEAU = 'lr_policy: "plateau" gamma: 0.1 plateau_winsize: [2, 3]'


def test_a_plateau_is_a_number_of_iterations_without_a_new_minimum(caplog_minicaffe):
    plateau = Plateau(solver_param(f"{PLATEAU} display: 4"))
    losses = [5, 4, 4, 4, 3, 3.5, 3, 3, 3, 2, 2, 2, 2]
    reductions = []
    for iteration, loss in enumerate(losses):
        plateau.update(iteration, loss)
        reductions.append(plateau.reductions)
    # Minima at 0, 1, 4, 9; the first window ends at 3 (event at 1), the second at 7 (event at 4).
    assert reductions == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    assert (plateau.minimum_loss, plateau.iter_last_event) == (2, 9)
    assert caplog_minicaffe.messages == [
        "Plateau Status: Iteration 0, current minimum_loss = 5",
        "Plateau Status: Iteration 3, step = 1",
        "Plateau Status: Iteration 4, current minimum_loss = 3",
        "Plateau Status: Iteration 7, step = 2",
        "Plateau Status: Iteration 8, current minimum_loss = 3",
        "Plateau Status: Iteration 12, current minimum_loss = 2",
    ]


def test_a_plateau_is_looked_for_after_the_warm_up(make_solver):
    settings = FIXED.replace('lr_policy: "fixed"', PLATEAU) + "warmup_iter: 3"
    frozen = 'top: "ip" param { lr_mult: 0 } param { lr_mult: 0 }'
    solver = make_solver(FED_NET.replace('top: "ip"\n', f"{frozen}\n"), settings)
    rates = []
    for _ in range(9):
        feed(solver, 0)  # the same loss in every iteration
        solver.step(1)
        rates.append(round(solver.rate, 4))
    # The first loss that counts is that of iteration 3; windows end at 5 and 8.
    assert rates == [0.0333, 0.0667, 0.1, 0.1, 0.1, 0.01, 0.01, 0.01, 0.001]


def test_an_unknown_policy_is_refused_at_once(make_solver):
    with pytest.raises(SolverError, match='momentum_policy: "x" is unknown'):
        make_solver(FED_NET, FIXED + 'momentum_policy: "x"')
