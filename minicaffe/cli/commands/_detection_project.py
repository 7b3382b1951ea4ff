"""New projects whose nets find objects in images."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from minicaffe.cli.commands._image_conversion import (
    Conversion,
    Destination,
    Resizing,
    convert_images,
)
from minicaffe.cli.commands._project_folder import created_folder, project_name
from minicaffe.cli.commands.convert_annoset import AnnotationConversion
from minicaffe.data.annotations.annotation_list import ListedAnnotation
from minicaffe.data.annotations.object_box import AnnotationType
from minicaffe.errors import UsageError
from minicaffe.log import suppress_info
from minicaffe.project.adapted_net import model_path
from minicaffe.project.boxed_images import BoxedImages, find_boxed_images, label_map_text
from minicaffe.project.deploy_net import deploy_text, make_deploy_net
from minicaffe.project.detection_net import SIZE, detection_net
from minicaffe.project.net_texts import ImageInput, Rates, solver_text
from minicaffe.project.paired_files import split_indices
from minicaffe.project.plan import TrainingPlan
from minicaffe.schema import NetState, read_net
from minicaffe.text_width import display_width, padded

_BATCH, _MOST_VALIDATION = 16, 50
_SCALE = 1 / 64
_MOST_CLASSES = 10  # of the table that is printed
_MEASURE = """# Tests give the mean average precision of the boxes, by the rules of PASCAL VOC 2007.
eval_type: "detection"
ap_version: "11point"
"""


def make_detection_project(
    folder: Path, source: str, size: int | None, share: float, seed: int
) -> None:
    """Make a project, and print a summary and the next steps.

    Parameters
    ----------
    folder : Path
    source : str
        Folder with images and files of their boxes.
    size : int, optional
        Rows and columns of the net's input; there is one only.
    share : float
        Of the images for training.
    seed : int
        Of the split.
    """
    if size not in (None, SIZE):
        raise UsageError(f"--size={size}: the net takes images of {SIZE} x {SIZE} pixels")
    given = find_boxed_images(source)
    parts = split_indices(len(given.pairs), share, seed)
    n_training, n_validation = map(len, parts)
    plan = TrainingPlan(n_training, n_validation, min(_BATCH, n_training), _MOST_VALIDATION)
    mean = given.means[parts[0]].mean(axis=0).tolist()
    images = ImageInput(3, SIZE, SIZE, mean, _SCALE)
    with created_folder(folder):
        _write_data(folder, given, parts)
        _write_nets(folder, len(given.classes), images, plan)
    _report(folder, given, images, plan)


def _write_data(folder: Path, given: BoxedImages, parts: Sequence[Sequence[int]]) -> None:
    (folder / "labelmap.prototxt").write_text(label_map_text(given.classes), "utf-8")
    labels = {name: label for label, name in enumerate(given.classes, start=1)}
    root = f"{given.root}{os.sep}"
    conversion = Conversion(root, True, Resizing(), True, "", has_shape=True)
    convert = AnnotationConversion(conversion, AnnotationType.XML, labels)
    for name, part in zip(("train", "val"), parts, strict=True):
        pairs = [ListedAnnotation(*given.pairs[k]) for k in part]
        text = "".join(f"{' '.join(pair)}\n" for pair in pairs)
        (folder / f"{name}.txt").write_bytes(text.encode("utf-8", "surrogateescape"))
        destination = Destination(str(folder / f"{name}_lmdb"), "lmdb", False)
        convert_images(pairs, convert, destination, root)


def _write_nets(folder: Path, n_classes: int, images: ImageInput, plan: TrainingPlan) -> None:
    name = project_name(folder)
    net = folder / "train_val.prototxt"
    text = detection_net(str(model_path("ssd_scenes")), name, images, plan, n_classes + 1)
    net.write_text(text, "utf-8")
    solver = solver_text(name, plan, Rates(), "detection_eval") + _MEASURE
    (folder / "solver.prototxt").write_text(solver, "utf-8")
    with suppress_info():
        deployed = make_deploy_net(read_net(net), NetState(), 1, (images.channels, SIZE, SIZE))
    (folder / "deploy.prototxt").write_text(deploy_text(deployed, net.name), "utf-8")


def _report(folder: Path, given: BoxedImages, images: ImageInput, plan: TrainingPlan) -> None:
    print(
        f"{folder}: {len(given.pairs)} images, {plan.n_training} for training and "
        f"{plan.n_validation} for validation\n"
    )
    shown = given.classes[:_MOST_CLASSES]
    width = max(map(display_width, ("class", *shown)))
    print(f"  label  {padded('class', width)}  objects")
    for label, name in enumerate(shown, start=1):
        print(f"  {label:5}  {padded(name, width)}  {given.objects[name]:7}")
    if len(given.classes) > _MOST_CLASSES:
        print(f"  and {len(given.classes) - _MOST_CLASSES} more classes, see labelmap.prototxt")
    image = os.path.relpath(given.root / given.pairs[0].image, folder)
    mean = ",".join(f"{value:.4g}" for value in images.mean)
    print(
        f"\nNext ({plan.max_iter} iterations, {plan.epochs:.0f} epochs, set in solver.prototxt):\n"
        f"  cd {shlex.quote(str(folder))}\n"
        "  minicaffe train solver.prototxt\n"
        f"  minicaffe detect {shlex.quote(image)} boxes --crop_mode=whole --min_score=0.5 "
        "--label_map_file=labelmap.prototxt --model_def=deploy.prototxt "
        f"--pretrained_model=runs/solver-1 --mean_file={mean} --input_scale={images.scale:.4g}"
    )
