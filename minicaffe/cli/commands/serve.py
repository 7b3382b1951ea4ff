r"""Answer requests over HTTP: classes, objects or masks of images, and outputs for arrays.

MODEL is a run or a file of weights, NAME=PATH to give it a name; or a .json file with a description
for each name. The net is that of the run, or the training net beside the weights. --net names
another one; if it is a net to deploy, the images are prepared by --mean, --input_scale and so on.
These flags need a single MODEL; several models have their settings in a .json file, with the same
names: {"pets": {"weights": "runs/pets-1"}, "ssd": {"weights": "ssd.caffemodel", "net":
"deploy.prototxt", "mean": "104,117,123"}}.

Requests have the form of the Open Inference Protocol (/v2, as Triton and KServe), of the image
routes (/v2/models/NAME/classify, detect, segment), or of DeepDetect (/predict). /openapi.json
describes all of them, /metrics counts them for Prometheus.

Example:
  minicaffe serve runs/pets-1
  minicaffe serve pets=runs/pets-1 cars=runs/cars-3/best --port 8080
  minicaffe serve lenet.caffemodel --net lenet_deploy.prototxt --input_scale 0.00390625
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from minicaffe.cli.flags import flag, positional
from minicaffe.cli.options.backend import BackendFlags, choose_backend
from minicaffe.cli.options.web import WebFlags, require_web
from minicaffe.errors import UsageError

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from minicaffe.serving.description import ModelDescription
    from minicaffe.serving.store import ModelStore
    from minicaffe.web.access import Access

MINLOGLEVEL = 1
_FIRST_PORT = 8000
_MIB = 1 << 20
# Flags that are times, with the smallest ones.
_TIMES = {"timeout_s": 0.001, "receive_s": 0.001, "batch_wait_ms": 0, "notice_s": 0, "drain_s": 0}
# Settings of a description that are flags.
_SETTINGS = (
    *("net", "labels", "mean", "input_scale", "raw_scale", "channel_swap", "size", "output"),
    *("short_side", "max_size", "bbox_stds"),
)


class ModelFlags(BackendFlags):
    """Flags of a single model."""

    net: str = flag(metavar="FILE", help="training net, or net to deploy")
    labels: str = flag(metavar="FILE", help="class names, one per line, or a label map")
    mean: str = flag(metavar="MEAN", help="net to deploy: mean file, or numbers as 104,117,123")
    input_scale: float | None = flag(
        help="net to deploy: factor applied after the mean is subtracted (default: 1)"
    )
    raw_scale: float | None = flag(
        help="net to deploy: factor of pixels of 0 .. 1 before that (default: 255)"
    )
    channel_swap: str = flag(
        metavar="ORDER", help="net to deploy: colours of RGB by channel (default: 2,1,0)"
    )
    size: str = flag(
        metavar="ROWS,COLUMNS", help="size to resize images to, instead of that in the data"
    )
    output: str = flag(metavar="BLOB", help="output with the scores of classes (default: prob)")
    short_side: int | None = flag(at_least=1, help="Faster R-CNN, R-FCN: see detect")
    max_size: int | None = flag(at_least=1, help="Faster R-CNN, R-FCN: see detect")
    bbox_stds: str = flag(metavar="DX,DY,DW,DH", help="Faster R-CNN, R-FCN: see detect")


class ServeFlags(ModelFlags, WebFlags):
    """Flags of the command."""

    models: list[str] = positional(
        metavar="MODEL", nargs="+", help="[NAME=]RUN, [NAME=]WEIGHTS, or a .json file"
    )
    root: str = flag(
        metavar="FOLDER", help="folder below which requests may name runs, weights and images"
    )
    versions: int = flag(
        at_least=1, default=1, metavar="N", help="versions of a model that stay loaded"
    )
    max_batch: int = flag(
        at_least=1, default=16, metavar="N", help="most samples that are computed at once"
    )
    batch_wait_ms: float = flag(
        default=0.0, metavar="MS", help="time that a batch waits for more samples"
    )
    queue: int = flag(
        at_least=1, default=4096, metavar="N", help="requests of a model that wait; others get 429"
    )
    timeout_s: float = flag(
        default=30.0, metavar="S", help="time for an answer; then the request gets 504"
    )
    body_mb: int = flag(at_least=1, default=64, metavar="MB", help="largest body of a request")
    receive_s: float = flag(
        default=60.0, metavar="S", help="time in which the body of a request has to arrive"
    )
    max_pixels: int = flag(at_least=1, default=1 << 26, metavar="N", help="most pixels of an image")
    notice_s: float = flag(
        default=1.0,
        metavar="S",
        help="time after SIGTERM in which requests are accepted, while /v2/health/ready says 503",
    )
    drain_s: float = flag(default=30.0, metavar="S", help="time after that for requests to end")


def run(flags: ServeFlags) -> int:
    """Answer until Ctrl-C or SIGTERM."""
    require_web()
    from minicaffe.web.access import access_for
    from minicaffe.web.server import listening_socket, run_server, server_url

    for name, least in _TIMES.items():
        if not least <= getattr(flags, name) < math.inf:
            raise UsageError(f"--{name}={getattr(flags, name):g}: must be at least {least:g}")
    if flags.root and not Path(flags.root).is_dir():
        raise UsageError(f"--root={flags.root}: no such folder")
    descriptions = _descriptions(flags)
    access = access_for(flags.host, flags.token, flags.allow_host)
    with listening_socket(flags.host, flags.port, _FIRST_PORT) as listening:
        store = _store(flags, descriptions)
        _print_models(store)
        print(f"Listening at {server_url(listening, flags.host, access.token)}")
        print("Ctrl-C ends it.", flush=True)

        def announce_end() -> None:
            store.is_ending = True

        run_server(
            _application(flags, store, access),
            listening,
            drain_s=flags.drain_s,
            notice_s=flags.notice_s,
            at_stop=announce_end,
        )
    store.close()
    return 0


def _application(flags: ServeFlags, store: ModelStore, access: Access) -> Starlette:
    from minicaffe.web.application import web_application
    from minicaffe.web.inference.site import ImageLimits, service_routes
    from minicaffe.web.request_limits import RequestLimits

    routes = service_routes(store, ImageLimits(flags.max_pixels, flags.queue))
    limits = RequestLimits(flags.body_mb * _MIB, flags.receive_s)
    return web_application(routes, access, limits)


def _print_models(store: ModelStore) -> None:
    for (name, version), model in store.loaded().items():
        image_model = model.servable.image_model
        print(f'Model "{name}", version {version}: {image_model.task if image_model else "arrays"}')


def _store(flags: ServeFlags, descriptions: list[tuple[str, ModelDescription]]) -> ModelStore:
    """Return the store with all models loaded."""
    from minicaffe.serving.batching import BatchLimits
    from minicaffe.serving.description import DescribedModel
    from minicaffe.serving.store import ModelStore

    backend = choose_backend(flags, model=flags.net)

    def source_of(description: ModelDescription) -> DescribedModel:
        return DescribedModel(description, backend, flags.max_batch)

    names = [name for name, _ in descriptions]
    most = max(map(names.count, names))
    limits = BatchLimits(flags.max_batch, flags.batch_wait_ms / 1000, flags.queue, flags.timeout_s)
    root = Path(flags.root) if flags.root else None
    store = ModelStore(source_of, limits, max(flags.versions, most), root)
    for name, description in descriptions:
        store.open_model(name, source_of(description))
    return store


def _descriptions(flags: ServeFlags) -> list[tuple[str, ModelDescription]]:
    """Return names and descriptions of the models; a name that is given twice has two versions."""
    from minicaffe.serving.description import ModelDescription, read_descriptions

    given = {name: value for name in _SETTINGS if (value := getattr(flags, name)) not in (None, "")}
    if given and (len(flags.models) > 1 or flags.models[0].endswith(".json")):
        raise UsageError(
            f"--{next(iter(given))} belongs to a single MODEL; give several their settings in a "
            ".json file"
        )
    found: list[tuple[str, ModelDescription]] = []
    for model in flags.models:
        if model.endswith(".json"):
            found += read_descriptions(model).items()
            continue
        name, separator, path = model.partition("=")
        if not separator or "/" in name:
            name, path = _default_name(model), model
        if path.endswith(".prototxt"):
            raise UsageError(
                f"{path}: a net has no weights; give these as MODEL, and the net with --net={path}"
            )
        found.append((name, ModelDescription(weights=path, **given)))
    for name, _ in found:
        _check_name(name)
    return found


def _default_name(path: str) -> str:
    """Return the name of a run, or of a file of weights without its extensions."""
    given = Path(path)
    if given.name in ("best", "last"):
        given = given.parent
    return given.resolve().name.removesuffix(".h5").removesuffix(".caffemodel")


def _check_name(name: str) -> None:
    if not name or not all(letter.isalnum() or letter in "._-" for letter in name):
        raise UsageError(
            f"{name!r}: the name of a model has letters, digits, '.', '_' and '-'; give another "
            "one with NAME=PATH"
        )
