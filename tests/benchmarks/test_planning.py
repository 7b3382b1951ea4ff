"""The benchmark of predictions writes nets that train, and reads what is predicted."""

import pytest

from benchmarks import planning
from minicaffe.net import Net
from probe import make_backend


@pytest.mark.parametrize(("name", "images"), [("fully_connected", 128), ("googlenet", 16)])
def test_a_rank_trains_its_part(tmp_path, name, images):
    net, solver = planning.write_net(tmp_path, name)
    assert f'net: "{net}"' in solver.read_text()
    built = Net(net, "TRAIN", backend=make_backend("reference"), fills=False)
    assert built.blobs["data"].shape[0] == images


def test_predictions_are_found_in_the_log():
    lines = [
        "I1130 17:00:00.000000 1 a.py:58]  nodes    iteration   images/s  communication",
        "I1130 17:00:00.000000 1 a.py:58]      1     39.85 ms     3212.3        0.00 ms",
        "I1130 17:00:00.000000 1 a.py:58]      2    325.49 ms      786.5      282.86 ms",
    ]
    assert planning.PREDICTED.findall("\n".join(lines)) == [("1", "39.85"), ("2", "325.49")]


def test_a_row_has_medians():
    times = [(1.0, 3.0, 2.0), (2.0, 4.0, 4.0), (3.0, 5.0, 10.0)]
    rows = [(f"--link={k},1", planning.Compared(*found)) for k, found in enumerate(times)]
    assert planning.row("1gbit", "a", rows) == (
        "| 1gbit | a | --link=1,1 | 2000 ms | 4000 ms | 4000 ms | 1.00 |"
    )
