"""Mean average precision in a solver's test, and means of the other outputs.

The rows of tests/golden/detection_ap and the lines for them come from the solver of the fork that
the file names.
"""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from small_nets import FIXED

from minicaffe.cli.main import main
from minicaffe.errors import SolverError
from minicaffe.schema import NetParameter
from minicaffe.solver.scores.average_precision import average_precisions

GOLDEN = Path(__file__).parents[1] / "golden" / "detection_ap"
EXPECTED = json.loads((GOLDEN / "expected_log.json").read_text())["log"]
TESTED = FIXED + 'test_interval: 1 test_iter: 4 eval_type: "detection" '
DUMMY = (
    'layer { name: "a" type: "DummyData" top: "a" dummy_data_param { shape { dim: 2 dim: 3 } } }'
)


@pytest.fixture
def net_text(workdir):
    """The net that reads the golden rows."""
    Path("list.txt").write_text(f"{GOLDEN}/dets.h5\n")
    return (GOLDEN / "net.prototxt").read_text().replace("FILES/ap/", "")


@pytest.mark.parametrize("case", EXPECTED)
def test_lines_of_average_precision(case, net_text, make_solver, caplog_minicaffe):
    version, shows = re.fullmatch(r"(\w+) show=(\w+)", case).groups()
    settings = f'ap_version: "{version}" show_per_class_result: {shows}'
    solver = make_solver(net_text, TESTED + settings)
    solver.test_all()
    found = [m for m in caplog_minicaffe.messages if re.match(r"class|    Test net", m)]
    assert found == EXPECTED[case]


def test_the_command_logs_the_mean_average_precision(net_text, workdir, capfd):
    Path("net.prototxt").write_text(net_text)
    Path("none.caffemodel").write_bytes(NetParameter(name="none").SerializeToString())
    flags = ["--model=net.prototxt", "--weights=none.caffemodel", "--iterations=4"]
    assert main(["test", *flags, "--ap_version=11point"]) == 0
    lines = capfd.readouterr().err
    assert "class3: 0.599255" in lines
    assert "detection_eval = 0.419088" in lines
    assert "Batch 0, detection_eval" not in lines


def test_a_class_without_detections_counts_as_0():
    rows = np.array([[-1, 1, 3, -1, -1], [-1, 2, 0, -1, -1], [-1, 3, 1, -1, -1]], np.float32)
    found = np.array([[0, 2, 0.5, 0, 1], [0, 3, 0.6, 0, 0], [1, 1, 0.7, 1, 0]], np.float32)
    precisions = average_precisions(np.concatenate([rows, found]), "Integral")
    assert precisions == {1: pytest.approx(1 / 3), 2: 0, 3: None}


def test_unknown_evaluations_are_refused(make_solver):
    with pytest.raises(SolverError, match=r'eval_type: "detections" is unknown\. Did you mean det'):
        make_solver(DUMMY, FIXED + 'eval_type: "detections"')
    with pytest.raises(SolverError, match=r'ap_version: "12point" is unknown\. Did you mean 11p'):
        make_solver(DUMMY, FIXED + 'ap_version: "12point"')


def test_eval_type_must_fit_the_test_nets(net_text, make_solver):
    with pytest.raises(
        SolverError, match=r'eval_type: "detection" needs .*_net\.prototxt has none'
    ):
        make_solver(DUMMY, TESTED)
    with pytest.raises(SolverError, match=r'output "detection_eval" has the rows .* Set eval_type'):
        make_solver(net_text, FIXED + "test_interval: 1 test_iter: 4")
