"""Random nets of 2 to 11 layers, in which layers meet as they do in users' nets.

Layers work in place or not, blobs have several readers, tops have unusual layouts, and there are
one to three losses. What makes a result undefined is left out: a blob is not read after a view of
its memory was changed in place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Shape = tuple[int, ...]

FILLER = 'weight_filler { type: "gaussian" std: 0.4 } bias_filler { type: "uniform" min: -0.3 }'


@dataclass
class Blob:
    """A blob of the net: its shape, the number of readers, and whose memory it views."""

    name: str
    shape: Shape
    memory: str
    n_readers: int = 0


@dataclass
class RandomNet:
    """A net as text, and what a run of it needs.

    Parameters
    ----------
    seed : int
    text : str
    phase : str
    inputs : dict of str to tuple
        The kind of values ("normal", "label N" or "cont") and the shape of each input.
    batch : int
        The present size of axis 0 of all inputs.
    is_random : bool
        Whether a layer draws random numbers.
    """

    seed: int
    text: str = ""
    phase: str = "TRAIN"
    inputs: dict[str, tuple[str, Shape]] = field(default_factory=dict)
    batch: int = 2
    is_random: bool = False

    def draw(self, batch: int, purpose: int) -> dict[str, np.ndarray]:
        """Return values of all inputs for a batch size."""
        rng = np.random.default_rng((self.seed, purpose))
        drawn = {}
        for name, (kind, shape) in self.inputs.items():
            shape = (batch, *shape[1:])
            if kind == "normal":
                drawn[name] = rng.standard_normal(shape)
            elif kind == "cont":
                drawn[name] = (rng.random(shape) < 0.7).astype(float)
            else:
                drawn[name] = rng.integers(0, int(kind.split()[1]), shape).astype(float)
        return drawn


class _Writer:
    """Writes the layers of one net."""

    def __init__(self, seed: int, allows_random: bool) -> None:
        self.rng = np.random.default_rng(seed)
        self.net = RandomNet(seed, phase=self.pick(["TRAIN", "TRAIN", "TEST"]))
        self.allows_random = allows_random
        self.open: list[Blob] = []
        self.n = 0
        self.net.batch = int(self.rng.integers(2, 5))

    def pick(self, options):
        return options[int(self.rng.integers(len(options)))]

    def chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def size(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def write(self) -> RandomNet:
        if self.chance(0.3):
            self.net.text += "force_backward: true\n"
        shape = [self.net.batch, self.size(2, 5), self.size(3, 7), self.size(3, 7)]
        self.input("normal", tuple(shape[: self.pick([2, 3, 4, 4, 4, 4])]), is_open=True)
        n_layers = self.size(1, 9)
        while self.n < n_layers:
            self.layer()
        for _ in range(self.size(1, 2)):
            self.loss()
        return self.net

    def input(self, kind: str, shape: Shape, is_open: bool = False) -> str:
        name = f"in{len(self.net.inputs)}"
        self.net.inputs[name] = kind, shape
        dims = " ".join(f"dim: {size}" for size in shape)
        self.net.text = (
            f'layer {{ name: "{name}" type: "Input" top: "{name}" '
            f"input_param {{ shape {{ {dims} }} }} }}\n{self.net.text}"
        )
        if is_open:
            self.open.append(Blob(name, shape, name))
        return name

    def add(self, kind: str, bottoms: list[str], tops: list[str], settings: str = "") -> None:
        names = "".join(f'bottom: "{name}" ' for name in bottoms)
        names += "".join(f'top: "{name}" ' for name in tops)
        self.net.text += f'layer {{ name: "l{self.n}" type: "{kind}" {names}{settings} }}\n'
        self.n += 1

    def read(self, blob: Blob) -> str:
        blob.n_readers += 1
        return blob.name

    def make(self, shape: Shape, memory: str = "") -> str:
        name = f"b{self.n}" if all(b.name != f"b{self.n}" for b in self.open) else f"c{self.n}"
        self.open.append(Blob(name, shape, memory or name))
        return name

    def layer(self) -> None:
        x = self.pick(self.open[-1:] if self.chance(0.7) else self.open)
        menu = [self.elementwise] * 6 + [self.inner_product]
        if len(x.shape) == 4 and min(x.shape[2:]) >= 2:
            menu += [self.convolution] * 3 + [self.pooling, self.pooling, self.lrn, self.spp]
        if len(x.shape) >= 3:
            menu += [self.recurrent, self.flatten]
        if len(x.shape) >= 2:
            menu += [self.channels] * 4 + [self.tile, self.slice_and_concat, self.eltwise]
        menu += [self.copies]
        self.pick(menu)(x)

    def one_to_one(self, x: Blob, kind: str, settings: str = "", may_be_in_place=True) -> None:
        """Add a layer that may work in place."""
        if (
            may_be_in_place
            and x.n_readers == 0
            and not x.name.startswith("in")
            and self.chance(0.8)
        ):
            # Other blobs over the same memory, which this changes, must not be read from now on.
            self.open = [b for b in self.open if b is x or b.memory != x.memory]
            self.add(kind, [x.name], [x.name], settings)
        else:
            bottom = self.read(x)
            self.add(kind, [bottom], [self.make(x.shape)], settings)

    def elementwise(self, x: Blob) -> None:
        kinds = {
            "ReLU": ["", "", "relu_param { negative_slope: 0.1 }"],
            "ELU": ["", "elu_param { alpha: 0.7 }"],
            "PReLU": [""] if len(x.shape) > 1 else [],
            "Sigmoid": [""],
            "TanH": [""],
            "BNLL": [""],
            "AbsVal": [""],
            "Swish": ["", "swish_param { beta: 0.8 }"],
            "Exp": ["exp_param { scale: -0.3 shift: 0.1 }", "exp_param { base: 2 scale: 0.2 }"],
            "Power": ["power_param { scale: -1.5 shift: 0.5 }", "power_param { power: 2 }"],
            "Clip": ["clip_param { min: -0.6 max: 0.9 }"],
            "Softmax": [f"softmax_param {{ axis: {self.size(0, len(x.shape) - 1)} }}"],
            "Dropout": ["dropout_param { dropout_ratio: 0.4 }"],
        }
        kind = self.pick([*kinds, "ReLU", "ReLU"])
        if kind == "Dropout" and self.net.phase == "TRAIN":
            if not self.allows_random:
                return
            self.net.is_random = True
        if kinds[kind]:
            self.one_to_one(x, kind, self.pick(kinds[kind]))

    def channels(self, x: Blob) -> None:
        learns = self.pick(["", "", "param { lr_mult: 0 } param { lr_mult: 0 }"])
        filler = 'filler { type: "uniform" min: 0.5 max: 1.5 }'
        bias = 'bias_term: true bias_filler { type: "uniform" min: -0.3 max: 0.3 }'
        options = [
            ("BatchNorm", ""),
            ("BatchNorm", "batch_norm_param { use_global_stats: false }"),
            ("Scale", f"{learns} scale_param {{ {filler} {bias} }}"),
            ("Scale", f"{learns} scale_param {{ {filler} {bias} }}"),
            ("Scale", f"scale_param {{ {filler} axis: -1 }}"),
            ("Bias", "bias_param { filler { value: 0.4 } }"),
        ]
        if len(x.shape) > 2:
            options.append(("MVN", self.pick(["", "mvn_param { across_channels: true }"])))
        self.one_to_one(x, *self.pick(options))

    def convolution(self, x: Blob) -> None:
        outputs, kernel = self.size(2, 6), self.size(1, 3)
        kind = self.pick(["Convolution", "Convolution", "Convolution", "Deconvolution"])
        kernel = min(kernel, *x.shape[2:])
        pad = self.size(0, kernel - 1) if kind == "Convolution" else 0
        stride = 1 if kind == "Deconvolution" else self.size(1, 2)
        group = 2 if x.shape[1] % 2 == 0 and outputs % 2 == 0 and self.chance(0.4) else 1
        bias = self.pick(["true", "false"])
        if kind == "Convolution":
            sides = [(n + 2 * pad - kernel) // stride + 1 for n in x.shape[2:]]
        else:
            sides = [n + kernel - 1 for n in x.shape[2:]]
        bottom = self.read(x)
        top = self.make((x.shape[0], outputs, *sides))
        self.add(
            kind,
            [bottom],
            [top],
            f"convolution_param {{ num_output: {outputs} kernel_size: {kernel} pad: {pad} "
            f"stride: {stride} group: {group} bias_term: {bias} {FILLER} }}",
        )

    def inner_product(self, x: Blob) -> None:
        axis, outputs = self.size(min(1, len(x.shape) - 1), len(x.shape) - 1), self.size(2, 7)
        if axis == 0:
            return
        bottom = self.read(x)
        top = self.make((*x.shape[:axis], outputs))
        transpose = self.pick(["true", "false", "false"])
        self.add(
            "InnerProduct",
            [bottom],
            [top],
            f"inner_product_param {{ num_output: {outputs} axis: {axis} transpose: {transpose} "
            f"{FILLER} }}",
        )

    def pooling(self, x: Blob) -> None:
        kernel = min(self.size(2, 3), *x.shape[2:])
        stride = self.size(1, kernel)
        sides = [-(-(n - kernel) // stride) + 1 for n in x.shape[2:]]
        bottom = self.read(x)
        top = self.make((*x.shape[:2], *sides))
        mode = self.pick(["MAX", "AVE"])
        settings = f"pooling_param {{ pool: {mode} kernel_size: {kernel} stride: {stride} }}"
        self.add("Pooling", [bottom], [top], settings)

    def lrn(self, x: Blob) -> None:
        region = self.pick(["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
        settings = f"lrn_param {{ local_size: 3 alpha: 0.5 norm_region: {region} }}"
        self.one_to_one(x, "LRN", settings, may_be_in_place=False)

    def spp(self, x: Blob) -> None:
        bottom = self.read(x)
        top = self.make((x.shape[0], x.shape[1] * 5))
        settings = f"spp_param {{ pyramid_height: 2 pool: {self.pick(['MAX', 'AVE'])} }}"
        self.add("SPP", [bottom], [top], settings)

    def recurrent(self, x: Blob) -> None:
        outputs = self.size(2, 4)
        cont = self.input("cont", x.shape[:2]) if x.shape[0] == self.net.batch else None
        if cont is None:
            return
        bottom = self.read(x)
        top = self.make((*x.shape[:2], outputs))
        kind = self.pick(["LSTM", "RNN"])
        self.add(
            kind, [bottom, cont], [top], f"recurrent_param {{ num_output: {outputs} {FILLER} }}"
        )

    def flatten(self, x: Blob) -> None:
        bottom = self.read(x)
        shape = (x.shape[0], int(np.prod(x.shape[1:])))
        kind, settings = self.pick(
            [("Flatten", ""), ("Reshape", "reshape_param { shape { dim: 0 dim: -1 } }")]
        )
        self.add(kind, [bottom], [self.make(shape, memory=x.memory)], settings)

    def tile(self, x: Blob) -> None:
        bottom = self.read(x)
        top = self.make((x.shape[0], x.shape[1] * 2, *x.shape[2:]))
        self.add("Tile", [bottom], [top], "tile_param { axis: 1 tiles: 2 }")

    def slice_and_concat(self, x: Blob) -> None:
        if x.shape[1] < 2:
            return
        bottom = self.read(x)
        first = self.size(1, x.shape[1] - 1)
        rest = x.shape[2:]
        a = self.make((x.shape[0], first, *rest))
        b = self.make((x.shape[0], x.shape[1] - first, *rest))
        self.add("Slice", [bottom], [a, b], f"slice_param {{ axis: 1 slice_point: {first} }}")
        if self.chance(0.7):
            *_, one, two = self.open
            bottoms = [self.read(two), self.read(one)]
            self.add("Concat", bottoms, [self.make(x.shape)])

    def eltwise(self, x: Blob) -> None:
        others = [b for b in self.open if b.shape == x.shape and b is not x]
        if not others:
            return
        other = self.pick(others)
        bottoms = [self.read(x), self.read(other)]
        settings = self.pick(
            ["", "", "operation: SUM coeff: 0.5 coeff: -1", "operation: PROD", "operation: MAX"]
        )
        self.add("Eltwise", bottoms, [self.make(x.shape)], f"eltwise_param {{ {settings} }}")

    def copies(self, x: Blob) -> None:
        """Read a blob once more, so that a Split is inserted."""
        bottom = self.read(x)
        self.add("Power", [bottom], [self.make(x.shape)], "power_param { scale: 0.7 }")

    def loss(self) -> None:
        unread = [b for b in self.open if b.n_readers == 0 and not b.name.startswith("in")]
        x = self.pick(unread or self.open)
        shape, weight = x.shape, f"loss_weight: {self.size(1, 3) * 0.5}"
        bottom, top = self.read(x), f"loss{self.n}"
        kinds = ["EuclideanLoss", "SigmoidCrossEntropyLoss", "Reduction"]
        if len(shape) > 1 and shape[1] > 1:
            kinds += ["SoftmaxWithLoss", "SoftmaxWithLoss"]
        kind = self.pick(kinds)
        if kind == "Reduction":
            settings = "reduction_param { operation: SUMSQ coeff: 0.1 }"
            self.add(kind, [bottom], [top], f"{weight} {settings}")
            return
        if kind == "SoftmaxWithLoss":
            label = self.input(f"label {shape[1]}", (shape[0], *shape[2:]))
        else:
            label = self.input("label 2", shape)
        self.add(kind, [bottom, label], [top], weight)


def generate(seed: int, allows_random: bool = True) -> RandomNet:
    """Return the net of a seed; without `allows_random` no layer draws random numbers."""
    return _Writer(seed, allows_random).write()
