r"""Draw boxes around objects in images, or classify windows of images (R-CNN).

With --crop_mode whole, a net finds the objects of INPUT, an image or a folder of images. A net with
a DetectionOutput layer (SSD, YOLO) takes each image resized to its input. A net with the inputs
data and im_info and the blobs rois, cls_prob and bbox_pred (Faster R-CNN, R-FCN) takes it with
--short_side pixels, less if the long side would exceed --max_size. The folder OUTPUT receives a PNG
file for each image, with boxes, names of classes and scores. They are also printed, with xmin,
ymin, xmax, ymax in pixels. With --truth, all objects found are compared with the true ones, and the
average precision of each class is printed (11 points, overlap above 0.5, as PASCAL VOC 2007).

The other modes are those of Caffe's detect.py. INPUT is a .csv table with the columns filename,
ymin, xmin, ymax, xmax and one window per row (--crop_mode list). OUTPUT is a .csv table with one
more column for each class, or an .h5 file whose group "df" has the arrays filename, ymin, xmin,
ymax, xmax and prediction. Selective search (--crop_mode selective_search, INPUT a .txt list of
images) needs MATLAB code that is not part of this package.

Example:
  minicaffe detect windows.csv scores.csv --crop_mode list --context_pad 16 \
      --model_def deploy.prototxt --pretrained_model rcnn.caffemodel
  minicaffe detect photos/ boxes/ --crop_mode whole --label_map_file labelmap_voc.prototxt \
      --model_def deploy.prototxt --pretrained_model ssd.caffemodel --mean_file 104,117,123
  minicaffe detect photos/ boxes/ --crop_mode whole --mean_file 102.9801,115.9465,122.7717 \
      --model_def test.prototxt --pretrained_model faster_rcnn.caffemodel
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.flags import flag, positional
from minicaffe.cli.options.log import LogFlags
from minicaffe.cli.options.preprocessing import PreprocessingFlags
from minicaffe.errors import DataError, Problems, UsageError
from minicaffe.text_file import read_text

if TYPE_CHECKING:
    from minicaffe.prediction import RegionSettings
    from minicaffe.pycaffe.detector import Detection

_COORDINATES = ("ymin", "xmin", "ymax", "xmax")
_MODES = ("list", "selective_search", "whole")
_MOST_PROBLEMS = 10

Windows = list[tuple[str, list[float]]]


class DetectFlags(LogFlags, PreprocessingFlags):
    """Flags of the command."""

    input_file: str = positional(metavar="INPUT", help=".csv of windows, .txt, or images")
    output_file: str = positional(metavar="OUTPUT", help=".csv or .h5 file, or folder")
    crop_mode: str = flag(choices=_MODES, default="selective_search", help="origin of the windows")
    context_pad: int = flag(
        default=16, help="pixels of context around a window, at the input's size"
    )
    label_map_file: str = flag(
        metavar="FILE", help="prototxt with the name of each class, for --crop_mode whole"
    )
    min_score: float = flag(
        default=0.5, help="smallest score of the boxes drawn by --crop_mode whole"
    )
    truth: str = flag(
        metavar="FOLDER",
        help="true objects to compare with, NAME.xml as PASCAL VOC has it, for --crop_mode whole; "
        "needs --label_map_file",
    )
    short_side: int | None = flag(
        at_least=1,
        help="Faster R-CNN, R-FCN: pixels of the short side of resized images (default: 600)",
    )
    max_size: int | None = flag(
        at_least=1, help="Faster R-CNN, R-FCN: most pixels of the long side (default: 1000)"
    )
    bbox_stds: str = flag(
        metavar="DX,DY,DW,DH",
        help="Faster R-CNN, R-FCN: factors of bbox_pred (default: 1,1,1,1). Weights that minicaffe "
        "trained need the target_stds of their ProposalTargetLayer, by default 0.1,0.1,0.2,0.2; "
        "in those that py-faster-rcnn published, the factors are part of the weights",
    )

    def region_settings(self) -> RegionSettings:
        """Return the settings of a net that scores regions."""
        from minicaffe.prediction import RegionSettings

        stds = _four_factors(self.bbox_stds) if self.bbox_stds else None
        return RegionSettings(self.short_side, self.max_size, stds)


_FOR_WHOLE_IMAGES = ("label_map_file", "truth", "short_side", "max_size", "bbox_stds")


def run(flags: DetectFlags) -> int:
    """Draw objects, or classify windows."""
    flags.shorten_log()
    if flags.crop_mode == "whole":
        return _draw(flags)
    for name in _FOR_WHOLE_IMAGES:
        if getattr(flags, name):
            raise UsageError(f"--{name} has no effect without --crop_mode whole")
    return _classify(flags)


def _draw(flags: DetectFlags) -> int:
    from minicaffe.cli.commands._object_boxes import ObjectDetector
    from minicaffe.prediction import ModelFiles, open_image_model
    from minicaffe.pycaffe.session import current_backend

    if flags.truth and not flags.label_map_file:
        raise UsageError("--truth needs --label_map_file, which gives the classes their numbers")
    files = ModelFiles(
        flags.pretrained_model,
        flags.model_def,
        flags.label_map_file,
        values=flags.pixel_values(),
        regions=flags.region_settings(),
    )
    flags.set_mode()
    with closing(open_image_model(files, current_backend(), "detect")) as model:
        detector = ObjectDetector(model, flags.label_map_file, flags.min_score, flags.truth)
        detector.draw(flags.input_file, flags.output_file)
    return 0


def _four_factors(text: str) -> tuple[float, ...]:
    """Return the numbers of --bbox_stds."""
    try:
        factors = tuple(map(float, text.split(",")))
    except ValueError:
        factors = ()
    if len(factors) != 4 or not all(math.isfinite(factor) and factor > 0 for factor in factors):
        raise UsageError(f"--bbox_stds={text}: must be 4 numbers above 0, separated by commas")
    return factors


def _classify(flags: DetectFlags) -> int:
    """Load, classify, save."""
    from minicaffe.pycaffe import Detector

    kind = Path(flags.output_file).suffix.lower()
    if kind not in (".csv", ".h5"):
        raise UsageError(
            f"{flags.output_file}: unknown type of file; the extension must be .csv or .h5"
        )
    preprocessing = flags.preprocessing(of_channels=True)
    flags.set_mode()
    detector = Detector(
        flags.model_def, flags.pretrained_model, **preprocessing, context_pad=flags.context_pad
    )
    print("Loading input...")
    began = time.perf_counter()
    try:
        if flags.crop_mode == "list":
            found = detector.detect_windows((path, [w]) for path, w in _windows(flags.input_file))
        else:
            found = detector.detect_selective_search(_image_paths(flags.input_file))
    except OSError as error:
        raise DataError(f"{flags.input_file}: an image cannot be read: {error}") from error
    print(f"Processed {len(found)} windows in {time.perf_counter() - began:.3f} s.")
    began = time.perf_counter()
    with write_atomically(flags.output_file) as file:
        file.write(_csv(found) if kind == ".csv" else _hdf5(found))
    print(f"Saved to {flags.output_file} in {time.perf_counter() - began:.3f} s.")
    return 0


def _image_paths(path: str) -> list[str]:
    lines = read_text(path, "the list").split("\n")
    return [line.strip() for line in lines if line.strip()]


def _rows(path: str) -> Iterator[tuple[int, dict[str, str], str]]:
    """Yield line number and cells of every row of a table, and the separator of its columns.

    Spreadsheets separate columns by semicolons where fractions have a comma, or by tabs.
    """
    text = read_text(path, "the table")
    first, _, rest = text.partition("\n")
    if first.lower().startswith("sep="):  # a line that Excel writes and reads
        text, first = rest, rest.partition("\n")[0]
    separator = next((c for c in ";\t" if c in first and "," not in first), ",")
    table = csv.DictReader(io.StringIO(text), delimiter=separator, skipinitialspace=True)
    missing = [name for name in ("filename", *_COORDINATES) if name not in (table.fieldnames or ())]
    if missing:
        raise DataError(
            f"{path}: no column {', '.join(missing)}; the first line must name the columns "
            f"filename, {', '.join(_COORDINATES)}"
        )
    skipped = text is rest
    try:
        for row in table:
            yield table.line_num + skipped, row, separator
    except csv.Error as error:
        raise DataError(f"{path}:{table.line_num + skipped}: not a table: {error}") from error


def _number(text: str, separator: str) -> float:
    return float(text if separator == "," else text.replace(",", "."))


def _windows(path: str) -> Windows:
    """Return file name and window of every row; raise one error that lists all invalid rows."""
    problems = Problems(DataError)
    windows: Windows = []
    for line, row, separator in _rows(path):
        try:
            window = [_number(row[name], separator) for name in _COORDINATES]
            windows.append((row["filename"], window))
        except (AttributeError, TypeError, ValueError):
            if len(problems.messages) < _MOST_PROBLEMS:
                found = ", ".join(str(row[name]) for name in _COORDINATES)
                problems.add(f"{path}:{line}: a window is four numbers; found {found}")
    problems.raise_if_any()
    if not windows:
        raise DataError(f"{path}: has no window; write one per row below the column names")
    return windows


def _csv(found: list[Detection]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    n_classes = np.size(found[0]["prediction"])
    writer.writerow(["filename", *_COORDINATES, *(f"class{k}" for k in range(n_classes))])
    for one in found:
        corners = [f"{corner:g}" for corner in one["window"]]
        writer.writerow([one["filename"], *corners, *np.ravel(one["prediction"])])
    return text.getvalue().encode()


def _hdf5(found: list[Detection]) -> bytes:
    import h5py  # slow to import

    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        group = file.create_group("df")
        group["filename"] = [str(one["filename"]) for one in found]
        for k, name in enumerate(_COORDINATES):
            group[name] = [one["window"][k] for one in found]
        group["prediction"] = np.stack([np.ravel(one["prediction"]) for one in found])
    return content.getvalue()
