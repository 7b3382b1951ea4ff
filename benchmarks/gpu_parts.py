"""Parts of `gpu_check` that run minicaffe on the GPU.

    python -m benchmarks.gpu_parts graphs

A part prints its findings as a line of JSON at the end. Any exception means that it failed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import gpu_basics
from benchmarks.gpu import Training, median_ms
from benchmarks.net import ROOT
from minicaffe.backends import get_backend
from minicaffe.backends.cuda import CudaBackend
from minicaffe.cli.main import run_command
from minicaffe.errors import MinicaffeError
from minicaffe.schema import read_solver
from minicaffe.solver.solver import Solver

ITERATIONS = 20
TRAINING = 1000
BATCHES = 20
# Allowed difference between runs that differ in rounding only; 2,000 images are scored.
ACCURACY_TOLERANCE = 0.015
# Allowed difference of float32 sums in another order, relative to the largest value.
ORDER_TOLERANCE = 1e-4
IMAGES = ROOT / "data" / "fashion-mnist"


def device() -> dict[str, Any]:
    """Return the properties of the GPU and the versions of the libraries."""
    backend: Any = get_backend("cuda")
    from minicaffe.backends.cuda.driver.cupy_device import query_device

    return {
        "query": query_device(0),
        "backend": backend.description,
        "convolutions": [dnn.version for dnn in backend.device.dnns],
    }


def basics() -> dict[str, Any]:
    """Run the basic checks; see `gpu_basics`."""
    backend: Any = get_backend("cuda", precision="fp32")
    found = gpu_basics.run(backend)
    if not all(result.startswith(gpu_basics.PASSED) for result in found.values()):
        raise AssertionError(json.dumps(found))
    return found


def graphs(batch: int = 64) -> dict[str, Any]:
    """Compare replayed iterations of LeNet with iterations launched kernel by kernel."""
    found = {}
    for precision in ("fp32", "tf32", "bf16"):
        plain, captured = (
            _trained(get_backend("cuda", precision=precision, graph=graph), batch)
            for graph in (False, True)
        )
        largest = max(float(np.abs(a - b).max()) for a, b in zip(plain, captured, strict=True))
        found[precision] = largest
    if any(found.values()):
        raise AssertionError(f"weights differ after {ITERATIONS} iterations: {found}")
    return {"iterations": ITERATIONS, "largest difference": found}


def _trained(backend: Any, batch: int) -> list[Any]:
    training = Training("lenet", backend, batch)
    training.run(ITERATIONS)
    return [parameter.blob.data.get() for parameter in training.net.parameters]


def orders(name: str = "resnet50", batch: int = 32, seconds: float = 1) -> dict[str, Any]:
    """Compare channels last with channels first, and time a net's training in both."""
    gradients, times = {}, {}
    for is_last in (False, True):
        backend = _backend("fp32", is_last)
        training = Training("lenet", backend, 16)
        training.net.prepare_training()
        training.net.clear_param_diffs()
        training.net.forward()
        training.net.backward()
        gradients[is_last] = [p.blob.diff.get() for p in training.net.parameters]
        timed = Training(name, _backend("tf32", is_last), batch)
        times["channels last" if is_last else "channels first"] = median_ms(timed, seconds)
        del training, timed
    for one, other in zip(gradients[False], gradients[True], strict=True):
        largest, scale = np.abs(one - other).max(), np.abs(one).max()
        if largest > ORDER_TOLERANCE * scale:
            raise AssertionError(f"gradients differ by {largest:g}, and are up to {scale:g}")
    return {"net": name, "batch": batch, "ms": times}


def _backend(precision: str, channels_last: bool) -> CudaBackend:
    given: Any = get_backend("cuda")
    return CudaBackend(given.device, precision, channels_last=channels_last)


def lenet() -> dict[str, Any]:
    """Train LeNet on the bundled images on the CPU and on the GPU; compare the accuracies."""
    with tempfile.TemporaryDirectory() as folder:
        _make_databases(Path(folder))
        found = {
            kind: _accuracy(Path(folder), get_backend(name))
            for kind, name in (("CPU", "auto"), ("GPU", "cuda"))
        }
    if found["GPU"] < found["CPU"] - ACCURACY_TOLERANCE:
        raise AssertionError(f"the GPU's accuracy is lower: {found}")
    return {"iterations": TRAINING, "accuracy": found}


def resume() -> dict[str, Any]:
    """Compare a resumed training with an uninterrupted one: every weight, bit for bit."""
    with tempfile.TemporaryDirectory() as folder:
        _make_databases(Path(folder))
        whole = _solver(Path(folder), get_backend("cuda"), ITERATIONS)
        whole.param.snapshot = ITERATIONS // 2
        whole.solve()
        wanted = [parameter.blob.data.get() for parameter in whole.net.parameters]
        whole.close()
        again = _solver(Path(folder), get_backend("cuda"), ITERATIONS)
        again.solve(f"{folder}/lenet_iter_{ITERATIONS // 2}.solverstate")
        found = [parameter.blob.data.get() for parameter in again.net.parameters]
        again.close()
    largest = max(float(np.abs(a - b).max()) for a, b in zip(wanted, found, strict=True))
    if largest:
        raise AssertionError(f"weights of the resumed training differ by up to {largest:g}")
    return {"iterations": ITERATIONS, "largest difference": largest}


def _make_databases(folder: Path) -> None:
    for name, part in (("train", "train"), ("t10k", "test")):
        images, labels = (
            str(IMAGES / f"{name}-{kind}.gz") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
        )
        code = run_command("convert_mnist_data", [images, labels, str(folder / part)])
        if code:
            raise RuntimeError(f"convert_mnist_data ended with status {code}")


def _solver(folder: Path, backend: Any, iterations: int) -> Solver:
    source = read_solver(ROOT / "models/lenet/lenet_solver.prototxt")
    net = (ROOT / "models/lenet/lenet_train_test.prototxt").read_text()
    for part in ("train", "test"):
        net = net.replace(f"data/fashion-mnist/{part}_lmdb", str(folder / part))
    (folder / "net.prototxt").write_text(net)
    param = source.param
    param.net = str(folder / "net.prototxt")
    param.snapshot_prefix = str(folder / "lenet")
    param.max_iter, param.snapshot, param.display, param.random_seed = iterations, 0, 0, 1
    param.test_initialization, param.test_interval = False, iterations + 1
    param.snapshot_after_train = False
    return Solver(source, backend)


def _accuracy(folder: Path, backend: Any) -> float:
    """Train and return the accuracy on the test images."""
    solver = _solver(folder, backend, TRAINING)
    try:
        solver.solve()
        net = solver.test_nets[0]
        net.share_parameters_with(solver.net)
        total = 0.0
        for _ in range(BATCHES):
            net.forward()
            total += float(net.blobs["accuracy"].data.get())
        return total / BATCHES
    finally:
        solver.close()


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    part.__name__: part for part in (device, basics, graphs, orders, lenet, resume)
}


if __name__ == "__main__":
    try:
        print(json.dumps(PARTS[sys.argv[1]]()))
    except MinicaffeError as error:
        sys.exit(str(error))
