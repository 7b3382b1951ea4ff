"""The export as a whole: from a net and its weights to an ONNX file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from minicaffe import log
from minicaffe.errors import NetError
from minicaffe.net.deployment.inference_net import inference_net, with_batch
from minicaffe.net.net import Net
from minicaffe.onnx_export.backend import TraceBackend
from minicaffe.onnx_export.free_sizes import BATCH, ROWS, free_size
from minicaffe.onnx_export.graph import OnnxGraph
from minicaffe.onnx_export.model_file import write_model
from minicaffe.onnx_export.parameters import copy_parameters, trained_parameters
from minicaffe.onnx_export.pixel_transform import PIXEL_VALUES, PixelTransform
from minicaffe.onnx_export.trace import trace
from minicaffe.onnx_runtime import require_onnx
from minicaffe.ops.backend import Shape
from minicaffe.schema import TEST, NetSource, NetState
from minicaffe.weights.fuse import fuse_net

OLDEST_OPSET, NEWEST_OPSET = 11, 22
DEFAULT_OPSET = 13
# Two numbers that are compared, of samples and of rows whose number depends on values.
_BATCHES, _ROWS = (2, 3), (4, 5)


@dataclass(frozen=True)
class ExportSettings:
    """Settings of an export.

    Parameters
    ----------
    opset : int
        Version of the ONNX operators, 11 to 22.
    batch : int, optional
        Number of samples; by default that of the net, 0 for any number.
    folds : bool
        Whether BatchNorm, Scale and Bias are folded into the convolution before them.
    image : tuple of int
        Channels, rows and columns of images, where a data layer does not say them.
    transform : PixelTransform, optional
        What is put in front of the net.
    """

    opset: int = DEFAULT_OPSET
    batch: int | None = None
    folds: bool = True
    image: Shape = ()
    transform: PixelTransform | None = None


def export_net(
    source: NetSource,
    fill_weights: Callable[[Net], object],
    path: str | Path,
    settings: ExportSettings,
    state: NetState | None = None,
) -> tuple[NetSource, OnnxGraph]:
    """Write a net as an ONNX file.

    Parameters
    ----------
    source : NetSource
        The net, for training or not; it is exported as it is deployed.
    fill_weights : callable
        Writes the parameters of the net that it is given, also those of `settings.transform`.
    path : str or Path
        The file to write.
    settings : ExportSettings
    state : NetState, optional
        Level and stages for rules of layers; the phase is TEST.

    Returns
    -------
    NetSource
        The net as it was exported, without folding.
    OnnxGraph
        What the file contains.

    Raises
    ------
    NetError
        If the net cannot be built or exported; names the layer and the reason.
    MissingPackage
        If package onnx is not installed.
    """
    try:
        return _export(source, fill_weights, path, settings, state)
    except NetError as error:
        if settings.batch == 0 and _needs_own_batch(source, state, settings.image):
            raise NetError(
                f"--batch dynamic is not possible, because the net cannot be built for "
                f"{_BATCHES[0]} samples. Give a number. {error}"
            ) from None
        raise


def _needs_own_batch(source: NetSource, state: NetState | None, image: Shape) -> bool:
    """Return whether a net can be built with its own number of samples, but not with another."""
    state = state or NetState()
    state.phase = TEST
    is_built = []
    with log.suppress_info():
        for batch in (None, _BATCHES[0]):
            try:
                net = with_batch(inference_net(source, state, image), batch)
                Net(net, state, backend=TraceBackend(OnnxGraph(OLDEST_OPSET))).close()
                is_built.append(True)
            except NetError:
                is_built.append(False)
    return is_built == [True, False]


def _export(
    source: NetSource,
    fill_weights: Callable[[Net], object],
    path: str | Path,
    settings: ExportSettings,
    state: NetState | None,
) -> tuple[NetSource, OnnxGraph]:
    """Write a net, as `export_net` describes."""
    require_onnx()
    state = state or NetState()
    state.phase = TEST
    if not OLDEST_OPSET <= settings.opset <= NEWEST_OPSET:
        raise NetError(f"opset {settings.opset} must be {OLDEST_OPSET} to {NEWEST_OPSET}")
    transform, pixels = settings.transform, ""
    deployed = inference_net(source, state, settings.image)
    if transform is not None:
        deployed, pixels = transform.add_layers(deployed)
    is_dynamic = settings.batch == 0
    batches = _BATCHES if is_dynamic else (settings.batch,)
    exported = with_batch(deployed, batches[0])
    weights = trained_parameters(exported, state, fill_weights)
    if settings.folds:
        fused = fuse_net(deployed, weights)
        deployed, weights = fused.source, fused.layers
    nets = [with_batch(deployed, n) for n in batches]

    def traced(net: NetSource, n_rows: int) -> OnnxGraph:
        graph = OnnxGraph(settings.opset, n_rows)
        return trace(net, state, graph, partial(copy_parameters, weights))

    graph = traced(nets[0], _ROWS[0])
    if graph.has_free_rows:
        free_size(graph, traced(nets[0], _ROWS[1]), ROWS)
    if is_dynamic:
        free_size(graph, traced(nets[1], _ROWS[0]), BATCH)
    if transform is not None and transform.takes_pixels:
        graph.rules[pixels] = PIXEL_VALUES
    write_model(graph, path, source.param.name)
    return exported, graph
