"""Drawing of nets as graphs: PNG and SVG without dependencies, other formats by Graphviz."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minicaffe.errors import MissingPackage
from minicaffe.pycaffe.files import FilePath
from minicaffe.schema import LayerParameter, NetParameter, NetSource, upgrade_net
from minicaffe.schema.minicaffe_pb2 import ConvolutionParameter, PoolingParameter

if TYPE_CHECKING:
    from minicaffe.pictures.net_graph import Graph

_LAYER_STYLE = {"shape": "record", "fillcolor": "#6495ED", "style": "filled"}
_IN_PLACE_STYLE = {"shape": "record", "fillcolor": "#90EE90", "style": "filled"}
_BLOB_STYLE = {"shape": "octagon", "fillcolor": "#E0E0E0", "style": "filled"}


def layers_of_phase(net: NetParameter, phase: int | None) -> Iterator[LayerParameter]:
    """Yield the layers whose include and exclude rules allow a phase."""
    for layer in net.layer:
        included = [rule.phase for rule in layer.include if rule.HasField("phase")]
        excluded = [rule.phase for rule in layer.exclude if rule.HasField("phase")]
        if phase is None or ((not included or phase in included) and phase not in excluded):
            yield layer


def get_layer_label(layer: LayerParameter, rankdir: str, display_lrm: bool = False) -> str:
    """Return a layer's name, type and window sizes, on one line if `rankdir` is TB or BT.

    If `display_lrm` is set, the learning-rate multipliers of the parameters are added.
    """
    separator = " " if rankdir in ("TB", "BT") else "\\n"
    words = [layer.name, f"({layer.type})"]
    windows: dict[str, ConvolutionParameter | PoolingParameter] = {
        "Convolution": layer.convolution_param,
        "Deconvolution": layer.convolution_param,
        "Pooling": layer.pooling_param,
    }
    if layer.type in windows:
        window = windows[layer.type]
        words += [f"{name}: {_size(window, name)}" for name in ("kernel_size", "stride", "pad")]
    if display_lrm and layer.param:
        words.append("lr_mult: " + ", ".join(f"{spec.lr_mult:g}" for spec in layer.param))
    return separator.join(words)


def _size(window: ConvolutionParameter | PoolingParameter, name: str) -> str:
    short = name.removesuffix("_size")
    if window.HasField(f"{short}_h"):
        return f"{getattr(window, f'{short}_h')}x{getattr(window, f'{short}_w')}"
    value = getattr(window, name)
    sizes = list(value) if hasattr(value, "append") else [value]
    return "x".join(map(str, sizes)) or ("0" if name == "pad" else "1")


def get_pydot_graph(
    caffe_net: NetParameter,
    rankdir: str = "LR",
    label_edges: bool = True,
    phase: int | None = None,
    display_lrm: bool = False,
) -> Any:  # pydot has no type information
    """Return a net as a pydot graph.

    Parameters
    ----------
    caffe_net : NetParameter
        The net.
    rankdir : str
        Direction: LR, TB, RL or BT.
    label_edges : bool
        Whether to label edges with the number of outputs.
    phase : int, optional
        The phase whose layers to draw; by default both.
    display_lrm : bool
        Whether to show learning-rate multipliers.

    Raises
    ------
    MissingPackage
        If pydot is not installed.
    """
    pydot = _pydot()
    graph = pydot.Dot(caffe_net.name or "Net", graph_type="digraph", rankdir=rankdir)
    for layer in layers_of_phase(caffe_net, phase):
        in_place = bool(layer.bottom) and list(layer.bottom) == list(layer.top)
        node = f"{layer.name}_{layer.type}"
        style = _IN_PLACE_STYLE if in_place else _LAYER_STYLE
        graph.add_node(
            pydot.Node(node, label=get_layer_label(layer, rankdir, display_lrm), **style)
        )
        label = f"{layer.convolution_param.num_output or layer.inner_product_param.num_output}"
        for blob in layer.bottom:
            graph.add_node(pydot.Node(f"{blob}_blob", label=blob, **_BLOB_STYLE))
            graph.add_edge(pydot.Edge(f"{blob}_blob", node))
        for blob in layer.top:
            graph.add_node(pydot.Node(f"{blob}_blob", label=blob, **_BLOB_STYLE))
            shown = label if label_edges and label != "0" else ""
            graph.add_edge(pydot.Edge(node, f"{blob}_blob", label=shown))
    return graph


def draw_net(
    caffe_net: NetParameter,
    rankdir: str,
    ext: str = "png",
    phase: int | None = None,
    display_lrm: bool = False,
) -> bytes:
    """Return a drawing of a net in the format `ext`.

    The formats png and svg need no further packages and also show shapes, parameters and
    multiply-adds. See `get_pydot_graph` for the other formats and the arguments.
    """
    if ext in ("png", "svg"):
        from minicaffe.pictures.graph_drawing import graph_bytes

        return graph_bytes(_graph(caffe_net, phase, display_lrm), f".{ext}", rankdir)
    graph = get_pydot_graph(caffe_net, rankdir, phase=phase, display_lrm=display_lrm)
    drawing: bytes = graph.create(format=ext)
    return drawing


def _graph(caffe_net: NetParameter, phase: int | None, display_lrm: bool) -> Graph:
    from minicaffe.pictures.net_drawing import graph_of
    from minicaffe.pictures.net_graph import PHASES

    net = NetParameter()
    net.CopyFrom(caffe_net)
    source = NetSource(net, caffe_net.name or "net", upgrade_net(net, caffe_net.name or "net"))
    return graph_of(
        source, PHASES if phase is None else PHASES[phase : phase + 1], (), display_lrm
    )[0]


def draw_net_to_file(
    caffe_net: NetParameter,
    filename: FilePath,
    rankdir: str = "LR",
    phase: int | None = None,
    display_lrm: bool = False,
) -> None:
    """Write a drawing of a net in the format of the file name's extension."""
    path = Path(filename)
    ext = path.suffix.removeprefix(".")
    path.write_bytes(draw_net(caffe_net, rankdir, ext, phase, display_lrm))


def _pydot() -> Any:  # pydot has no type information
    try:
        import pydot
    except ImportError as error:
        raise MissingPackage(
            "caffe.draw needs pydot and Graphviz for formats other than png and svg: "
            "pip install pydot, and Graphviz from your system (apt install graphviz)"
        ) from error
    return pydot
