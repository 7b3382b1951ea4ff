"""What a solver's settings mean for the updates and for what is logged."""

import re

import numpy as np
import pytest
from small_nets import FED_NET, FIXED, feed, weights

from minicaffe.errors import SolverError


def gradient_step(solver, step=0):
    """Feed a batch and make one iteration; return the gradient of the weights before it."""
    feed(solver, step)
    solver.net.clear_param_diffs()
    solver.net.forward()
    solver.net.backward()
    gradient = solver.net.parameters[0].blob.diff.get().copy()
    solver.step(1)
    return gradient


def test_sgd_goes_down_the_gradient(make_solver):
    solver = make_solver(FED_NET, FIXED)
    before = weights(solver)["ip.0"]
    gradient = gradient_step(solver)
    np.testing.assert_allclose(weights(solver)["ip.0"], before - 0.1 * gradient, rtol=1e-5)


def test_momentum_carries_the_last_update_on(make_solver):
    solver = make_solver(FED_NET, FIXED + "momentum: 0.5")
    start = weights(solver)["ip.0"]
    first = gradient_step(solver, 0)
    middle = weights(solver)["ip.0"]
    second = gradient_step(solver, 1)
    expected = middle - (0.1 * second + 0.5 * 0.1 * first)
    np.testing.assert_allclose(middle, start - 0.1 * first, rtol=1e-5)
    np.testing.assert_allclose(weights(solver)["ip.0"], expected, rtol=1e-5)


@pytest.mark.parametrize(("kind", "pull"), [("L2", lambda w: w), ("L1", np.sign)], ids=["L2", "L1"])
def test_weight_decay(make_solver, kind, pull):
    solver = make_solver(FED_NET, FIXED + f'weight_decay: 0.3 regularization_type: "{kind}"')
    before = weights(solver)["ip.0"]
    gradient = gradient_step(solver)
    expected = before - 0.1 * (gradient + 0.3 * pull(before))
    np.testing.assert_allclose(weights(solver)["ip.0"], expected, rtol=1e-5, atol=1e-6)


def test_lr_mult_and_decay_mult(make_solver):
    net = FED_NET.replace(
        'top: "ip"\n', 'top: "ip" param { lr_mult: 3 decay_mult: 2 } param { lr_mult: 0 }\n'
    )
    solver = make_solver(net, FIXED + "weight_decay: 0.3")
    before = weights(solver)
    gradient = gradient_step(solver)
    expected = before["ip.0"] - 0.3 * (gradient + 0.6 * before["ip.0"])
    np.testing.assert_allclose(weights(solver)["ip.0"], expected, rtol=1e-5)
    np.testing.assert_array_equal(weights(solver)["ip.1"], before["ip.1"])


def test_iter_size_equals_a_bigger_batch(make_solver):
    whole = make_solver(FED_NET, FIXED, name="whole")
    halves = make_solver(FED_NET.replace("dim: 4", "dim: 2"), FIXED + "iter_size: 2", name="halves")
    for p, q in zip(whole.net.parameters, halves.net.parameters, strict=True):
        q.blob.data.set(p.blob.data.get())
    feed(whole, 0)
    batch = [blob.data.get().copy() for blob in whole.net.inputs]
    whole.step(1)
    starts = iter([0, 2])

    def feed_half(layer):
        if layer == 0:
            start = next(starts)
            for blob, values in zip(halves.net.inputs, batch, strict=True):
                blob.data.set(values[start : start + 2])

    halves.net.before_forward.append(feed_half)
    halves.step(1)
    for name, values in weights(whole).items():
        np.testing.assert_allclose(weights(halves)[name], values, rtol=1e-5)
    assert halves.smoothed_loss == pytest.approx(whole.smoothed_loss, rel=1e-5)


def test_clip_gradients(make_solver, caplog_minicaffe):
    solver = make_solver(FED_NET, FIXED + "clip_gradients: 0.25")
    before = weights(solver)
    gradient_step(solver)
    moved = [before[name] - values for name, values in weights(solver).items()]
    norm = np.sqrt(sum((m**2).sum() for m in moved))
    assert norm == pytest.approx(0.1 * 0.25, rel=1e-4)
    (message,) = (m for m in caplog_minicaffe.messages if m.startswith("Gradient clipping"))
    assert re.fullmatch(
        r"Gradient clipping: scaling down gradients \(L2 norm [\d.]+ > 0\.25\) "
        r"by scale factor 0\.\d+",
        message,
    )


def test_average_loss_is_the_mean_of_the_last_ones(make_solver):
    solver = make_solver(FED_NET, FIXED + "average_loss: 3")
    losses = []
    for step in range(5):
        feed(solver, step)
        solver.step(1)
        losses.append(solver.net.loss())
        assert solver.smoothed_loss == pytest.approx(np.mean(losses[-3:]), rel=1e-6)


def test_debug_info(make_solver, caplog_minicaffe):
    solver = make_solver(FED_NET, FIXED + "debug_info: true display: 2")
    feed(solver, 0)
    solver.step(2)
    shapes = [
        re.sub(r"[-\d.]+(e[-+]\d+)?", "#", m)
        for m in caplog_minicaffe.messages
        if m.startswith("    [")
    ]
    assert shapes == [
        "    [Forward] Layer x, top blob x data: #",
        "    [Forward] Layer x, top blob y data: #",
        "    [Forward] Layer ip, top blob ip data: #",
        "    [Forward] Layer ip, param blob # data: #",
        "    [Forward] Layer ip, param blob # data: #",
        "    [Forward] Layer loss, top blob loss data: #",
        "    [Backward] Layer loss, bottom blob ip diff: #",
        "    [Backward] Layer ip, param blob # diff: #",
        "    [Backward] Layer ip, param blob # diff: #",
        "    [Backward] All net params (data, diff): L# norm = (#, #); L# norm = (#, #)",
        "    [Update] Layer ip, param # data: #; diff: #",
        "    [Update] Layer ip, param # data: #; diff: #",
    ]


def test_multistep_status_stands_before_the_rate_that_it_explains(make_solver, caplog_minicaffe):
    settings = 'base_lr: 0.1 lr_policy: "multistep" gamma: 0.5 stepvalue: 1 stepvalue: 3 display: 1'
    make_solver(FED_NET, settings).step(4)
    wanted = [m for m in caplog_minicaffe.messages if "lr =" in m or m.startswith("MultiStep")]
    assert wanted == [
        "Iteration 0, lr = 0.1",
        "MultiStep Status: Iteration 1, step = 1",
        "Iteration 1, lr = 0.05",
        "Iteration 2, lr = 0.05",
        "MultiStep Status: Iteration 3, step = 2",
        "Iteration 3, lr = 0.025",
    ]


def test_a_loss_that_is_not_a_number_is_said_once(make_solver, caplog_minicaffe):
    solver = make_solver(FED_NET, FIXED)
    solver.net.inputs[0].data.set(np.full((4, 3), np.nan, np.float32))
    solver.step(3)
    (warning,) = (r for r in caplog_minicaffe.records if r.levelname == "WARNING")
    assert warning.getMessage().startswith("Iteration 0: the loss is nan, and training will not")
    assert "lower base_lr" in warning.getMessage()


def test_the_seed_decides_everything(make_solver):
    one, two, other = (
        make_solver(FED_NET, FIXED.replace("random_seed: 1", f"random_seed: {seed}"), name=name)
        for name, seed in (("one", 1), ("two", 1), ("other", 2))
    )
    np.testing.assert_array_equal(weights(one)["ip.0"], weights(two)["ip.0"])
    assert not np.array_equal(weights(one)["ip.0"], weights(other)["ip.0"])


def test_callbacks(make_solver):
    solver, calls = make_solver(FED_NET, FIXED), []
    solver.on_start.append(lambda: calls.append(("start", solver.iter)))
    solver.on_gradients_ready.append(lambda: calls.append(("gradients", solver.iter)))
    solver.step(2)
    assert calls == [("start", 0), ("gradients", 0), ("start", 1), ("gradients", 1)]


def test_nothing_left_to_train_is_said(make_solver, caplog_minicaffe):
    make_solver(FED_NET, FIXED).solve()
    assert "Nothing to train: iteration 0 of max_iter: 0." in caplog_minicaffe.messages


def test_all_problems_of_a_solver_at_once(make_solver):
    settings = 'lr_policy: "stp"\ntype: "SGDD"\niter_size: 0\nregularization_type: "L3"'
    with pytest.raises(SolverError) as caught:
        make_solver(FED_NET, settings)
    lines = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        "solver.prototxt",
        "solver.prototxt:1",
        "solver.prototxt:2",
        "solver.prototxt:3",
        "solver.prototxt:4",
    ]
    assert "base_lr is missing" in lines[0]
    assert 'lr_policy: "stp" is unknown. Did you mean step' in lines[1]
    assert 'unknown solver type "SGDD". Did you mean SGD' in lines[2]
    assert "iter_size must be at least 1, it is 0" in lines[3]
    assert 'unknown regularization_type "L3". Known: L1, L2.' in lines[4]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ('type: "RMSProp" rms_decay: 1', "rms_decay must be at least 0 and below 1, it is 1"),
        ('type: "Adam" momentum: 1', "momentum must be at least 0 and below 1, it is 1"),
        ('type: "Adam" momentum2: 1.5', "momentum2 must be at least 0 and below 1, it is 1.5"),
        ('type: "AdaGrad" momentum: 0.9', "momentum: 0.9 cannot be used with AdaGrad; remove it"),
        ("average_loss: 0", "average_loss must be at least 1, it is 0"),
        ("max_iter: -1", "max_iter must be at least 0, it is -1"),
        ("display: -1", "display must be at least 0, it is -1"),
        ('train_net: "other"', "give exactly one of net, net_param, train_net and train_net_param"),
    ],
)
def test_refused_settings(make_solver, settings, message):
    with pytest.raises(SolverError, match=re.escape(message)):
        make_solver(FED_NET, FIXED + settings)
