"""When the log says that training waits for its data."""

import pytest
from small_nets import FED_NET, FIXED

from minicaffe.distributed.communicator import ALONE
from minicaffe.net import Net
from minicaffe.solver.display import Display
from minicaffe.solver.parallel.agreement import Agreement


@pytest.mark.parametrize(
    ("lapse_s", "data_wait_s", "line"),
    [
        (10, 2.5, ["    Waited for data 25% of the time"]),
        (10, 0.4, []),
        (0.5, 0.4, []),
    ],
    ids=["much", "little", "too short to tell"],
)
def test_waiting_is_shown_where_it_costs(
    make_solver, monkeypatch, caplog_minicaffe, lapse_s, data_wait_s, line
):
    solver = make_solver(FED_NET, FIXED + "display: 1")
    clock = {"now": 100.0, "waited": 3.0}
    monkeypatch.setattr("minicaffe.solver.display.time.monotonic", lambda: clock["now"])
    monkeypatch.setattr(Net, "data_wait_s", property(lambda net: clock["waited"]))
    display = Display(solver.net, solver.iter, Agreement(ALONE))
    clock["now"] += lapse_s
    clock["waited"] += data_wait_s
    display.show(solver.iter, 1, 0.5)
    assert [m for m in caplog_minicaffe.messages if "Waited" in m] == line
    caplog_minicaffe.clear()
    clock["now"] += 10
    display.show(solver.iter, 1, 0.5)
    assert not [m for m in caplog_minicaffe.messages if "Waited" in m]


def test_the_speed_of_single_steps(make_solver, monkeypatch, caplog_minicaffe):
    solver = make_solver(FED_NET, FIXED + "display: 10")
    clock = {"now": 100.0}
    monkeypatch.setattr("minicaffe.solver.display.time.monotonic", lambda: clock["now"])
    solver.on_start.append(lambda: clock.update(now=clock["now"] + 0.25))
    for _ in range(11):
        solver.step(1)
        clock["now"] += 7  # the time between steps belongs to the program
    lines = [m.split(", loss")[0] for m in caplog_minicaffe.messages if "iter/s" in m]
    assert lines == [
        "Iteration 0 (0 iter/s, 0.25s/10 iters)",
        "Iteration 10 (4 iter/s, 2.5s/10 iters)",
    ]


def test_the_speed_begins_anew_after_a_jump(make_solver, monkeypatch, caplog_minicaffe):
    solver = make_solver(FED_NET, FIXED + "display: 10")
    clock = {"now": 100.0}
    monkeypatch.setattr("minicaffe.solver.display.time.monotonic", lambda: clock["now"])
    solver.on_start.append(lambda: clock.update(now=clock["now"] + 0.25))
    solver.step(1)
    solver.iter = 100
    solver.step(1)
    assert "Iteration 100 (0 iter/s, 0.25s/10 iters)" in caplog_minicaffe.text
