"""cuDNN's graph API, by way of NVIDIA's Python package ``nvidia-cudnn-frontend``.

The package is imported as ``cudnn`` when a `Frontend` is opened; nobody else touches it, because
its releases come monthly and change. Used as documented there for 1.18 up to, not including, 1.29,
from which on it wants 190 MB of other packages.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from minicaffe.backends.cuda.driver import libraries
from minicaffe.backends.cuda.driver.plans import ConvolutionProblem, Plan, Role, strides
from minicaffe.errors import BackendUnavailable, Unsupported

WHEEL = "nvidia-cudnn-frontend"
ADVICE = f'pip install "{WHEEL}>=1.18,<1.29"'


class Frontend:
    """The graph API on one device; a `Dnn`.

    Parameters
    ----------
    cudnn : module
        What ``import cudnn`` gives.
    where : mapping
        What ``cudnn.pygraph`` is told about the device: a handle, or the properties of a device
        that is not there (then plans can be made and not run).
    is_deterministic : bool
        Leave out plans whose sums may come in another order in the next run.
    workspace_limit : int
        Bytes; plans that need more are left out.
    """

    def __init__(
        self,
        cudnn: Any,
        where: Mapping[str, Any],
        *,
        is_deterministic: bool,
        workspace_limit: int,
    ) -> None:
        self.cudnn, self.where = cudnn, dict(where)
        self.is_deterministic, self.workspace_limit = is_deterministic, workspace_limit
        # Raised by the package: its own class, and what its C++ part throws.
        self.failures = (cudnn.cudnnGraphNotSupportedError, RuntimeError, ValueError, TypeError)

    @staticmethod
    def package() -> Any:
        """Return what ``import cudnn`` gives.

        Raises
        ------
        BackendUnavailable
            If the package, or cuDNN itself, is not installed.
        """
        # Loaded here, it is found there even where the package itself does not look.
        libraries.load_library("cudnn")
        try:
            return importlib.import_module("cudnn")
        except ImportError as error:
            raise BackendUnavailable(f"{WHEEL} is not installed ({error}). {ADVICE}") from None
        except Exception as error:  # it looks for libraries, and finds none or too many
            raise BackendUnavailable(f"{WHEEL} does not load ({_brief(error)})") from error

    @classmethod
    def open(cls, stream: int, **options: Any) -> Frontend:
        """Return the graph API on the current device and a CUDA stream.

        Parameters
        ----------
        stream : int
            The stream that all plans run on.
        **options
            The keyword arguments of the class.

        Raises
        ------
        BackendUnavailable
            If cuDNN or the package is not installed, or there is no device.
        """
        cudnn = cls.package()
        try:
            handle = cudnn.create_handle()
            cudnn.set_stream(handle=handle, stream=int(stream))
        except Exception as error:  # each release has classes of its own for this
            raise BackendUnavailable(f"cuDNN does not start: {_brief(error)}") from error
        return cls(cudnn, {"handle": handle}, **options)

    @property
    def version(self) -> str:
        """Versions of both, and whether plans were left out."""
        kind = " deterministic" if self.is_deterministic else ""
        version = self.cudnn.backend_version()
        limit = self.workspace_limit >> 20
        return f"cuDNN {version} frontend {self.cudnn.__version__}{kind} up to {limit} MiB"

    def plans(self, what: ConvolutionProblem) -> Sequence[Plan]:
        """Return what the library's heuristics propose, best first.

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

    def _candidates(self, graph: Any, what: ConvolutionProblem) -> list[tuple[int, str]]:
        modes, notes = self.cudnn.heur_mode, self.cudnn.numerical_note
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([modes.A, modes.FALLBACK])
        # Sums in half precision, which no caller allows.
        unwanted = [notes.REDUCED_PRECISION_REDUCTION]
        if what.dtype == "float32":
            # To half precision; TF32 is none of these, but what tensor cores make of float32.
            unwanted.append(notes.DOWN_CONVERT_INPUTS)
            if what.math == "fp32":
                unwanted.append(notes.TENSOR_CORE)
        if self.is_deterministic:
            unwanted.append(notes.NONDETERMINISTIC)
        graph.deselect_numeric_notes(unwanted)
        count = graph.get_execution_plan_count()
        return [(index, str(graph.get_plan_name_at_index(index))) for index in range(count)]

    def _graph(self, what: ConvolutionProblem) -> Any:
        float32 = self.cudnn.data_type.FLOAT
        graph = self.cudnn.pygraph(
            io_data_type=self._type(what.dtype),
            intermediate_data_type=float32,
            compute_data_type=float32,
            **self.where,
        )
        _add_convolution(graph, _Ports(graph, what, self._type(what.dtype)), what)
        return graph

    def _type(self, dtype: str) -> Any:
        types = self.cudnn.data_type
        return {"float32": types.FLOAT, "bfloat16": types.BFLOAT16, "float16": types.HALF}[dtype]


class FrontendPlan:
    """One of a graph's plans."""

    def __init__(self, frontend: Frontend, graph: Any, index: int, name: str) -> None:
        self.name = f"frontend {name}"
        self.workspace_bytes = 0
        self._frontend, self._graph, self._index = frontend, graph, index
        self._is_prepared = False

    def prepare(self) -> None:
        """Build the plan.

        Raises
        ------
        Unsupported
            If it cannot be built, was left out, or needs more memory than is allowed.
        """
        if self._is_prepared:
            return
        try:
            self._graph.build_plan_at_index(self._index)
            needed = int(self._graph.get_workspace_size_plan_at_index(self._index))
        except self._frontend.failures as error:
            raise Unsupported(f"cuDNN cannot build {self.name}: {_brief(error)}") from error
        if needed > self._frontend.workspace_limit:
            raise Unsupported(f"{self.name} needs {needed} bytes of workspace")
        self.workspace_bytes = needed
        self._is_prepared = True

    def __call__(self, addresses: Mapping[Role, int], workspace: int) -> None:
        """Start the work on the stream."""
        pointers = {int(role): int(address) for role, address in addresses.items()}
        try:
            self._graph.execute_plan_at_index(
                pointers, int(workspace), self._index, handle=self._frontend.where["handle"]
            )
        except self._frontend.failures as error:
            raise BackendUnavailable(f"cuDNN: {self.name} fails: {_brief(error)}") from error


class _Ports:
    """Makes a graph's tensors from a convolution's operands, all of one type."""

    def __init__(self, graph: Any, what: ConvolutionProblem, dtype: Any) -> None:
        self._graph, self._last, self._dtype = graph, what.channels_last, dtype
        self._operands = what.operands

    def input(self, role: Role) -> Any:
        """Return a new tensor that is read."""
        shape = self._operands[role].shape
        return self._graph.tensor(
            dim=list(shape),
            stride=list(strides(shape, self._last)),
            data_type=self._dtype,
            uid=int(role),
        )

    def output(self, role: Role, tensor: Any) -> None:
        """Have a result of the graph written."""
        shape = self._operands[role].shape
        # A gradient's shape does not follow from the shapes of the rest: it must be given.
        tensor.set_output(True).set_data_type(self._dtype).set_dim(list(shape)).set_stride(
            list(strides(shape, self._last))
        ).set_uid(int(role))


def _add_convolution(graph: Any, ports: _Ports, what: ConvolutionProblem) -> None:
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
    # Some of the package's messages hold whole graphs.
    return str(error).strip().partition("\n")[0][:200]
