"""cuDNN's graph API through NVIDIA's Python package ``nvidia-cudnn-frontend``.

The package is imported as ``cudnn`` when a `Frontend` is opened, and only here, because its monthly
releases change the API. Used as documented for versions 1.18 to 1.28; from 1.29 on the package
requires 190 MB of other packages.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from minicaffe.backends.cuda.driver import libraries
from minicaffe.backends.cuda.driver.plans import ConvolutionProblem, Plan, PlanLimits, Role, strides
from minicaffe.errors import BackendUnavailable, Unsupported

WHEEL = "nvidia-cudnn-frontend"
ADVICE = f'pip install "{WHEEL}>=1.18,<1.29"'


# The package has no type stubs.
_Package: TypeAlias = Any
_Graph: TypeAlias = Any
_GraphTensor: TypeAlias = Any


class Frontend:
    """The graph API on one device; a `Dnn`.

    Parameters
    ----------
    cudnn : module
        The imported package.
    where : mapping
        Device argument of ``cudnn.pygraph``: a handle, or the properties of a device that is not
        present (then plans can be built but not executed).
    limits : PlanLimits
    """

    def __init__(self, cudnn: _Package, where: Mapping[str, object], limits: PlanLimits) -> None:
        self.cudnn, self.where, self.limits = cudnn, dict(where), limits
        # The exceptions of the package: its own class, and those of its C++ part.
        self.failures = (cudnn.cudnnGraphNotSupportedError, RuntimeError, ValueError, TypeError)

    @staticmethod
    def package() -> _Package:
        """Import and return the package.

        Raises
        ------
        BackendUnavailable
            If the package, or cuDNN itself, is not installed.
        """
        # Once cuDNN is loaded, the package finds it even outside of its own search path.
        libraries.load_library("cudnn")
        try:
            return importlib.import_module("cudnn")
        except ImportError as error:
            raise BackendUnavailable(f"{WHEEL} is not installed ({error}). {ADVICE}") from None
        except Exception as error:  # its search for libraries finds none or several
            raise BackendUnavailable(f"{WHEEL} does not load ({_brief(error)})") from error

    @classmethod
    def open(cls, stream: int, limits: PlanLimits) -> Frontend:
        """Return the graph API on the current device and a CUDA stream.

        Parameters
        ----------
        stream : int
            The stream of all plans.
        limits : PlanLimits

        Raises
        ------
        BackendUnavailable
            If cuDNN or the package is not installed, or there is no device.
        """
        cudnn = cls.package()
        try:
            handle = cudnn.create_handle()
            cudnn.set_stream(handle=handle, stream=int(stream))
        except Exception as error:  # the exception class differs between releases
            raise BackendUnavailable(f"cuDNN cannot be initialised: {_brief(error)}") from error
        return cls(cudnn, {"handle": handle}, limits)

    @property
    def version(self) -> str:
        """Versions of cuDNN and the package, and which plans are excluded."""
        version = self.cudnn.backend_version()
        return f"cuDNN {version} frontend {self.cudnn.__version__}{self.limits}"

    def plans(self, what: ConvolutionProblem) -> Sequence[Plan]:
        """Return the plans that the library's heuristics propose, best first.

        Raises
        ------
        Unsupported
            If there is no plan.
        """
        try:
            graph = self._graph(what.canonical)
            names = self._candidates(graph, what)
        except self.failures as error:
            raise Unsupported(f"{what}: cuDNN has no graph for it: {_brief(error)}") from error
        if not names:
            raise Unsupported(f"{what}: cuDNN has no plan for it")
        return [FrontendPlan(self, graph, index, name) for index, name in names]

    def _candidates(self, graph: _Graph, what: ConvolutionProblem) -> list[tuple[int, str]]:
        modes, notes = self.cudnn.heur_mode, self.cudnn.numerical_note
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([modes.A, modes.FALLBACK])
        # Sums in half precision: no caller allows them.
        unwanted = [notes.REDUCED_PRECISION_REDUCTION]
        if what.dtype == "float32":
            # Inputs converted to half precision; TF32 has another note, TENSOR_CORE.
            unwanted.append(notes.DOWN_CONVERT_INPUTS)
            if what.math == "fp32":
                unwanted.append(notes.TENSOR_CORE)
        if self.limits.is_deterministic:
            unwanted.append(notes.NONDETERMINISTIC)
        graph.deselect_numeric_notes(unwanted)
        count = graph.get_execution_plan_count()
        return [(index, str(graph.get_plan_name_at_index(index))) for index in range(count)]

    def _graph(self, what: ConvolutionProblem) -> _Graph:
        float32 = self.cudnn.data_type.FLOAT
        graph = self.cudnn.pygraph(
            io_data_type=self._type(what.dtype),
            intermediate_data_type=float32,
            compute_data_type=float32,
            **self.where,
        )
        _add_convolution(graph, _Ports(graph, what, self._type(what.dtype)), what)
        return graph

    def _type(self, dtype: str) -> object:
        types = self.cudnn.data_type
        return {"float32": types.FLOAT, "bfloat16": types.BFLOAT16, "float16": types.HALF}[dtype]


class FrontendPlan:
    """One of a graph's plans."""

    def __init__(self, frontend: Frontend, graph: _Graph, index: int, name: str) -> None:
        self.name = f"frontend {name}"
        self.workspace_bytes = 0
        self._frontend, self._graph, self._index = frontend, graph, index
        self._is_prepared = False

    def prepare(self) -> None:
        """Build the plan.

        Raises
        ------
        Unsupported
            If it cannot be built, is excluded, or needs too much workspace.
        """
        if self._is_prepared:
            return
        try:
            self._graph.build_plan_at_index(self._index)
            needed = int(self._graph.get_workspace_size_plan_at_index(self._index))
        except self._frontend.failures as error:
            raise Unsupported(f"cuDNN cannot build {self.name}: {_brief(error)}") from error
        if needed > self._frontend.limits.workspace_limit:
            raise Unsupported(f"{self.name} needs {needed} bytes of workspace")
        self.workspace_bytes = needed
        self._is_prepared = True

    def __call__(self, addresses: Mapping[Role, int], workspace: int) -> None:
        """Enqueue the plan on the stream."""
        pointers = {int(role): int(address) for role, address in addresses.items()}
        try:
            self._graph.execute_plan_at_index(
                pointers, int(workspace), self._index, handle=self._frontend.where["handle"]
            )
        except self._frontend.failures as error:
            raise BackendUnavailable(f"cuDNN: {self.name} fails: {_brief(error)}") from error


class _Ports:
    """Creates a graph's tensors from a convolution's operands, all of one type."""

    def __init__(self, graph: _Graph, what: ConvolutionProblem, dtype: object) -> None:
        self._graph, self._last, self._dtype = graph, what.channels_last, dtype
        self._operands = what.operands

    def input(self, role: Role) -> _GraphTensor:
        """Return a new input tensor."""
        shape = self._operands[role].shape
        return self._graph.tensor(
            dim=list(shape),
            stride=list(strides(shape, self._last)),
            data_type=self._dtype,
            uid=int(role),
        )

    def output(self, role: Role, tensor: _GraphTensor) -> None:
        """Declare a result of the graph as an output."""
        shape = self._operands[role].shape
        # A gradient's shape is not inferred from the other shapes, so it is given.
        tensor.set_output(True).set_data_type(self._dtype).set_dim(list(shape)).set_stride(
            list(strides(shape, self._last))
        ).set_uid(int(role))


def _add_convolution(graph: _Graph, ports: _Ports, what: ConvolutionProblem) -> None:
    window = {
        "padding": list(what.pad),
        "stride": list(what.stride),
        "dilation": list(what.dilation),
    }
    if what.direction == "data":
        loss, weight = ports.input(Role.DY), ports.input(Role.W)
        ports.output(Role.DX, graph.conv_dgrad(loss=loss, filter=weight, **window))
    elif what.direction == "weights":
        image, loss = ports.input(Role.X), ports.input(Role.DY)
        ports.output(Role.DW, graph.conv_wgrad(image=image, loss=loss, **window))
    else:
        image, weight = ports.input(Role.X), ports.input(Role.W)
        y = graph.conv_fprop(image=image, weight=weight, **window)
        if what.bias:
            y = graph.bias(input=y, bias=ports.input(Role.B))
        if what.relu:
            y = graph.relu(input=y)
        ports.output(Role.Y, y)


def _brief(error: Exception) -> str:
    # Only the first line, because some messages of the package contain whole graphs.
    return str(error).strip().partition("\n")[0][:200]
