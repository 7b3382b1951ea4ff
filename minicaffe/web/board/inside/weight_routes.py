"""Routes of the weights of a layer: histograms over the snapshots of a run, and filters."""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from minicaffe.analysis.weight_statistics import blob_statistics
from minicaffe.ops.backend import HostArray
from minicaffe.pictures.layer_values import filter_image, filters_of
from minicaffe.schema import LayerBlobs, read_net_weights
from minicaffe.web.application import json_response
from minicaffe.web.board.inside.run_parts import RunParts
from minicaffe.web.board.run_files import Snapshot
from minicaffe.web.board.run_index import RunIndex

_BINS = 48
_MOST_SNAPSHOTS = 12
_MOST_BYTES = 1 << 30  # of all snapshots that are read for a layer


@dataclass(frozen=True)
class _Histogram:
    """Counts of the values of a parameter, and their statistics; without finite values, NaN."""

    shape: tuple[int, ...]
    low: float
    high: float
    counts: list[int]
    average: float
    deviation: float
    n_not_finite: int
    n_zero: int
    is_filter: bool


def weight_routes(index: RunIndex) -> list[BaseRoute]:
    """Return the routes of weights."""
    routes = _WeightRoutes(index)
    return [
        Route("/weights/histogram", routes.histograms),
        Route("/weights/filters.png", routes.filters),
    ]


class _WeightRoutes:
    """Reads snapshots. Sync methods run in threads."""

    def __init__(self, index: RunIndex) -> None:
        self._index = index

    def histograms(self, request: Request) -> Response:
        """Return the histogram of each parameter of a layer in the snapshots, the oldest first."""
        parts = RunParts(self._index, request.query_params)
        layer, found = request.query_params.get("layer", ""), _different(parts.snapshots())
        chosen = chosen_snapshots(found)
        paths = [parts.board.path_below(str(one["weights"])) for one in chosen]
        blobs = [_histograms(*_version(path), layer) for path in paths]
        return json_response(
            {
                "n_snapshots": len(found),
                "snapshots": [
                    {**one, "blobs": [asdict(blob) for blob in row]}
                    for one, row in zip(chosen, blobs, strict=True)
                ],
                "has_filters": any(blob.is_filter for row in blobs for blob in row),
            }
        )

    def filters(self, request: Request) -> Response:
        """Return a picture of the filters of a layer in a snapshot."""
        parts = RunParts(self._index, request.query_params)
        _, path = parts.chosen_weights()
        layer = request.query_params.get("layer", "")
        return Response(_filter_png(*_version(path), layer), media_type="image/png")


def _different(found: list[Snapshot]) -> list[Snapshot]:
    """Return the snapshots without the best weights, unless there are no others."""
    return [one for one in found if one["kind"] != "best"] or found


def chosen_snapshots(found: list[Snapshot]) -> list[Snapshot]:
    """Return at most a dozen snapshots at equal distances, fewer if they are large.

    The first and the last are among them.
    """
    largest = max((int(str(one["bytes"])) for one in found), default=1)
    most = max(2, min(_MOST_SNAPSHOTS, _MOST_BYTES // max(largest, 1)))
    if len(found) <= most:
        return found
    return [found[round(k * (len(found) - 1) / (most - 1))] for k in range(most)]


def _version(path: Path) -> tuple[Path, int]:
    return path, path.stat().st_mtime_ns


@lru_cache(maxsize=512)
def _histograms(path: Path, version: int, layer: str) -> list[_Histogram]:
    """Return the histograms of a layer in a file; `version` makes a changed file be read anew."""
    return [_histogram(blob, layer, k) for k, blob in enumerate(_layer_of(path, layer).blobs)]


def _layer_of(path: Path, name: str) -> LayerBlobs:
    layers = read_net_weights(path, lambda layer, shapes: layer == name)
    return next((one for one in layers if one.name == name), LayerBlobs(name, "", []))


def _histogram(values: HostArray, layer: str, k: int) -> _Histogram:
    found = blob_statistics(values)
    finite = values[np.isfinite(values)]
    counts = np.histogram(finite, _BINS, (found.low, found.high))[0] if finite.size else ()
    return _Histogram(
        shape=values.shape,
        low=found.low,
        high=found.high,
        counts=[int(n) for n in counts],
        average=found.average,
        deviation=found.deviation,
        n_not_finite=found.n_nan + found.n_infinite,
        n_zero=found.n_zero,
        is_filter=k == 0 and bool(filters_of([LayerBlobs(layer, "", [values])])),
    )


@lru_cache(maxsize=64)
def _filter_png(path: Path, version: int, layer: str) -> bytes:
    """Return a picture of the filters of a layer in a file; `version` is as in `_histograms`."""
    found = filters_of([_layer_of(path, layer)])
    if not found:
        raise HTTPException(404, f"{layer}: no filters of more than one pixel")
    content = io.BytesIO()
    filter_image(layer, found[layer]).save(content, "PNG")
    return content.getvalue()
