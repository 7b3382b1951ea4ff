"""The packages onnx and onnxruntime, which are optional, and the comparison with the latter."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minicaffe.errors import MissingPackage, NetError
from minicaffe.ops.backend import HostArray

# The largest difference that counts as equal; see `relative_difference`.
TOLERANCE = 1e-4


def require_onnx() -> Any:  # Any: the package may be missing
    """Return package onnx with the modules that are used.

    Raises
    ------
    MissingPackage
        If it is not installed.
    """
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise _missing("onnx", error) from error
    return onnx


@dataclass(frozen=True)
class Replacement:
    """Values that some nodes of a model read in place of what they read otherwise.

    Parameters
    ----------
    name : str
        The value that is replaced.
    readers : collection of str
        The first outputs of the nodes.
    values : ndarray
    """

    name: str
    readers: Collection[str]
    values: HostArray


def run_onnx(
    path: str | Path,
    feeds: Mapping[str, HostArray],
    outputs: Sequence[str],
    further: Sequence[str] = (),
    replacements: Sequence[Replacement] = (),
) -> list[HostArray]:
    """Run an ONNX file in onnxruntime, on the CPU.

    Parameters
    ----------
    path : str or Path
    feeds : mapping of str to ndarray
        Values by the names of inputs; others than the file's are left out.
    outputs : sequence of str
    further : sequence of str
        Names of values that are no outputs.
    replacements : sequence of Replacement

    Returns
    -------
    list of ndarray
        The values of `outputs` and `further`.

    Raises
    ------
    NetError
        If onnxruntime cannot run the file.
    MissingPackage
        If package onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise _missing("onnxruntime", error) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    model = _changed(path, further, replacements) if further or replacements else str(path)
    given = {f"replacement {k}": one.values for k, one in enumerate(replacements)}
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names = {value.name for value in session.get_inputs()}
        known = {name: values for name, values in {**feeds, **given}.items() if name in names}
        return [np.asarray(values) for values in session.run([*outputs, *further], known)]
    except Exception as error:  # its own types are not public
        raise NetError(f"{path}: onnxruntime cannot run it: {error}") from None


def _changed(
    path: str | Path, further: Sequence[str], replacements: Sequence[Replacement]
) -> bytes:
    """Return the model of a file with further outputs and with inputs for replacements."""
    onnx = require_onnx()
    model = onnx.load(str(path))
    for k, one in enumerate(replacements):
        for node in model.graph.node:
            if node.output[0] in one.readers:
                new = [f"replacement {k}" if name == one.name else name for name in node.input]
                node.input[:] = new
        kind = onnx.TensorProto.FLOAT
        model.graph.input.append(onnx.helper.make_tensor_value_info(f"replacement {k}", kind, None))
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in further)
    serialized: bytes = model.SerializeToString()
    return serialized


def relative_difference(found: HostArray, expected: HostArray) -> float:
    """Return the largest difference, relative to the largest finite magnitude of `expected`.

    Equal values that are not finite do not differ; one of them against another value is an
    infinite difference, as are arrays of different shapes.
    """
    if found.shape != expected.shape:
        return float("inf")
    a, b = found.astype(np.float64), expected.astype(np.float64)
    is_same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore"):
        largest = float(np.where(is_same, 0.0, np.abs(a - b)).max(initial=0.0))
    scale = float(np.abs(b[np.isfinite(b)]).max(initial=0.0)) or 1.0
    return largest / scale if np.isfinite(largest) else float("inf")


def _missing(package: str, error: ImportError) -> MissingPackage:
    return MissingPackage(
        f"ONNX files need package {package} ({error}). Install it with: "
        "pip install 'minicaffe[onnx]'"
    )
