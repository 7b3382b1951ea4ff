"""An error that ends a training: what was reached is saved first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_nets import DATA_NET, FED_NET, FIXED, feed, weights

from minicaffe.data.datum import encode_datum
from minicaffe.data.db import create_database
from minicaffe.errors import DataError, LabelError, SnapshotError
from minicaffe.solver.snapshots import snapshot_writer

SETTINGS = (
    'base_lr: 0.05 lr_policy: "fixed" momentum: 0.9 random_seed: 3 max_iter: 6 '
    'snapshot_prefix: "s" test_iter: 2 test_interval: 50 '
)


def write_database(name, bad=None):
    """Write 30 records, of which number 17, in the fifth batch, may be a bad one."""
    rng = np.random.default_rng(5)
    with create_database(name, "LMDB") as db:
        for i in range(30):
            image = rng.integers(0, 256, (1, 9, 8), dtype=np.uint8)
            db.put(b"%08d" % i, bad if bad and i == 17 else encode_datum(image, i % 5))


def saved():
    return sorted(path.name for path in Path().glob("s_iter_*"))


ADVICE = "Iteration 4 is saved: go on with --snapshot=s_iter_4.solverstate"
FOURTH = ["s_iter_4.caffemodel", "s_iter_4.solverstate", "s_iter_4.solverstate.json"]


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("more", ["", "snapshot: 3", "snapshot: 2", "average_loss: 3"])
def test_a_damaged_record(make_solver, caplog_minicaffe, backend, more):
    """Once the record is repaired, the resumed training equals one without the error."""
    write_database("train_lmdb", bad=b"\xff" * 20)
    solver = make_solver(DATA_NET, SETTINGS + more, backend)
    with pytest.raises(DataError) as caught:
        solver.solve()
    assert "train_lmdb, key '00000017'" in str(caught.value)
    assert caught.value.__notes__ == [ADVICE]
    assert f"An error ends the training. {ADVICE}" in caplog_minicaffe.messages
    assert set(FOURTH) <= set(saved())
    solver.close()
    Path("train_lmdb").rename("bad")
    write_database("train_lmdb")
    resumed = make_solver(DATA_NET, SETTINGS + more, backend)
    resumed.solve("s_iter_4.solverstate")
    whole = make_solver(DATA_NET, SETTINGS + more, backend)
    whole.solve()
    for name, values in weights(whole).items():
        np.testing.assert_array_equal(weights(resumed)[name], values)


def test_a_wrong_label(make_solver):
    write_database("train_lmdb", bad=encode_datum(np.zeros((1, 9, 8), np.uint8), 77))
    with pytest.raises(LabelError, match="label 77 ") as caught:
        make_solver(DATA_NET, SETTINGS).solve()
    assert caught.value.__notes__ == [ADVICE]
    assert saved() == FOURTH


def test_without_snapshots(make_solver):
    write_database("train_lmdb", bad=b"\xff" * 20)
    with pytest.raises(DataError) as caught:
        make_solver(DATA_NET, SETTINGS + "snapshot_after_train: false").solve()
    assert not hasattr(caught.value, "__notes__")
    assert saved() == []


def test_nothing_reached_is_not_saved(make_solver):
    write_database("train_lmdb", bad=b"\xff" * 20)
    net = DATA_NET.replace("batch_size: 4", "batch_size: 20")
    with pytest.raises(DataError) as caught:
        make_solver(net, SETTINGS).solve()
    assert not hasattr(caught.value, "__notes__")
    assert saved() == []


def test_steps_of_a_program_save_nothing(make_solver):
    write_database("train_lmdb", bad=b"\xff" * 20)
    with pytest.raises(DataError):
        make_solver(DATA_NET, SETTINGS).step(6)
    assert saved() == []


def failing_solver(make_solver, error):
    solver = make_solver(
        FED_NET,
        FIXED.replace("snapshot_after_train: false", "") + 'snapshot_prefix: "s" max_iter: 6',
    )
    feed(solver, 0)

    def fail():
        if solver.iter == 4:
            raise error

    solver.on_start.append(fail)
    return solver


def test_an_error_of_the_users_code(make_solver):
    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        failing_solver(make_solver, ZeroDivisionError("mine")).solve()
    assert caught.value.__notes__ == [ADVICE]
    assert saved() == FOURTH


def test_a_second_interrupt_saves_nothing(make_solver):
    with pytest.raises(KeyboardInterrupt):
        failing_solver(make_solver, KeyboardInterrupt()).solve()
    assert saved() == []


def test_a_full_disk_does_not_hide_the_error(make_solver, monkeypatch, caplog_minicaffe):
    def fail(*arguments):
        raise SnapshotError("disk full")

    monkeypatch.setattr(snapshot_writer, "write_snapshot", fail)
    with pytest.raises(DataError, match=r"^bad record$"):
        failing_solver(make_solver, DataError("bad record")).solve()
    assert "No snapshot of iteration 4 could be written: disk full" in caplog_minicaffe.messages
