"""The base class of all layers: the interface that a layer type implements and the methods it uses.

A layer translates a LayerParameter into ops (see `minicaffe.ops`) and passes blobs to the kernels
that the backend plans for them. It contains no arithmetic and names no backend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeAlias, get_args

from google.protobuf.message import Message

from minicaffe import fillers
from minicaffe.blob import Blob, check_shape
from minicaffe.errors import MinicaffeError, NetError, ShapeError
from minicaffe.layers.context import LayerContext
from minicaffe.layers.scoring import Scoring
from minicaffe.layers.unread import unread_fields
from minicaffe.ops.backend import EpilogueOp, K, Op, Shape, Tensor
from minicaffe.random import RandomStream, checked_step
from minicaffe.schema import FillerParameter, LayerParameter

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    # Plain `Layer` means a layer of any type; a layer type without settings derives from it.
    P = TypeVar("P", bound=Message | None, covariant=True, default=Message | None)
else:
    from typing import TypeVar

    P = TypeVar("P")  # the standard library knows defaults from Python 3.13 on (PEP 696)

Blobs: TypeAlias = Sequence[Blob]
# A number of blobs: exactly n, or (minimum, maximum), the maximum None for no limit.
Arity: TypeAlias = int | tuple[int, int | None]
# What a layer type is for; drawings have a colour for each.
Role: TypeAlias = Literal[
    "data",
    "convolution",
    "weights",
    "pooling",
    "activation",
    "normalization",
    "loss",
    "output",
    "other",
]
# What a backward pass reads of the tops' values: all, or whether each is positive.
TopReads: TypeAlias = Literal["nothing", "signs", "values"]
# What an in-place forward pass changes. After "magnitudes" the positive values are the same ones,
# apart from zeros whose gradient is zero.
InPlaceEffect: TypeAlias = Literal["nothing", "magnitudes", "values"]
# What a snapshot stores of a layer: any JSON types.
State: TypeAlias = dict[str, Any]
# Inside Layer the name `type` is the layer type.
ErrorType: TypeAlias = type[MinicaffeError]
LayerClass: TypeAlias = "type[Layer]"
# The field of LayerParameter for each type of message.
_FIELDS = {
    field.message_type: field.name
    for field in LayerParameter.DESCRIPTOR.fields
    if field.message_type is not None
}


class Layer(Generic[P]):
    """A layer of a net, generic over the protobuf message of its settings.

    The net calls `setup` once, `reshape` before the first pass and after a bottom changed its
    shape, then `forward` and `backward`. Subclasses declare their numbers of blobs and override
    these four.

    Attributes
    ----------
    param : LayerParameter
    blobs : list of Blob
        The parameters, in Caffe's order.
    param_needs_diff : list of bool
        Whether the gradient of each parameter is needed; set by the net.
    """

    type: ClassVar[str]
    bottoms: ClassVar[Arity] = 1
    tops: ClassVar[Arity] = 1
    # The field of LayerParameter with this type's settings, "" if it has none; found from P.
    param_field: ClassVar[str] = ""
    # Further fields of LayerParameter that this type reads or refuses.
    shared_fields: ClassVar[tuple[str, ...]] = ()
    role: ClassVar[Role] = "other"
    # The type with the same settings and parameters that rounds by quantization_param; "" if none.
    quantized_type: ClassVar[str] = ""
    # Whether a top may be the bottom of the same index; if not, the net raises an error.
    in_place: ClassVar[bool] = False
    # Whether `recompute_forward` repeats the values of `forward`. May be set on the instance.
    can_recompute: bool = False
    # Whether it reads no bottom where the layer works in place. Set like `can_recompute`.
    saves_bottom: bool = False
    # Whether backward can write the bottom's diff over the top's, where their data are apart.
    overwrites_top_diff: bool = False
    # Whether the gradient of each bottom is the top's. Set like `can_recompute`.
    copies_top_diff: bool = False
    # Tops that are created if the prototxt omits them (losses have one).
    automatic_tops: ClassVar[int] = 0
    # Loss weight of the first top if the prototxt sets none. May be set in `__init__`.
    loss_weight: float = 0.0
    # Whether passes wait for data or run the user's code, so that they must not hold the lock.
    releases_lock: ClassVar[bool] = False
    # Whether every top has the values of the bottom, as for the layer that the net inserts.
    copies_bottom: ClassVar[bool] = False
    # Whether the program writes the tops.
    is_filled_by_program: ClassVar[bool] = False
    # Whether the user's code may keep arrays of the blobs, so that these must not share memory.
    exposes_blobs: ClassVar[bool] = False
    # Whether a kernel may need a workspace as large as a bottom and a top.
    needs_workspace: ClassVar[bool] = False
    # Whether a weights file may hold parameters with other axes of size 1 than the layer has.
    ignores_ones: ClassVar[bool] = False
    # The largest loss that a sample can have, at probability 0, if the loss is a mean over samples;
    # 0 if there is no such limit. Set on the instance if it depends on the settings.
    largest_loss: float = 0.0
    # Bottoms that never get a gradient, even under force_backward (labels). Set likewise.
    without_gradient: tuple[int, ...] = ()
    # Parameters into which forward enters statistics of the batch; the processes of one training
    # average them. Set on the instance if it depends on the settings.
    running_statistics: tuple[int, ...] = ()

    def __init_subclass__(cls) -> None:
        """Find `param_field` from the message in the brackets of the base class."""
        for base in vars(cls).get("__orig_bases__", ()):
            for argument in get_args(base):
                if getattr(argument, "DESCRIPTOR", None) in _FIELDS:
                    cls.param_field = _FIELDS[argument.DESCRIPTOR]

    def __init__(self, param: LayerParameter, context: LayerContext) -> None:
        self.param = param
        self.context = context
        self.blobs: list[Blob] = []
        self.param_needs_diff: list[bool] = []
        self._fillers: dict[int, FillerParameter] = {}
        self._streams: dict[str, RandomStream] = {}
        self._n_skipped = 0  # batches

    @property
    def name(self) -> str:
        """The name in the prototxt."""
        return self.param.name

    @property
    def is_training(self) -> bool:
        """Whether the net was built for the TRAIN phase."""
        return self.context.is_training

    @property
    def settings(self) -> P:
        """The type's message inside the LayerParameter."""
        settings: P = getattr(self.param, self.param_field)
        return settings

    # Methods that a subclass overrides.

    @classmethod
    def variant(cls, param: LayerParameter) -> LayerClass:
        """Return the class for these settings, if the type means several layers in forks."""
        return cls

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        """Check the settings and create the parameters. Shapes of the bottoms are known."""

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """Give the tops their shapes and plan the kernels."""
        raise NotImplementedError

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops' data."""
        raise NotImplementedError

    def backward(self, top: Blobs, propagate_down: Sequence[bool], bottom: Blobs) -> None:
        """Overwrite the bottoms' diffs where `propagate_down`, add to the parameters' diffs.

        Types without a gradient inherit this, and list their bottoms in `without_gradient`.
        """
        self.require(not any(propagate_down), f"layers of type {self.type} have no gradient")

    @classmethod
    def deployed(cls, param: LayerParameter) -> LayerParameter | None:
        """Return the layer that takes its place where a trained net is used; None for none."""
        return param

    @classmethod
    def summary(cls, param: LayerParameter) -> str:
        """Return the main settings in a few words, "96 x 11x11 / 4 + 2" for a convolution."""
        return ""

    @classmethod
    def unread_settings(cls, param: LayerParameter) -> Iterator[str]:
        """Return a sentence about each setting in `param` that has no effect in this type."""
        fields, rounded = cls.shared_fields, cls.quantized_type
        return unread_fields(param, cls.type, cls.param_field, fields, rounded)

    @classmethod
    def order_in_file(cls, shapes: Sequence[Shape]) -> Sequence[int]:
        """Return which parameter each array of a weights file is, given the shapes of the arrays.

        A type overrides it whose parameters a fork of Caffe wrote in another order.
        """
        return range(len(shapes))

    @classmethod
    def batch_shape(cls, param: LayerParameter, image: Shape) -> Shape:
        """Return the shape of a data layer's first top, () if it is not known without the source.

        Parameters
        ----------
        param : LayerParameter
        image : tuple of int
            Channels, rows and columns to assume; () to take them from the settings.
        """
        return ()

    def multiply_adds(self, bottom: Blobs, top: Blobs) -> int:
        """Return the multiply-adds of products with weights in one forward pass."""
        return 0

    def scoring(self) -> Scoring | None:
        """Return how this layer compares scores with labels; None if it does not."""
        return None

    @property
    def reads_bottoms(self) -> bool:
        """Whether backward reads the values of bottoms.

        The bottom of an in-place layer does not count, because its kernel saves what it needs. See
        `minicaffe.net.overwritten_values`.
        """
        return True

    @property
    def reads_tops(self) -> TopReads:
        """What backward reads of the values of tops."""
        return "nothing"

    @property
    def in_place_effect(self) -> InPlaceEffect:
        """What forward changes if the layer works in place."""
        return "values"

    def epilogue_op(self) -> EpilogueOp | None:
        """Return the op of this layer, if it is one op on the first bottom and the parameters.

        The net may fuse it into the kernel of the layer before; see `minicaffe.net.fusion`.
        """
        return None

    @property
    def fuses_backward(self) -> bool:
        """Whether the backward passes of fused layers are fused as well."""
        return False

    def recompute_forward(self, bottom: Blobs, top: Blobs) -> None:
        """Overwrite the tops' data as `forward` did last, with no other effect.

        Called after unfusing, and where values were dropped (`minicaffe.net.memory.recomputation`).
        """
        self.forward(bottom, top)

    def fuse(self, epilogue: Sequence[EpilogueOp]) -> int:
        """Fuse ops that follow on the top into the kernel, and no others; return how many."""
        return 0

    def state(self) -> State:
        """Return the state that an exact resume needs (JSON types only)."""
        return {name: [stream.seed, stream.step] for name, stream in self._streams.items()}

    def restore(self, state: State) -> None:
        """Restore what `state` returned in an earlier run."""
        for purpose, (seed, step) in state.items():
            self.stream(purpose).go_to(seed, checked_step(step))

    def skip_batches(self, n: int) -> None:
        """Advance as n forward passes do, each over all parts of a batch, without computing."""
        self._n_skipped += n
        for stream in self._streams.values():
            stream.pass_over(n)

    def close(self) -> None:
        """Close files and stop threads."""

    @property
    def data_wait_s(self) -> float:
        """Total time that forward has waited for prefetched data, seconds."""
        return 0.0

    def sample_names(self) -> Callable[[int], str]:
        """Return a function from indices in this batch, also later, to names of samples or ""."""
        return lambda item: ""

    def fill(self, top: Blobs) -> None:
        """Write the parameters' initial values; called once, when the whole net has its shapes."""
        for index, filler in self._fillers.items():
            blob = self.blobs[index]
            # Shared parameters have the owner's values.
            if blob.data_owner is blob and not self.context.is_zero(filler):
                stream = RandomStream(self.context.seed, f"{self.name}/fill/{index}")
                blob.data.set(fillers.fill(filler, blob.shape, stream.generator()))

    def drop_filler(self, index: int) -> None:
        """Keep the values of a parameter when the layer is filled."""
        self._fillers.pop(index, None)

    def fill_count(self, top: Blobs) -> int:
        """Return the number of values that `fill` writes."""
        filled = [self.blobs[k] for k, f in self._fillers.items() if not self.context.is_zero(f)]
        return sum(blob.count for blob in filled if blob.data_owner is blob)

    # Methods that a subclass uses.

    @property
    def where(self) -> str:
        """File, line, name and type: the beginning of messages."""
        return f'{self.context.where}, layer "{self.name}" ({self.type})'

    def require(self, ok: object, message: str, kind: ErrorType = NetError) -> None:
        """Raise an error that begins with `where`, unless `ok`."""
        if not ok:
            raise kind(f"{self.where}: {message}")

    def require_shape(self, ok: object, message: str) -> None:
        """Raise a ShapeError that begins with `where`, unless `ok`."""
        self.require(ok, message, ShapeError)

    def require_no_gradient(self, propagate_down: Sequence[bool]) -> None:
        """Raise a NetError if a gradient is requested for a bottom that has none."""
        for k in self.without_gradient:
            if k < len(propagate_down) and propagate_down[k]:
                raise NetError(
                    f'{self.where}: bottom "{self.param.bottom[k]}" has no gradient here. Set '
                    "propagate_down: false for it; true, or nothing, for the others."
                )

    def plan(self, op: Op[K], *tensors: Tensor) -> K:
        """Return the backend's kernel for `op`."""
        return self.context.plan(op, *tensors)

    def stream(self, purpose: str, n_draws: int = 1) -> RandomStream:
        """Return this layer's random stream for one purpose; snapshots store its step.

        Parameters
        ----------
        purpose : str
        n_draws : int
            How often a forward pass draws from it.
        """
        self.context.changes.effects += 1
        if purpose not in self._streams:
            stream = self.context.stream(f"{self.name}/{purpose}", n_draws)
            stream.pass_over(self._n_skipped)
            self._streams[purpose] = stream
        return self._streams[purpose]

    def add_parameter(self, shape: Shape, filler: FillerParameter | None = None) -> Blob:
        """Create the next parameter, which `fill` will fill; without a filler it is zero."""
        index = len(self.blobs)
        check_shape(shape, f"parameter {index}")
        if filler is not None:
            self.require_filler(filler, shape, f"parameter {index}")
            self._fillers[index] = filler
        blob = Blob(self.context.backend, f"{self.name}[{index}]", shape)
        self.blobs.append(blob)
        self.param_needs_diff.append(True)
        return blob

    def require_filler(self, filler: FillerParameter, shape: Shape, subject: str) -> None:
        """Raise a NetError that names `subject`, unless the filler can fill this shape."""
        try:
            fillers.check_filler(filler, shape)
        except NetError as error:
            raise NetError(f"{self.where}: {subject}: {error}") from error

    def axis(self, axis: int, blob: Blob, field: str = "axis") -> int:
        """Return `axis` of `blob` counted from the front; negative ones count from the end."""
        n = len(blob.shape)
        self.require_shape(
            -n <= axis < n,
            f'{field}: {axis} does not exist in bottom "{blob.name}" of shape {blob.shape}; '
            f"it has {n} {'axis' if n == 1 else 'axes'}",
        )
        return axis % n

    def weight_values(self) -> tuple[Tensor, Tensor | None]:
        """Return weights and bias, None without a bias."""
        blobs = self.blobs
        return blobs[0].data, blobs[1].data if len(blobs) > 1 else None

    def weight_diffs(self) -> tuple[Tensor | None, Tensor | None]:
        """Return the diffs of weights and bias, None for those that are not needed."""
        wanted = zip(self.blobs, self.param_needs_diff, strict=True)
        w, *bias = (blob.diff if needed else None for blob, needed in wanted)
        return w, bias[0] if bias else None
