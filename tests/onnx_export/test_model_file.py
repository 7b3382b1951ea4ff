"""The files as such: what onnx reads back, the memory that writing takes, the limit of 2 GB."""

import os
import subprocess
import sys

import numpy as np
import onnx
import onnx.numpy_helper
import pytest

from minicaffe.errors import NetError
from minicaffe.net import Net
from minicaffe.net.weights import save_net
from minicaffe.onnx_export.graph import OnnxGraph
from minicaffe.onnx_export.model_file import write_model
from minicaffe.schema import parse_net

NET = (
    'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 500 } } }\n'
    'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" '
    "inner_product_param { num_output: %d } }\n"
)
CONV = (
    'layer { name: "in" type: "Input" top: "in" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 '
    '} } } layer { name: "conv" type: "Convolution" bottom: "in" top: "conv" convolution_param { '
    'num_output: 5 kernel_size: 3 } } layer { name: "scale" type: "Scale" bottom: "conv" top: "s" }'
)


def graph_of(**constants: np.ndarray) -> OnnxGraph:
    """A graph that adds up constants."""
    graph = OnnxGraph(13, constants=dict(constants), inputs={"x": (2, 3)}, outputs={"y": (2, 3)})
    graph.free_axes["x"] = {0: "N"}
    value = "x"
    for name in constants:
        value = graph.one("Add", value, name)
    graph.nodes[-1].outputs = ["y"]
    return graph


def test_onnx_reads_what_was_written(tmp_path):
    constants = {
        "floats": np.arange(3, dtype=np.float32) / 7,
        "turned": np.arange(6, dtype=np.float32).reshape(3, 2).T,
        "scalar": np.float32(0.25),
        "integers": np.array([[-1, 2**40, 7]], np.int64),
        "none": np.zeros((0, 3), np.float32),
        "flags": np.array([True, False, True]),
    }
    path = tmp_path / "net.onnx"
    write_model(graph_of(**constants), path, "sum")
    model = onnx.load(path)
    found = {x.name: onnx.numpy_helper.to_array(x) for x in model.graph.initializer}
    assert list(found) == list(constants)
    for name, array in constants.items():
        np.testing.assert_array_equal(found[name], array, strict=True)
    assert (model.ir_version, model.producer_name, model.graph.name) == (8, "minicaffe", "sum")
    assert [x.version for x in model.opset_import] == [13]
    assert [node.op_type for node in model.graph.node] == ["Add"] * len(constants)
    assert [x.name for x in model.graph.input] == ["x"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"


def test_the_checker_accepts_the_file(tmp_path):
    write_model(graph_of(a=np.zeros((2, 3), np.float32)), tmp_path / "x.onnx", "")
    onnx.checker.check_model(tmp_path / "x.onnx", full_check=True)


def test_a_wrong_graph_is_refused_before_writing(tmp_path):
    graph = graph_of(a=np.zeros(3, np.float32))
    graph.nodes[0].inputs[0] = "missing"
    with pytest.raises(onnx.checker.ValidationError, match="missing"):
        write_model(graph, tmp_path / "x.onnx", "")
    assert not (tmp_path / "x.onnx").exists()


@pytest.mark.parametrize("n", [2**29, 2**29 - 1])
def test_a_file_above_2_gb_is_refused_before_writing(n, tmp_path):
    path = tmp_path / "x.onnx"
    graph = graph_of(a=np.broadcast_to(np.float32(1), n))
    with pytest.raises(NetError, match=rf"x\.onnx: cannot .* have {4 * n:,} bytes.* 2,147,483,647"):
        write_model(graph, path, "")
    assert not path.exists()


PEAK = """
import sys
from pathlib import Path
from minicaffe.cli.main import run_command

def peak():
    [line] = [x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x]
    return 1024 * int(line.split()[1])

weights, flag = sys.argv[1:]
run_command("export", ["onnx", "small.prototxt", weights.replace("net", "small")])
before = peak()
code = run_command("export", ["onnx", "net.prototxt", weights, flag])
print(code, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("weights", "flag"),
    [
        ("net.caffemodel", "--batch=dynamic"),
        ("net.caffemodel", "--no_fold"),
        ("net.caffemodel.h5", "--opset=13"),
    ],
)
def test_an_export_needs_little_more_memory_than_the_weights(weights, flag, tmp_path):
    for name, (n, more) in {"small": (10, ""), "net": (40_000, CONV)}.items():
        text = NET % n + more
        (tmp_path / f"{name}.prototxt").write_text(text)
        file = tmp_path / weights.replace("net", name)
        save_net(Net(parse_net(text, "net.prototxt"), "TEST"), file)
    size = file.stat().st_size
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PEAK, weights, flag]
    found = subprocess.run(
        command, cwd=tmp_path, env=environment, check=True, stdout=subprocess.PIPE, text=True
    )
    code, peak = map(int, found.stdout.split())
    assert code == 0
    assert size < peak < 1.5 * size
