"""A known net, adapted to the images and classes of a project."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from minicaffe.errors import MinicaffeError, NetError, nearest
from minicaffe.layers import LAYERS
from minicaffe.log import suppress_info
from minicaffe.net.deployment.data_layer import data_layer
from minicaffe.net.include_rules import filter_layers
from minicaffe.project.net_texts import ImageInput, Rates, data_layers
from minicaffe.project.plan import TrainingPlan
from minicaffe.schema import (
    TRAIN,
    LayerParameter,
    NetParameter,
    NetSource,
    NetState,
    SolverParameter,
    format_prototxt,
    read_net,
    read_net_weights,
    read_solver,
)
from minicaffe.shipped_files import shipped_folder

# The folders there whose nets classify images.
KNOWN_NETS = (
    *("lenet", "cifar10_quick", "cifar10_full", "alexnet", "caffenet", "nin", "vgg16", "vgg19"),
    *("googlenet", "resnet18", "resnet50", "squeezenet", "mobilenet_v1"),
)
# The name of the net that new projects have by default.
SMALL = "small"
# Learning rates of layers that fine-tuning begins anew, relative to the others.
_NEW_LAYER_RATE = 10
_FINE_TUNING_RATE = 0.1


@dataclass(frozen=True)
class KnownNet:
    """A training net that a project takes over.

    Parameters
    ----------
    source : NetSource
    size : int
        Rows and columns of its input; 0 if they are not known.
    rates : Rates
        Those of its own solver.
    batch : int
        Images of an iteration of its own training; 0 if they are not known.
    mean : sequence of float or None
        Of each channel, or one for all; empty if none is subtracted, None if it is in a file.
    scale : float
    tops : tuple of str
        The names of its images and labels.
    score : str
        The output that tells how good it is: its last accuracy, else its last loss.
    """

    source: NetSource
    size: int
    rates: Rates
    batch: int
    mean: Sequence[float] | None
    scale: float
    tops: tuple[str, str]
    score: str


def find_known_net(name: str) -> KnownNet:
    """Return a net by the name of its folder in models/, or by the path of its prototxt.

    Raises
    ------
    NetError
        If there is none, or it has no data layer with images and labels.
    """
    source = read_net(_path(name))
    node = data_layer(source, NetState())
    if node is None or len(node.param.top) != 2:
        raise NetError(f"{source.path}: a net for classes has a data layer with images and labels")
    folder = Path(source.path).parent
    solver = _own_solver(folder)
    transform = node.param.transform_param
    data, label = node.param.top
    return KnownNet(
        source,
        transform.crop_size or _input_size(folder / "deploy.prototxt"),
        _rates(solver),
        _batch(source, solver),
        None if transform.mean_file else list(transform.mean_value),
        transform.scale,
        (data, label),
        _score(source, label),
    )


def _score(source: NetSource, label: str) -> str:
    """Return the top of the last layer that counts right classes, without one of the last loss."""
    readers = [
        (LAYERS[layer.type].role, layer)
        for layer in source.param.layer
        if layer.type in LAYERS and label in layer.bottom and layer.top
    ]
    counting = [one for role, one in readers if role == "output" and one.accuracy_param.top_k == 1]
    return (counting or [one for role, one in readers if role == "loss"])[-1].top[0]


def _path(name: str) -> Path:
    if Path(name).is_file():
        return Path(name)
    if name not in KNOWN_NETS:
        advice = "Or give the path of a training net's prototxt."
        raise NetError(f"--net={name}: no such net. {nearest(name, [SMALL, *KNOWN_NETS], advice)}")
    return model_path(name)


def model_path(name: str) -> Path:
    """Return the training net of a folder in models/.

    Raises
    ------
    NetError
        If it is not there.
    """
    folder = shipped_folder("models") / name
    found = [path for path in sorted(folder.glob("*.prototxt")) if _is_training(path)]
    if not found:
        raise NetError(f"{folder}: has no training net; it belongs to minicaffe's models/")
    return found[0]


def _is_training(path: Path) -> bool:
    return path.name.endswith(("train_val.prototxt", "train_test.prototxt"))


def _input_size(path: Path) -> int:
    """Return the rows of the input of a deploy net; 0 if there is none."""
    try:
        layers = read_net(path).param.layer
    except MinicaffeError:
        return 0
    shapes = [shape.dim for layer in layers for shape in layer.input_param.shape]
    return int(shapes[0][2]) if shapes and len(shapes[0]) == 4 else 0


def _own_solver(folder: Path) -> SolverParameter | None:
    paths = sorted(folder.glob("*solver.prototxt"), key=lambda path: len(path.name))
    return read_solver(paths[0]).param if paths else None


def _rates(solver: SolverParameter | None) -> Rates:
    if solver is None:
        return Rates("SGD", 0.01)
    return Rates(solver.type, solver.base_lr, solver.momentum, solver.weight_decay)


def _batch(source: NetSource, solver: SolverParameter | None) -> int:
    """Return the images of an iteration."""
    with suppress_info():
        nodes = filter_layers(source, NetState(phase=TRAIN))
    sizes = [node.param.data_param.batch_size for node in nodes if not node.param.bottom]
    return max(sizes, default=0) * (solver.iter_size if solver is not None else 1)


def reads_grey(known: KnownNet, weights: str) -> bool:
    """Return whether trained weights of a known net are for images of one channel."""
    first = {layer.name for layer in known.source.param.layer if known.tops[0] in layer.bottom}
    layers = [layer for layer in read_net_weights(weights) if layer.name in first]
    kernels = [layer.blobs[0] for layer in layers if layer.blobs]
    # Files that predate N-D blobs store the weights of every layer with four axes.
    return any(w.ndim == 4 and w.shape[0] > 1 and w.shape[1] == 1 for w in kernels)


def adapted_rates(known: KnownNet, batch: int, is_new: bool) -> Rates:
    """Return the rates of a known net for batches of another size.

    The learning rate is proportional to the size of the batch (Goyal and others 2017), but never
    above that of the net. Trained weights change less than new ones.
    """
    share = min(1.0, batch / known.batch) if known.batch else 1.0
    base_lr = known.rates.base_lr * share * (1 if is_new else _FINE_TUNING_RATE)
    return replace(known.rates, base_lr=float(f"{base_lr:.2g}"))


def adapted_text(
    known: KnownNet, images: ImageInput, plan: TrainingPlan, classes: tuple[str, int], is_new: bool
) -> str:
    """Return the prototxt of a known net with the data and the classes of a project.

    Parameters
    ----------
    known : KnownNet
    images : ImageInput
    plan : TrainingPlan
    classes : (str, int)
        The project's name, which names the new layers, and the number of classes.
    is_new : bool
        Whether all layers begin anew; otherwise those with a score for each class do, under new
        names, and learn faster than the others.

    Raises
    ------
    NetError
        If the layers with the scores of the classes are not found.
    """
    name, n_classes = classes
    param = NetParameter()
    param.CopyFrom(known.source.param)
    layers = [layer for layer in param.layer if layer.bottom]
    scores = _score_layers(layers)
    if not scores:
        raise NetError(f"{known.source.path}: no loss reads the scores of a layer with num_output")
    for layer in scores:
        _settings(layer).num_output = n_classes
        if not is_new:
            layer.name = f"{layer.name}_{name}"
            _raise_rates(layer)
    rest = NetParameter(layer=[one for one in layers if one.accuracy_param.top_k <= n_classes])
    changed = ", ".join(f'"{layer.name}"' for layer in scores)
    return (
        f"# {known.source.param.name}, for {n_classes} classes: num_output of {changed} is the "
        f'number of classes.\nname: "{known.source.param.name}"\n\n'
        "# Data: images in batches. A pass through all training images is called an epoch.\n"
        f"{data_layers(images, plan)}\n"
        f"# The net.\n{format_prototxt(rest)}"
    )


def _score_layers(layers: Sequence[LayerParameter]) -> list[LayerParameter]:
    """Return the last layers with a num_output before each loss."""
    found: list[LayerParameter] = []
    for index, loss in enumerate(layers):
        kind = LAYERS.get(loss.type)
        if kind is None or kind.role != "loss":
            continue
        name = loss.bottom[0]
        for layer in reversed(layers[:index]):
            if name not in layer.top:
                continue
            if hasattr(_settings(layer), "num_output"):
                found += [] if layer in found else [layer]
                break
            name = layer.bottom[0]
    return found


def _settings(layer: LayerParameter) -> Any:  # Any: the message depends on the layer's type
    field = LAYERS[layer.type].param_field if layer.type in LAYERS else ""
    return getattr(layer, field) if field else None


def _raise_rates(layer: LayerParameter) -> None:
    while len(layer.param) < 2:
        layer.param.add()
    for spec in layer.param:
        spec.lr_mult *= _NEW_LAYER_RATE
