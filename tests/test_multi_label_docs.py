"""docs/multi-label.md says what works: its blocks are run as they stand."""

import re
from pathlib import Path

from minicaffe.backends.reference import ReferenceBackend
from minicaffe.solver.solver import Solver

PAGE = Path(__file__).parents[1] / "docs" / "multi-label.md"


def test_the_example_learns_both_labels(tmp_path, monkeypatch, caplog_minicaffe):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(), flags=re.S)
    names = {}
    for language, text in blocks:
        if language == "python":
            exec(compile(text, PAGE.name, "exec"), names)
    net, solver_text = (text for language, text in blocks if language == "prototxt")
    Path("net.prototxt").write_text(net)
    Path("solver.prototxt").write_text(solver_text)
    solver = Solver("solver.prototxt", ReferenceBackend())
    solver.solve()
    solver.close()
    found = dict(
        re.findall(r"Test net output #\d: (\w+_accuracy) = ([\d.]+)", caplog_minicaffe.text)
    )
    assert float(found["shape_accuracy"]) >= 0.95
    assert float(found["colour_accuracy"]) >= 0.98
