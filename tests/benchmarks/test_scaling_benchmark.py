"""The benchmark of several ranks writes trainings that run, and reads their rates."""

import pytest

from benchmarks import scaling
from minicaffe.schema import read_net


@pytest.mark.parametrize("ranks", [1, 2])
def test_the_batch_is_divided_among_the_ranks(tmp_path, ranks):
    scaling.write_training(tmp_path, "lenet", ranks)
    net = read_net(tmp_path / f"lenet_{ranks}.prototxt").param
    assert net.layer[0].type == "DummyData"
    assert [shape.dim[0] for shape in net.layer[0].dummy_data_param.shape] == [64 // ranks] * 2


@pytest.mark.slow
def test_the_rate_of_a_training_is_the_median_of_those_displayed(tmp_path, monkeypatch):
    load = scaling.Load(4, 2, 0.85)
    monkeypatch.setitem(scaling.LOADS, "lenet", load)
    solver = scaling.write_training(tmp_path, "lenet", 1)
    assert scaling.train(solver, 1, 1) > 0


def test_rates_are_found_in_the_log():
    line = "Iteration 20 (3.125 iter/s, 6.4s/20 iters), loss = 2.3"
    assert [float(rate) for rate in scaling.RATE.findall(line)] == [3.125]
