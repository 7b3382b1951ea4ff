"""What a solver tells its observers while it trains, and the text of its progress."""

from types import SimpleNamespace

import pytest

from dummy_net import DUMMY_NET
from minicaffe.solver.progress import TrainingProgress, bar_text

SETTINGS = """
base_lr: 0.5 lr_policy: "fixed" max_iter: 4 display: 0 test_iter: 3 test_interval: 2
random_seed: 1 snapshot_after_train: false
"""


@pytest.fixture
def solver(make_solver):
    return make_solver(DUMMY_NET, SETTINGS)


def test_observers_of_iterations_and_of_batches(solver):
    iterations, batches = [], []
    solver.observers.iterations.append(lambda: iterations.append(solver.iter))
    solver.observers.test_batches.append(lambda batch, n: batches.append((batch, n)))
    solver.solve()
    assert iterations == [1, 2, 3, 4]
    assert batches == [(0, 3), (1, 3), (2, 3)] * 3


def test_a_progress_reports_each_iteration_and_each_batch(solver):
    texts = []
    progress = TrainingProgress(solver, 4)
    with progress.reported(lambda text: texts.append(text(59))):
        solver.step(3)
    solver.step(1)
    kinds = [text.split()[0] for text in texts]
    assert kinds == [*["testing"] * 3, "1/4", "2/4", *["testing"] * 3, "3/4"]
    assert texts[0] == "testing 0/3  iteration 0/4"
    assert texts[-2].startswith("testing 2/3  iteration 2/4  best accuracy 0.")
    assert texts[-1].endswith(f"  lr 0.5  best accuracy {solver.selection.best.value:.4g}")


def test_texts(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("minicaffe.solver.progress.time.monotonic", lambda: now[0])
    solver = SimpleNamespace(
        iter=0,
        smoothed_loss=0.123456,
        rate=0.01,
        selection=SimpleNamespace(output=None, best=None),
        observers=SimpleNamespace(iterations=[], test_batches=[]),
    )
    progress = TrainingProgress(solver, 40)
    with progress.reported(lambda text: None):
        solver.iter = 21  # after one iteration of a training that has resumed at 20
        solver.observers.iterations[0]()
        solver.iter = 30
    rest = "30/40  0.5 it/s  ETA 0:20  loss 0.1235  lr 0.01"
    assert progress.line(120.0, 60) == f"{'█' * 15}{'░' * 5} {rest}"
    assert progress.line(120.0, 59) == rest
    assert progress.end_line(120.0) == "iteration 30/40  0:20  0.5 it/s  loss 0.1235"
    assert bar_text(0, 0, 80) == "█" * 20 + " "
