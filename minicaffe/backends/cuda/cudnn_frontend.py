"""cuDNN's graph API, by way of NVIDIA's Python package ``nvidia-cudnn-frontend``.

The package is imported as ``cudnn`` when a `Frontend` is opened; nobody else touches it, because
its releases come monthly and change. Used as documented there for 1.18 up to, not including, 1.29,
from which on it wants 190 MB of other packages.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from minicaffe.backends.cuda import libraries
from minicaffe.backends.cuda.plans import (
    BatchNorm,
    BiasGradient,
    Convolution,
    Description,
    Operand,
    Plan,
    Role,
    strides,
)
from minicaffe.errors import BackendUnavailable, Unsupported

WHEEL = "nvidia-cudnn-frontend"
ADVICE = f'pip install "{WHEEL}>=1.18,<1.29"'

# Tensors that the graph of a batch normalisation has but nobody asks for.
_RUNNING = (21, 22, 23, 24)
_EPSILON, _MOMENTUM = 31, 32
# The address of a tensor inside the workspace must be a multiple of this.
_ALIGNMENT = 256


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
        libraries.load("cudnn")
        try:
            return importlib.import_module("cudnn")
        except ImportError as error:
            raise BackendUnavailable(f"{WHEEL} is not installed ({error}). {ADVICE}") from None

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

    def plans(self, what: Description) -> Sequence[Plan]:
        """Return what the library's heuristics propose, best first.

        Raises
        ------
        Unsupported
            If there is no plan.
        """
        try:
            graph, extra = self._graph(what)
            names = self._candidates(graph, what)
        except self.failures as error:
            raise Unsupported(f"{what}: cuDNN has no graph for it: {_brief(error)}") from error
        if not names:
            raise Unsupported(f"{what}: cuDNN has no plan for it")
        return [FrontendPlan(self, graph, index, name, extra) for index, name in names]

    def _candidates(self, graph: Any, what: Description) -> list[tuple[int, str]]:
        modes, notes = self.cudnn.heur_mode, self.cudnn.numerical_note
        graph.validate()
        graph.build_operation_graph()
        graph.create_execution_plans([modes.A, modes.FALLBACK])
        # Sums in half precision, which no caller allows.
        unwanted = [notes.REDUCED_PRECISION_REDUCTION]
        if isinstance(what, Convolution) and what.dtype == "float32" and what.math == "fp32":
            unwanted += [notes.TENSOR_CORE, notes.DOWN_CONVERT_INPUTS]
        if self.is_deterministic:
            unwanted.append(notes.NONDETERMINISTIC)
        graph.deselect_numeric_notes(unwanted)
        count = graph.get_execution_plan_count()
        return [(index, str(graph.get_plan_name_at_index(index))) for index in range(count)]

    def _graph(self, what: Description) -> tuple[Any, Extra]:
        what = what.canonical
        if isinstance(what, BiasGradient):
            raise Unsupported(f"{what}: not offered by cuDNN's graph API for all types")
        float32 = self.cudnn.data_type.FLOAT
        graph = self.cudnn.pygraph(
            io_data_type=self._type(what.dtype),
            intermediate_data_type=float32,
            compute_data_type=float32,
            **self.where,
        )
        ports = _Ports(self, graph, what)
        if isinstance(what, Convolution):
            _add_convolution(graph, ports, what)
            return graph, Extra()
        if what.direction == "forward":
            return graph, _add_batch_norm(graph, ports, what)
        _add_batch_norm_backward(graph, ports)
        return graph, Extra()

    def _type(self, dtype: str) -> Any:
        types = self.cudnn.data_type
        return {"float32": types.FLOAT, "bfloat16": types.BFLOAT16, "float16": types.HALF}[dtype]


class Extra:
    """What a graph needs beside its operands: numbers of the host, and memory nobody reads.

    Parameters
    ----------
    numbers : mapping of int to float
        By the tensor's id.
    scratch : mapping of int to int
        Sizes in bytes, by the tensor's id; they lie behind the plan's own workspace.
    """

    def __init__(
        self, numbers: Mapping[int, float] | None = None, scratch: Mapping[int, int] | None = None
    ) -> None:
        self._numbers = {key: ctypes.c_float(value) for key, value in (numbers or {}).items()}
        self._scratch = {key: _aligned(size) for key, size in (scratch or {}).items()}

    @property
    def size_bytes(self) -> int:
        """Bytes behind the plan's own workspace."""
        return sum(self._scratch.values())

    def addresses(self, begin: int) -> dict[int, int]:
        """Return all addresses; the scratch memory begins at `begin`."""
        found = {key: ctypes.addressof(value) for key, value in self._numbers.items()}
        for key, size in self._scratch.items():
            found[key] = begin
            begin += size
        return found


class FrontendPlan:
    """One of a graph's plans."""

    def __init__(self, frontend: Frontend, graph: Any, index: int, name: str, extra: Extra) -> None:
        self.name = f"frontend {name}"
        self._frontend, self._graph, self._index, self._extra = frontend, graph, index, extra
        self._is_prepared = False
        self._own_bytes = 0

    @property
    def workspace_bytes(self) -> int:
        """Device memory needed while it runs, aligned to 256; known once it is prepared."""
        return self._own_bytes + self._extra.size_bytes

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
        self._own_bytes = _aligned(needed) if self._extra.size_bytes else needed
        self._is_prepared = True

    def __call__(self, addresses: Mapping[Role, int], workspace: int) -> None:
        """Start the work on the stream."""
        pointers = {int(role): int(address) for role, address in addresses.items()}
        pointers.update(self._extra.addresses(int(workspace) + self._own_bytes))
        try:
            self._graph.execute_plan_at_index(
                pointers, int(workspace), self._index, handle=self._frontend.where["handle"]
            )
        except self._frontend.failures as error:
            raise BackendUnavailable(f"cuDNN: {self.name} fails: {_brief(error)}") from error


class _Ports:
    """Makes a graph's tensors from a description's operands."""

    def __init__(self, frontend: Frontend, graph: Any, what: Convolution | BatchNorm) -> None:
        self._frontend, self._graph, self._last = frontend, graph, what.channels_last
        self.operands = what.operands

    def input(self, role: Role) -> Any:
        """Return a new tensor that is read."""
        return self.tensor(int(role), self.operands[role])

    def tensor(self, uid: int, operand: Operand) -> Any:
        """Return a new tensor under a number of its own."""
        return self._graph.tensor(
            dim=list(operand.shape),
            stride=list(strides(operand.shape, self._last)),
            data_type=self._frontend._type(operand.dtype),
            uid=uid,
        )

    def number(self, uid: int) -> Any:
        """Return a new tensor whose one value lies in host memory."""
        return self._graph.tensor(
            dim=[1] * 4,
            stride=[1] * 4,
            is_pass_by_value=True,
            data_type=self._frontend.cudnn.data_type.FLOAT,
            uid=uid,
        )

    def output(self, role: Role, tensor: Any) -> None:
        """Have a result of the graph written."""
        self.output_as(int(role), self.operands[role], tensor)

    def output_as(self, uid: int, operand: Operand, tensor: Any) -> None:
        """Have a result of the graph written under a number of its own."""
        # A gradient's shape does not follow from the shapes of the rest: it must be given.
        tensor.set_output(True).set_data_type(self._frontend._type(operand.dtype)).set_dim(
            list(operand.shape)
        ).set_stride(list(strides(operand.shape, self._last))).set_uid(uid)


def _add_convolution(graph: Any, ports: _Ports, what: Convolution) -> None:
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


def _add_batch_norm(graph: Any, ports: _Ports, what: BatchNorm) -> Extra:
    # The package insists on running statistics; Caffe's are computed otherwise, so these go to
    # memory that nobody reads.
    vector = ports.operands[Role.MEAN]
    y, mean, inverse_deviation, *running = graph.batchnorm(
        input=ports.input(Role.X),
        scale=ports.input(Role.SCALE),
        bias=ports.input(Role.B),
        in_running_mean=ports.tensor(_RUNNING[0], vector),
        in_running_var=ports.tensor(_RUNNING[1], vector),
        epsilon=ports.number(_EPSILON),
        momentum=ports.number(_MOMENTUM),
    )
    ports.output(Role.Y, graph.relu(input=y) if what.relu else y)
    ports.output(Role.MEAN, mean)
    ports.output(Role.INVERSE_DEVIATION, inverse_deviation)
    for uid, tensor in zip(_RUNNING[2:], running, strict=True):
        ports.output_as(uid, vector, tensor)
    return Extra(
        numbers={_EPSILON: what.epsilon, _MOMENTUM: 0.0},
        scratch=dict.fromkeys(_RUNNING, vector.size_bytes),
    )


def _add_batch_norm_backward(graph: Any, ports: _Ports) -> None:
    dx, dscale, dbias = graph.batchnorm_backward(
        grad=ports.input(Role.DY),
        input=ports.input(Role.X),
        scale=ports.input(Role.SCALE),
        mean=ports.input(Role.MEAN),
        inv_variance=ports.input(Role.INVERSE_DEVIATION),
    )
    ports.output(Role.DX, dx)
    ports.output(Role.DSCALE, dscale)
    ports.output(Role.DB, dbias)


def _brief(error: Exception) -> str:
    # Some of the package's messages hold whole graphs.
    return str(error).strip().partition("\n")[0][:200]


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
