"""The base class of all layers: what a layer type must say and may rely on.

A layer translates a LayerParameter into ops (see `minicaffe.ops`) and hands blobs to the kernels
that the backend plans for them. It holds no arithmetic and knows no backend by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from minicaffe import fillers
from minicaffe.blob import Blob
from minicaffe.errors import MinicaffeError, NetError, ShapeError
from minicaffe.ops.backend import Backend, EpilogueOp, K, Op, Shape, Tensor
from minicaffe.random import RandomStream

Blobs: TypeAlias = Sequence[Blob]
# A number of blobs: exactly n, or (fewest, most), most None for no limit.
Arity: TypeAlias = int | tuple[int, int | None]
State: TypeAlias = dict[str, Any]
# Inside Layer the word `type` means the layer type.
ErrorType: TypeAlias = type[MinicaffeError]


@dataclass(frozen=True)
class LayerContext:
    """What the net tells a layer about its surroundings.

    Parameters
    ----------
    where : str
        File and line of the layer in the prototxt, for messages.
    is_training : bool
        Whether the phase is TRAIN.
    backend : Backend
        Plans the kernels.
    seed : int
        Of everything random in the net; each layer draws from streams of its own name.
    """

    where: str
    is_training: bool
    backend: Backend
    seed: int


class Layer:
    """One step of a net.

    The net calls `setup` once, `reshape` before the first pass and whenever a bottom changed its
    shape, then `forward` and `backward`. Subclasses state how many blobs they take and override
    these four.

    Attributes
    ----------
    blobs : list of Blob
        The parameters, in Caffe's order.
    param_needs_diff : list of bool
        Whether somebody wants the gradient of each parameter; set by the net.
    """

    type: ClassVar[str]
    bottoms: ClassVar[Arity] = 1
    tops: ClassVar[Arity] = 1
    # The field of LayerParameter with this type's settings, "" if it has none.
    param_field: ClassVar[str] = ""
    # May a top be the bottom of the same index? The net refuses what the layer does not claim.
    in_place: ClassVar[bool] = False
    # Tops that a prototxt may leave out and that are made all the same (losses have one).
    automatic_tops: ClassVar[int] = 0
    # Loss weight of the first top where the prototxt says nothing.
    loss_weight: ClassVar[float] = 0.0
    # Whether passes wait for data or run the user's code: other nets need not wait with them.
    releases_lock: ClassVar[bool] = False
    # Bottoms that never get a gradient, even under force_backward (labels). Set it on the instance
    # where it depends on how many bottoms there are.
    without_gradient: tuple[int, ...] = ()

    def __init__(self, param: Any, context: LayerContext) -> None:
        self.param = param
        self.context = context
        self.blobs: list[Blob] = []
        self.param_needs_diff: list[bool] = []
        self._streams: dict[str, RandomStream] = {}

    @property
    def name(self) -> str:
        """The name in the prototxt."""
        return str(self.param.name)

    @property
    def is_training(self) -> bool:
        """Whether the net was built for the TRAIN phase."""
        return self.context.is_training

    @property
    def settings(self) -> Any:
        """The type's message inside the LayerParameter."""
        return getattr(self.param, self.param_field)

    # What a subclass overrides.

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Read the prototxt and create the parameters. Shapes of the bottoms are known."""

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the tops their shapes and plan the kernels."""
        raise NotImplementedError

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops' data."""
        raise NotImplementedError

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs where `propagate_down`, add to the parameters' diffs.

        A type without a gradient keeps this, and names its bottoms in `without_gradient`.
        """
        self.require(not any(propagate_down), f"layers of type {self.type} have no gradient")

    def epilogue_op(self) -> EpilogueOp | None:
        """Return what this layer does, if that is one op on its first bottom and parameters.

        The net may have the kernel of the layer before apply it; see `minicaffe.net.fusion`.
        """
        return None

    @property
    def fuses_backward(self) -> bool:
        """Whether what is fused is done backward as well, so that it must not run itself."""
        return False

    def recompute_forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops' data as `forward` did last, with no other effect.

        Called after fused layers were taken apart, on layers that had fused some.
        """
        self.forward(bottom, top)

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Have the kernel do what follows on the top as well, and nothing else; say how many."""
        return 0

    def state(self) -> State:
        """Return what a resumed run needs to go on as if never interrupted (JSON types only)."""
        return {name: [stream.seed, stream.step] for name, stream in self._streams.items()}

    def restore(self, state: State) -> None:
        """Take over what `state` returned in an earlier run."""
        for purpose, (seed, step) in state.items():
            stream = self.stream(purpose)
            stream.seed, stream.step = seed, step

    def close(self) -> None:
        """Give back files and threads."""

    @property
    def data_wait_s(self) -> float:
        """How long forward has waited for data to be read ahead so far, seconds."""
        return 0.0

    def sample_names(self) -> Callable[[int], str]:
        """Return what says where a sample of the current batch came from, and may say it later.

        It is given the sample's index, and returns an empty text if that is not known.
        """
        return lambda item: ""

    # What a subclass relies on.

    @property
    def where(self) -> str:
        """File, line, name and type, as messages begin."""
        return f'{self.context.where}, layer "{self.name}" ({self.type})'

    def require(self, ok: object, message: str, kind: ErrorType = NetError) -> None:
        """Raise an error that begins with where this layer stands, unless `ok`."""
        if not ok:
            raise kind(f"{self.where}: {message}")

    def require_shape(self, ok: object, message: str) -> None:
        """Raise a ShapeError that begins with where this layer stands, unless `ok`."""
        self.require(ok, message, ShapeError)

    def refuse_gradient(self, propagate_down: Sequence[bool]) -> None:
        """Raise a NetError if a gradient is asked for a bottom that has none."""
        for k in self.without_gradient:
            if k < len(propagate_down) and propagate_down[k]:
                raise NetError(
                    f'{self.where}: bottom "{self.param.bottom[k]}" has no gradient here. Set '
                    "propagate_down: false for it; true, or nothing, for the others."
                )

    def plan(self, op: Op[K], *tensors: Tensor) -> K:
        """Return the backend's kernel for `op`."""
        return self.context.backend.plan(op, *tensors)

    def stream(self, purpose: str) -> RandomStream:
        """Return this layer's random stream for one purpose; its step travels with snapshots."""
        if purpose not in self._streams:
            self._streams[purpose] = RandomStream(self.context.seed, f"{self.name}/{purpose}")
        return self._streams[purpose]

    def add_parameter(self, shape: Shape, filler: Any = None) -> Blob:
        """Create the next parameter and fill it as a FillerParameter says, or with zeros."""
        index = len(self.blobs)
        blob = Blob(self.context.backend, f"{self.name}[{index}]", shape)
        if filler is not None:
            self._fill_parameter(blob, index, filler)
        self.blobs.append(blob)
        self.param_needs_diff.append(True)
        return blob

    def _fill_parameter(self, blob: Blob, index: int, filler: Any) -> None:
        generator = RandomStream(self.context.seed, f"{self.name}/fill/{index}").generator()
        try:
            blob.data.set(fillers.fill(filler, blob.shape, generator))
        except NetError as error:
            raise NetError(f"{self.where}: parameter {index}: {error}") from error

    def axis(self, axis: int, blob: Blob, field: str = "axis") -> int:
        """Return `axis` of `blob` counted from the front; negative ones count from the end."""
        n = len(blob.shape)
        self.require_shape(
            -n <= axis < n,
            f'{field}: {axis} does not exist in bottom "{blob.name}" of shape {blob.shape}; '
            f"it has {n} axes",
        )
        return axis % n

    def weight_diffs(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the diffs of weights and bias, None for those that nobody wants."""
        wanted = [
            blob.diff if needed else None
            for blob, needed in zip(self.blobs, self.param_needs_diff, strict=True)
        ]
        return wanted[0], wanted[1] if len(wanted) > 1 else None
