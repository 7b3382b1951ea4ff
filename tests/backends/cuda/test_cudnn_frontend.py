"""cuDNN's graph API: what graphs are asked for, against a package that notes it; plans for real."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from minicaffe.backends.cuda.driver import cudnn_frontend, libraries
from minicaffe.backends.cuda.driver.cudnn import open_cudnn
from minicaffe.backends.cuda.driver.cudnn_frontend import Frontend
from minicaffe.backends.cuda.driver.cudnn_legacy import Legacy
from minicaffe.backends.cuda.driver.plans import ConvolutionProblem, PlanLimits, Role, strides
from minicaffe.errors import BackendUnavailable, Unsupported

HERE = Path(__file__).parent
STRIDED = ConvolutionProblem(
    "forward",
    x=(2, 6, 11, 9),
    w=(4, 3, 5, 3),
    y=(2, 4, 5, 4),
    stride=(2, 2),
    pad=(1, 0),
    dilation=(1, 1),
    group=2,
)


class NotSupported(Exception):
    pass


class Tensor:
    """A tensor of a graph, set up by chained calls."""

    def __init__(self, **known):
        self.known = known

    def __getattr__(self, name):
        if not name.startswith("set_"):
            raise AttributeError(name)

        def setter(value):
            self.known[name.removeprefix("set_")] = value
            return self

        return setter


class Graph:
    """Notes what it is made of; has the plans that `cudnn.plan_bytes` lists."""

    def __init__(self, cudnn, options):
        self.cudnn, self.options = cudnn, options
        self.tensors, self.ops, self.results, self.runs, self.deselected = {}, [], [], [], None

    def tensor(self, uid, **known):
        self.tensors[uid] = known
        return Tensor(uid=uid, **known)

    def __getattr__(self, name):
        if name not in ("conv_fprop", "conv_dgrad", "conv_wgrad", "bias", "relu"):
            raise AttributeError(name)

        def op(**inputs):
            self.ops.append((name, inputs))
            self.results.append(Tensor())
            return self.results[-1]

        return op

    @property
    def outputs(self):
        return {r.known["uid"]: r.known for r in self.results if r.known.get("output")}

    def validate(self):
        if self.cudnn.refuses:
            raise NotSupported("bad graph\n" + "x" * 999)

    def build_operation_graph(self):
        pass

    def create_execution_plans(self, modes):
        assert modes == ["A", "FALLBACK"]

    def deselect_numeric_notes(self, notes):
        self.deselected = set(notes)

    def get_execution_plan_count(self):
        return len(self.cudnn.plan_bytes)

    def get_plan_name_at_index(self, index):
        return f"eng{index}"

    def build_plan_at_index(self, index):
        if self.cudnn.plan_bytes[index] is None:
            raise NotSupported("deselected")

    def get_workspace_size_plan_at_index(self, index):
        return self.cudnn.plan_bytes[index]

    def execute_plan_at_index(self, pointers, workspace, index, handle):
        if self.cudnn.refuses:
            raise RuntimeError("launch failed")
        self.runs.append((pointers, workspace, index, handle))


class Package:
    """The part of ``import cudnn`` that is used."""

    __version__ = "1.28.0"
    cudnnGraphNotSupportedError = NotSupported  # noqa: N815 - its name
    data_type = SimpleNamespace(FLOAT="float32", BFLOAT16="bfloat16", HALF="float16")
    heur_mode = SimpleNamespace(A="A", FALLBACK="FALLBACK")
    numerical_note = SimpleNamespace(
        TENSOR_CORE="tensor core",
        DOWN_CONVERT_INPUTS="down convert",
        NONDETERMINISTIC="nondeterministic",
        REDUCED_PRECISION_REDUCTION="reduced",
    )

    def __init__(self, *plan_bytes):
        self.plan_bytes, self.graphs, self.refuses = plan_bytes, [], False

    def backend_version(self):
        return 92800

    def pygraph(self, **options):
        self.graphs.append(Graph(self, options))
        return self.graphs[-1]


def frontend(package, *, is_deterministic=False):
    return Frontend(package, {"handle": "h"}, PlanLimits(is_deterministic, 1 << 20))


def test_a_forward_convolution_with_bias_and_relu():
    package = Package(100)
    what = replace(STRIDED, bias=True, relu=True, channels_last=True, dtype="bfloat16")
    (plan,) = frontend(package).plans(what)
    (graph,) = package.graphs
    assert graph.options == {
        "io_data_type": "bfloat16",
        "intermediate_data_type": "float32",
        "compute_data_type": "float32",
        "handle": "h",
    }
    (name, inputs), (epilogue_op, _), (last, _) = graph.ops
    assert (name, epilogue_op, last) == ("conv_fprop", "bias", "relu")
    assert (inputs["image"].known["uid"], inputs["weight"].known["uid"]) == (Role.X, Role.W)
    assert (inputs["padding"], inputs["stride"], inputs["dilation"]) == ([1, 0], [2, 2], [1, 1])
    assert set(graph.tensors) == {Role.X, Role.W, Role.B}
    for role in graph.tensors:
        known, shape = graph.tensors[role], what.operands[role].shape
        assert known["dim"] == list(shape)
        assert known["stride"] == list(strides(shape, True))
        assert known["data_type"] == "bfloat16"
    (output,) = graph.outputs.values()
    assert (output["uid"], output["dim"]) == (Role.Y, [2, 4, 5, 4])
    assert output["stride"] == [80, 1, 16, 4]
    assert plan.name == "frontend eng0"


@pytest.mark.parametrize(
    ("direction", "op", "inputs", "output"),
    [
        ("data", "conv_dgrad", {"loss": Role.DY, "filter": Role.W}, Role.DX),
        ("weights", "conv_wgrad", {"image": Role.X, "loss": Role.DY}, Role.DW),
    ],
)
def test_gradients_of_a_convolution(direction, op, inputs, output):
    package = Package(0)
    what = replace(STRIDED, direction=direction)
    frontend(package).plans(what)
    (graph,) = package.graphs
    ((name, found),) = graph.ops
    assert name == op
    assert {key: found[key].known["uid"] for key in inputs} == inputs
    assert graph.outputs[output]["dim"] == list(what.operands[output].shape)


@pytest.mark.parametrize(
    ("change", "is_deterministic", "left_out"),
    [
        ({"math": "fp32"}, False, {"reduced", "tensor core", "down convert"}),
        ({"math": "tf32"}, False, {"reduced", "down convert"}),
        ({"math": "fp32", "dtype": "float16"}, False, {"reduced"}),
        ({}, True, {"reduced", "down convert", "nondeterministic"}),
    ],
)
def test_plans_left_out(change, is_deterministic, left_out):
    package = Package(0)
    frontend(package, is_deterministic=is_deterministic).plans(replace(STRIDED, **change))
    assert package.graphs[0].deselected == left_out


def test_a_plan_runs_on_plain_addresses():
    class Address(int):
        pass

    package = Package(None, 64)
    broken, plan = frontend(package).plans(STRIDED)
    with pytest.raises(Unsupported, match="cannot build frontend eng0: deselected"):
        broken.prepare()
    plan.prepare()
    assert plan.workspace_bytes == 64
    plan({Role.X: Address(1), Role.W: Address(2), Role.Y: Address(3)}, Address(4096))
    ((pointers, workspace, index, handle),) = package.graphs[0].runs
    assert pointers == {1: 1, 2: 2, 4: 3}
    # The package looks at types: a subclass of int is no address to it.
    assert {type(value) for value in (*pointers, *pointers.values(), workspace)} == {int}
    assert (workspace, index, handle) == (4096, 1, "h")


def test_plans_beyond_the_limit_are_refused():
    (plan,) = frontend(Package((1 << 20) + 1)).plans(STRIDED)
    with pytest.raises(Unsupported, match="frontend eng0 needs 1048577 bytes of workspace"):
        plan.prepare()


def test_what_it_has_no_plan_for():
    package = Package()
    with pytest.raises(Unsupported, match="cuDNN has no plan for it"):
        frontend(package).plans(STRIDED)
    package.refuses = True
    with pytest.raises(Unsupported, match=r"cuDNN has no graph for it: bad graph$"):
        frontend(package).plans(STRIDED)


def test_a_plan_that_fails_is_named():
    package = Package(0)
    (plan,) = frontend(package).plans(STRIDED)
    plan.prepare()
    package.refuses = True
    with pytest.raises(BackendUnavailable, match="frontend eng0 fails: launch failed"):
        plan({}, 0)


def test_the_version_names_excluded_plans():
    assert frontend(Package()).version == "cuDNN 92800 frontend 1.28.0 up to 1 MiB"
    assert "deterministic" in frontend(Package(), is_deterministic=True).version


def test_without_the_package_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(libraries, "load_library", lambda name: None)
    monkeypatch.setitem(sys.modules, "cudnn", None)
    with pytest.raises(BackendUnavailable, match=r"nvidia-cudnn-frontend is not installed .* pip"):
        Frontend.open(0, PlanLimits())


def test_a_package_that_breaks_while_it_loads(monkeypatch):
    def broken(name):
        raise AssertionError("Found 2 libcudnn.so.x")

    monkeypatch.setattr(libraries, "load_library", lambda name: None)
    monkeypatch.setattr(cudnn_frontend.importlib, "import_module", broken)
    with pytest.raises(BackendUnavailable, match=r"frontend does not load \(Found 2 libcudnn"):
        Frontend.open(0, PlanLimits())


@pytest.mark.parametrize("there", [(), ("older",), ("graph", "older")])
def test_available_apis_are_used_and_missing_ones_logged(
    monkeypatch, there, caplog_minicaffe, caplog
):
    def opening(name):
        def opened(stream, limits):
            if name not in there:
                raise BackendUnavailable(f"no {name} API")
            return f"{name} on stream {stream}"

        return opened

    monkeypatch.setattr(Frontend, "open", opening("graph"))
    monkeypatch.setattr(Legacy, "open", opening("older"))
    assert open_cudnn(5, PlanLimits()) == tuple(f"{name} on stream 5" for name in there)
    missing = [name for name in ("graph", "older") if name not in there]
    assert caplog.messages == [f"Not all of cuDNN can be used: no {name} API" for name in missing]


@pytest.mark.slow
def test_the_real_package_has_plans_for_a_card_that_is_not_there(tmp_path):
    """Runs apart: it puts a driver that does nothing in the place of the real one."""
    try:
        importlib.metadata.version(cudnn_frontend.WHEEL)
        libraries.find_library("cudnn")
    except (importlib.metadata.PackageNotFoundError, BackendUnavailable) as reason:
        pytest.skip(f"cuDNN or its frontend is not installed: {reason}")
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for the driver's stand-in")
    done = subprocess.run(
        [sys.executable, HERE / "plans_without_device.py", tmp_path, compiler],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every description has a plan" in done.stdout
