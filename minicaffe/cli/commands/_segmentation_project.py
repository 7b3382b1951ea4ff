"""New projects whose nets give each pixel a class."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from minicaffe.cli.commands._project_folder import created_folder, project_name
from minicaffe.errors import UsageError
from minicaffe.log import suppress_info
from minicaffe.project.deploy_net import deploy_text, make_deploy_net
from minicaffe.project.label_pairs import LabelledPixels, find_label_pairs
from minicaffe.project.net_texts import ImageInput, Rates, solver_text
from minicaffe.project.paired_files import split_indices
from minicaffe.project.plan import TrainingPlan
from minicaffe.project.segmentation_net import STRIDE, segmentation_net
from minicaffe.schema import NetState, read_net
from minicaffe.text_width import display_width, padded

_SIZE, _BATCH, _MOST_VALIDATION = 128, 8, 20
_SCALE = 1 / 64
_MOST_CLASSES = 10  # of the table that is printed


def make_segmentation_project(
    folder: Path, source: str, size: int | None, share: float, seed: int
) -> None:
    """Make a project, and print a summary and the next steps.

    Parameters
    ----------
    folder : Path
    source : str
        Folder with images and label images, or a list of them.
    size : int, optional
        Rows and columns of the net's input.
    share : float
        Of the images for training.
    seed : int
        Of the split.
    """
    size = size or _SIZE
    if size % STRIDE:
        raise UsageError(f"--size={size}: must be a multiple of {STRIDE} for nets that segment")
    given = find_label_pairs(source)
    parts = split_indices(len(given.pairs), share, seed)
    plan = TrainingPlan(len(parts[0]), len(parts[1]), min(_BATCH, len(parts[0])), _MOST_VALIDATION)
    mean = given.means[parts[0]].mean(axis=0).tolist()
    images = ImageInput(3, size, size, mean, _SCALE)
    with created_folder(folder):
        _write(folder, given, parts, images, plan)
    _report(folder, given, images, plan)


def _write(
    folder: Path,
    given: LabelledPixels,
    parts: tuple[list[int], list[int]],
    images: ImageInput,
    plan: TrainingPlan,
) -> None:
    for name, part in zip(("train", "val"), parts, strict=True):
        text = "".join(f"{' '.join(given.pairs[k])}\n" for k in part)
        (folder / f"{name}.txt").write_bytes(text.encode("utf-8", "surrogateescape"))
    (folder / "labels.txt").write_text("".join(f"{one}\n" for one in given.classes), "utf-8")
    name, root = project_name(folder), f"{os.path.relpath(given.root, folder)}/"
    net = folder / "train_val.prototxt"
    net.write_text(segmentation_net(name, images, plan, len(given.classes), root), "utf-8")
    (folder / "solver.prototxt").write_text(solver_text(name, plan, Rates(), "loss"), "utf-8")
    shape = (images.channels, images.size, images.size)
    with suppress_info():
        deployed = make_deploy_net(read_net(net), NetState(), 1, shape)
    (folder / "deploy.prototxt").write_text(deploy_text(deployed, net.name), "utf-8")


def _report(folder: Path, given: LabelledPixels, images: ImageInput, plan: TrainingPlan) -> None:
    print(
        f"{folder}: {len(given.pairs)} images, {plan.n_training} for training and "
        f"{plan.n_validation} for validation\n"
    )
    width = max(map(display_width, ("class", *given.classes[:_MOST_CLASSES])))
    print(f"  label  {padded('class', width)}  of all pixels")
    shown = zip(given.classes[:_MOST_CLASSES], given.shares, strict=False)
    for label, (name, share) in enumerate(shown):
        print(f"  {label:5}  {padded(name, width)}  {share:13.2%}")
    if len(given.classes) > _MOST_CLASSES:
        print(f"  and {len(given.classes) - _MOST_CLASSES} more classes, see labels.txt")
    image = os.path.relpath(given.root / given.pairs[0].image, folder)
    mean = ",".join(f"{value:.4g}" for value in images.mean)
    print(
        f"\nNext ({plan.max_iter} iterations, {plan.epochs:.0f} epochs, set in solver.prototxt):\n"
        f"  cd {shlex.quote(str(folder))}\n"
        "  minicaffe train solver.prototxt\n"
        f"  minicaffe segment deploy.prototxt runs/solver-1 {shlex.quote(image)} "
        f"--output=predicted --mean={mean} --input_scale={images.scale:.4g}"
    )
