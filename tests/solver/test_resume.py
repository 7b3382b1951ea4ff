"""A resumed run equals an uninterrupted one, bit for bit: weights, data, dropout, the log."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_nets import DATA_NET, FED_NET, FIXED, feed, weights

from minicaffe.errors import DataError, SnapshotError
from minicaffe.solver.signals import Action
from probe import GPU_NAMES

SETTINGS = (
    'base_lr: 0.05 lr_policy: "inv" gamma: 0.1 power: 0.75 momentum: 0.9 weight_decay: 0.001 '
    'display: 1 average_loss: 4 max_iter: 9 snapshot: 5 snapshot_prefix: "run/s" '
    "test_iter: 2 test_interval: 3 "
)
STATE = "run/s_iter_5.solverstate"
PLATEAU = 'random_seed: 7 lr_policy: "plateau" plateau_winsize: [1, 2, 2]'
NVCAFFE = 'random_seed: 7 larc: true momentum_policy: "poly" weight_decay_policy: "poly"'


def run(solver, caplog, resume=None):
    """Solve; return the weights, and the lines logged without speeds."""
    caplog.clear()
    solver.solve(resume)
    logged = [re.sub(r" \(\S+ iter/s.*\)", "", m) for m in caplog.messages]
    return weights(solver), [m for m in logged if re.match(r"Iteration|    T", m)]


def assert_same(got, want):
    assert got.keys() == want.keys()
    for name, values in want.items():
        np.testing.assert_array_equal(got[name], values, err_msg=name)


def since(lines, iteration):
    """Return the lines from the first one of an iteration on."""
    first = next(i for i, line in enumerate(lines) if line.startswith(f"Iteration {iteration}"))
    return lines[first:]


@pytest.mark.parametrize(
    ("backend", "more"),
    [
        ("auto", "random_seed: 7"),
        ("auto", ""),
        ("reference", "random_seed: 7"),
        ("reference", ""),
        *[pytest.param(*name.values, "random_seed: 7", marks=name.marks) for name in GPU_NAMES],
        ("auto", "random_seed: 7 snapshot_format: HDF5"),
        ("auto", 'random_seed: 7 type: "Adam" momentum2: 0.99'),
        ("auto", 'random_seed: 7 type: "AdamW" momentum2: 0.99'),
        ("auto", PLATEAU),
        ("auto", f"{PLATEAU} snapshot_format: HDF5"),
        ("auto", f"{NVCAFFE} rampup_interval: 7"),
    ],
)
def test_resumed_equals_uninterrupted(make_solver, database, caplog_minicaffe, backend, more):
    base = SETTINGS.replace('lr_policy: "inv"', "") if "lr_policy" in more else SETTINGS
    settings = f"{base} {more}"
    whole = run(make_solver(DATA_NET, settings, backend), caplog_minicaffe)
    state = STATE + (".h5" if "HDF5" in more else "")
    resumed = run(make_solver(DATA_NET, settings, backend), caplog_minicaffe, state)
    assert_same(resumed[0], whole[0])
    assert resumed[1] == since(whole[1], 5)
    assert any("Testing" in line for line in resumed[1])
    if "plateau" in more:
        assert len({line.partition("lr = ")[2] for line in whole[1] if "lr = " in line}) == 4


def test_resuming_with_random_rounding(make_solver, database, caplog_minicaffe):
    grids = "quantization_param { bw_params: 8 fl_params: 6 bw_layer_out: 8 fl_layer_out: 5 }"
    net = DATA_NET.replace('"Convolution"', f'"ConvolutionRistretto" {grids}')
    net = net.replace('"InnerProduct"', f'"FcRistretto" {grids}')
    settings = f"{SETTINGS} random_seed: 7"
    whole = run(make_solver(net, settings), caplog_minicaffe)
    resumed = run(make_solver(net, settings), caplog_minicaffe, STATE)
    assert_same(resumed[0], whole[0])
    assert resumed[1] == since(whole[1], 5)
    assert run(make_solver(DATA_NET, settings), caplog_minicaffe)[1] != whole[1]


def test_resuming_in_a_shuffled_database(make_solver, database, caplog_minicaffe):
    net = DATA_NET.replace("batch_size: 4", "batch_size: 4 shuffle: true")
    whole = run(make_solver(net, SETTINGS), caplog_minicaffe)
    resumed = run(make_solver(net, SETTINGS), caplog_minicaffe, STATE)
    assert_same(resumed[0], whole[0])
    ordered = run(make_solver(DATA_NET, SETTINGS), caplog_minicaffe)
    assert ordered[1] != whole[1]


def test_resuming_the_same_solver_again(make_solver, database, caplog_minicaffe):
    """As pycaffe programs do: step on, go back."""
    solver = make_solver(DATA_NET, SETTINGS)
    whole = run(solver, caplog_minicaffe)
    again = run(solver, caplog_minicaffe, STATE)
    assert_same(again[0], whole[0])
    assert again[1] == since(whole[1], 5)


@pytest.mark.parametrize("during", [Action.STOP, Action.SNAPSHOT])
def test_a_test_that_is_interrupted_is_made_anew(make_solver, database, caplog_minicaffe, during):
    settings = SETTINGS.replace("test_iter: 2", "test_iter: 1 test_iter: 4") + "random_seed: 3"
    whole = run(make_solver(DATA_NET, settings), caplog_minicaffe)
    solver = make_solver(DATA_NET, settings)

    asked = []

    def poll():
        # In the second test net's third batch, at iteration 6.
        records = solver.test_nets[1].state()["data"]["position"]["records"]
        if asked or solver.iter != 6 or records != 2 * 4 * 3 + 2 * 3:
            return Action.NONE
        asked.append(during)
        return during

    solver.poll = poll
    first = run(solver, caplog_minicaffe)
    assert (solver.iter == 6) is (during is Action.STOP)
    if during is Action.SNAPSHOT:
        assert first[1] == whole[1]
    resumed = run(make_solver(DATA_NET, settings), caplog_minicaffe, "run/s_iter_6.solverstate")
    assert resumed[1] == since(whole[1], 6)
    assert_same(resumed[0], whole[0])


def test_without_the_side_file_the_data_begin_again(make_solver, database, caplog_minicaffe):
    run(make_solver(DATA_NET, SETTINGS), caplog_minicaffe)
    Path(f"{STATE}.json").unlink()
    solver = make_solver(DATA_NET, SETTINGS)
    solver.restore(STATE)
    assert f"No {STATE}.json: the data starts from the beginning, as in Caffe." in (
        caplog_minicaffe.messages
    )
    assert solver.iter == 5
    assert solver.net.state()["data"]["position"]["records"] == 0


def test_a_side_file_of_another_iteration_is_not_used(make_solver, database, caplog_minicaffe):
    run(make_solver(DATA_NET, SETTINGS), caplog_minicaffe)
    shutil.copy("run/s_iter_9.solverstate.json", f"{STATE}.json")
    solver = make_solver(DATA_NET, SETTINGS)
    solver.restore(STATE)
    assert f"{STATE}.json belongs to iteration 9; it is not used." in caplog_minicaffe.messages
    assert solver.net.state()["data"]["position"]["records"] == 0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"iter": 5}', b"\xff\xfe"])
def test_a_damaged_side_file(make_solver, database, caplog_minicaffe, content):
    run(make_solver(DATA_NET, SETTINGS), caplog_minicaffe)
    Path(f"{STATE}.json").write_bytes(content)
    solver = make_solver(DATA_NET, SETTINGS)
    with pytest.raises(SnapshotError, match=re.escape(f"{STATE}.json: damaged (")):
        solver.restore(STATE)


@pytest.mark.parametrize(
    "damage",
    [
        lambda side: side["net"]["data"].pop("position"),
        lambda side: side["net"]["data"]["position"].pop("key"),
        lambda side: side.update(net=3),
        lambda side: side.update(losses=3),
        lambda side: side["net"]["data"]["position"].update(step=1 << 64),
        lambda side: side["net"]["drop"].update(mask=[7, -1]),
        lambda side: side["test_nets"][0]["data"].update(seed=10**400),
        lambda side: side.update(backend=[[[10**25]]]),
    ],
    ids=["no position", "no key", "net", "losses", "huge", "negative", "seed", "deep"],
)
def test_a_side_file_of_other_content(make_solver, database, caplog_minicaffe, damage):
    run(make_solver(DATA_NET, SETTINGS), caplog_minicaffe)
    side = json.loads(Path(f"{STATE}.json").read_text())
    damage(side)
    Path(f"{STATE}.json").write_text(json.dumps(side))
    solver = make_solver(DATA_NET, SETTINGS)
    with pytest.raises(SnapshotError, match=r"json: damaged \(.*Delete it to resume from the beg"):
        solver.restore(STATE)


def test_a_database_that_has_changed(make_solver, database, caplog_minicaffe):
    run(make_solver(DATA_NET, SETTINGS), caplog_minicaffe)
    side = json.loads(Path(f"{STATE}.json").read_text())
    side["net"]["data"]["position"]["key"] = "gone"
    Path(f"{STATE}.json").write_text(json.dumps(side))
    solver = make_solver(DATA_NET, SETTINGS)
    with pytest.raises(DataError, match=r"train_lmdb: no record with key 'gone'; the database has"):
        solver.restore(STATE)


def test_files_that_were_moved_together(make_solver, database, caplog_minicaffe):
    """The weights beside the state are taken, not those that are in the old place by now."""
    whole = run(make_solver(DATA_NET, SETTINGS), caplog_minicaffe)
    shutil.copytree("run", "kept")
    shutil.copy("run/s_iter_9.caffemodel", "run/s_iter_5.caffemodel")
    resumed = run(make_solver(DATA_NET, SETTINGS), caplog_minicaffe, STATE.replace("run", "kept"))
    assert_same(resumed[0], whole[0])


def test_weights_where_the_state_says(make_solver, database, caplog_minicaffe):
    whole = run(make_solver(DATA_NET, SETTINGS), caplog_minicaffe)
    Path("elsewhere").mkdir()
    for name in (STATE, f"{STATE}.json"):
        shutil.copy(name, "elsewhere")
    resumed = run(
        make_solver(DATA_NET, SETTINGS), caplog_minicaffe, STATE.replace("run", "elsewhere")
    )
    assert_same(resumed[0], whole[0])


def test_weights_that_are_gone(make_solver):
    solver = make_solver(FED_NET, FIXED + 'snapshot_prefix: "s"')
    solver.snapshot()
    Path("s_iter_0.caffemodel").unlink()
    with pytest.raises(
        SnapshotError, match=r's_iter_0.solverstate: its weights file "s_iter_0.caf'
    ):
        solver.restore("s_iter_0.solverstate")


def test_state_of_another_solver_type(make_solver):
    make_solver(FED_NET, FIXED + 'snapshot_prefix: "s"').snapshot()
    adam = make_solver(FED_NET, FIXED + 'type: "Adam"', name="adam")
    before = weights(adam)
    with pytest.raises(SnapshotError, match=r"holds 2 history blobs; solver type Adam .* has 4"):
        adam.restore("s_iter_0.solverstate")
    assert_same(weights(adam), before)


def test_state_of_another_net_lists_every_difference(make_solver):
    make_solver(FED_NET, FIXED + 'snapshot_prefix: "s"').snapshot()
    wider = make_solver(FED_NET.replace("num_output: 2", "num_output: 3"), FIXED, name="wider")
    with pytest.raises(SnapshotError) as caught:
        wider.restore("s_iter_0.solverstate")
    assert str(caught.value).splitlines() == [
        "s_iter_0.solverstate: history blob 0 has shape (2, 3); parameter 0 of layer "
        '"ip" has (3, 3)',
        's_iter_0.solverstate: history blob 1 has shape (2,); parameter 1 of layer "ip" has (3,)',
    ]


def test_weights_given_for_a_state(make_solver):
    solver = make_solver(FED_NET, FIXED + 'snapshot_prefix: "s"')
    solver.snapshot()
    with pytest.raises(SnapshotError, match=r"s_iter_0.caffemodel holds weights, not a solver st"):
        solver.restore("s_iter_0.caffemodel")
    Path("s_iter_0.caffemodel").rename("renamed.solverstate")
    with pytest.raises(
        SnapshotError, match=r"renamed.solverstate: has no field iter, so it is not"
    ):
        solver.restore("renamed.solverstate")


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_a_state_cut_off_anywhere(make_solver, form):
    solver = make_solver(FED_NET, FIXED + f'snapshot_prefix: "s" snapshot_format: {form}')
    feed(solver, 0)
    solver.step(1)
    solver.snapshot()
    state = Path("s_iter_1.solverstate" + (".h5" if form == "HDF5" else ""))
    whole, before = state.read_bytes(), weights(solver)
    for size in np.linspace(0, len(whole) - 1, 40).astype(int):
        state.write_bytes(whole[:size])
        with pytest.raises(SnapshotError, match=re.escape(str(state))):
            solver.restore(state)
    assert_same(weights(solver), before)


def test_a_state_of_hostile_content(make_solver):
    from minicaffe.schema.weights_pb2 import SolverStateWeights

    make_solver(FED_NET, FIXED + 'snapshot_prefix: "s"').snapshot()
    path = Path("s_iter_0.solverstate")
    state = SolverStateWeights.FromString(path.read_bytes())
    name = state.learned_net.encode()
    content = path.read_bytes()
    path.write_bytes(content.replace(name, b"\xff" * len(name)))
    solver = make_solver(FED_NET, FIXED)
    with pytest.raises(SnapshotError, match=r"the name of its weights file, .* is not UTF-8"):
        solver.restore(path)
    state.iter = -3
    path.write_bytes(state.SerializeToString())
    with pytest.raises(
        SnapshotError, match="solverstate: damaged: it is a snapshot of iteration -3"
    ):
        solver.restore(path)
