"""Make a project from images: databases, a net and a solver, ready for training.

IMAGES is a folder that has a folder of images for each class, or a table (.csv) with the columns
path and class. DIR receives lists of the images for training and validation, their databases,
labels.txt with the names of the classes, and commented prototxts: train_val, solver, deploy. Every
class is divided alike; copies and unreadable images are left out. The mean of the training images
is in train_val.prototxt.

The net is a small one, or with --net one of models/ (--net=resnet18) or of a file, adapted to the
number of classes. With --weights its training starts from trained weights, but for the last layer;
mean and scale are then those of the net.

With --task=segment every pixel gets a class. IMAGES is then a folder with the folders images (or
JPEGImages) and labels (or masks, SegmentationClass) of label images with the same names, or a list:
image, space, label image. Pixels of a label image have the number of their class, from 0; 255 does
not count. The names of the classes come from classes.txt beside them.

With --task=detect objects are found. IMAGES is a folder with the folders images (or JPEGImages) and
Annotations (or boxes, labels) of XML files with the same names, in PASCAL VOC's form.

Example:
  minicaffe new pets images/
  minicaffe new pets images/ --net caffenet --weights caffenet.caffemodel
"""

from __future__ import annotations

import os
import shlex
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from minicaffe.cli.commands._project_folder import (
    check_is_new,
    created_folder,
    project_name,
    training_share,
)
from minicaffe.cli.flags import Flags, flag, positional
from minicaffe.cli.options.files import weights_files
from minicaffe.errors import DataError, UsageError
from minicaffe.path_hints import not_found

if TYPE_CHECKING:
    from minicaffe.project.adapted_net import KnownNet
    from minicaffe.project.net_texts import ImageInput
    from minicaffe.project.plan import TrainingPlan
    from minicaffe.project.usable_images import Part, UsableImages

MINLOGLEVEL = 1
_SIZE = 64
_PARTS = ("train", "val")  # lists and databases begin with them
_MOST_CLASSES = 10  # of the table that is printed


class NewFlags(Flags):
    """Flags of the command."""

    directory: str = positional(metavar="DIR", help="folder to create")
    images: str = positional(
        metavar="IMAGES",
        help="folder of class folders, or table (.csv); for other tasks a folder with images and "
        "labels or Annotations",
    )
    task: str = flag(
        choices=("classify", "detect", "segment"),
        default="classify",
        help="whether images get a class, objects are found, or pixels get a class",
    )
    net: str = flag(metavar="NAME", default="small", help="small, a net of models/, or a prototxt")
    weights: str = flag(
        metavar="FILE",
        type=weights_files,
        help="trained weights of --net to start from, or a run: RUN/best",
    )
    size: int | None = flag(
        at_least=8,
        metavar="N",
        help="rows and columns of the net's input (default: 64 or that of --net, else 128)",
    )
    split: str = flag(default="80/20", metavar="T/V", help="ratio of training to validation images")
    seed: int = flag(default=1, metavar="N", help="of the random split")
    gray: bool = flag(help="make images grey (default: if all of them are)")


def run(flags: NewFlags) -> int:
    """Make the project."""
    from minicaffe.project.adapted_net import SMALL, find_known_net, reads_grey
    from minicaffe.project.labelled_images import find_labelled_images
    from minicaffe.project.usable_images import select_images, split_images

    _check(flags)
    folder, share = Path(flags.directory), training_share(flags.split)
    check_is_new(folder, flags.images)
    if flags.task == "segment":
        from minicaffe.cli.commands._segmentation_project import make_segmentation_project

        make_segmentation_project(folder, flags.images, flags.size, share, flags.seed)
        return 0
    if flags.task == "detect":
        from minicaffe.cli.commands._detection_project import make_detection_project

        make_detection_project(folder, flags.images, flags.size, share, flags.seed)
        return 0
    known = None if flags.net == SMALL else find_known_net(flags.net)
    images = select_images(find_labelled_images(flags.images))
    parts = split_images(images.given, share, flags.seed)
    size = flags.size or (known.size if known else 0) or _SIZE
    is_grey = flags.gray or images.n_grey == len(images.facts)
    if known is not None and flags.weights and not flags.gray:
        is_grey = is_grey and reads_grey(known, flags.weights)
    with created_folder(folder):
        _write_data(folder, images, parts, size + size // 8, is_grey)
        made, plan = _read_data(folder, size, known, bool(flags.weights))
        _write_nets(folder, (images, made), plan, flags, known)
    _report(folder, images, parts, made)
    _print_next_steps(folder, images, parts, plan)
    return 0


def _check(flags: NewFlags) -> None:
    of_classification = (flags.net != "small", flags.weights, flags.gray)
    if flags.task != "classify" and any(of_classification):
        raise UsageError("--net, --weights and --gray are for --task=classify only; remove them")
    if flags.weights and flags.net == "small":
        raise UsageError("--weights needs --net, the net that the weights belong to")
    if flags.weights and not Path(flags.weights).is_file():
        raise DataError(f"--weights={not_found(flags.weights)}")


def _write_data(
    folder: Path, images: UsableImages, parts: tuple[Part, Part], stored: int, is_grey: bool
) -> None:
    """Write lists, databases and the names of the classes.

    Parameters
    ----------
    folder : Path
    images : UsableImages
    parts : (Part, Part)
        For training and validation.
    stored : int
        Rows and columns in the databases.
    is_grey : bool
    """
    from minicaffe.cli.commands._image_conversion import (
        Conversion,
        Converted,
        Destination,
        Resizing,
        convert_images,
    )
    from minicaffe.data.records.image_list import ListedImage

    root = f"{images.given.root}{os.sep}"
    conversion = Conversion(root, not is_grey, Resizing(stored, stored), False, "")

    def convert(entry: ListedImage) -> Converted:
        return conversion.converted(entry.name, entry.label)

    (folder / "labels.txt").write_text("".join(f"{one}\n" for one in images.given.classes), "utf-8")
    for name, part in zip(_PARTS, parts, strict=True):
        text = "".join(f"{path} {label}\n" for path, label in part)
        (folder / f"{name}.txt").write_bytes(text.encode("utf-8", "surrogateescape"))
        entries = [ListedImage(path, label, k) for k, (path, label) in enumerate(part, start=1)]
        destination = Destination(str(folder / f"{name}_lmdb"), "lmdb", True)
        convert_images(entries, convert, destination, root)


def _read_data(
    folder: Path, size: int, known: KnownNet | None, fine_tunes: bool
) -> tuple[ImageInput, TrainingPlan]:
    """Return what the data layers do, and the plan for the images in the databases."""
    from minicaffe.cli.commands.compute_image_mean import mean_image
    from minicaffe.data.db import open_database
    from minicaffe.project.net_texts import ImageInput
    from minicaffe.project.plan import TrainingPlan

    counts = []
    for name in _PARTS:
        with closing(open_database(str(folder / f"{name}_lmdb"), "lmdb")) as database:
            counts.append(len(database))
            if name == _PARTS[0]:
                image = mean_image(database)
    plan = TrainingPlan.of(*counts)
    mean, stored = image.mean(axis=(1, 2)).tolist(), image.shape[1]
    if known is None:
        return ImageInput(len(mean), stored, size, mean, 1 / 64), plan
    if fine_tunes and known.mean is not None:
        # Trained weights need the mean of their own training, or none.
        own = list(known.mean)
        mean = own * len(mean) if len(own) == 1 else own
    return ImageInput(image.shape[0], stored, size, mean, known.scale, known.tops), plan


def _write_nets(
    folder: Path,
    data: tuple[UsableImages, ImageInput],
    plan: TrainingPlan,
    flags: NewFlags,
    known: KnownNet | None,
) -> None:
    """Write the prototxts; the nets have been built once."""
    from minicaffe.log import suppress_info
    from minicaffe.project.adapted_net import adapted_rates, adapted_text
    from minicaffe.project.deploy_net import deploy_text, make_deploy_net
    from minicaffe.project.net_texts import Rates, small_net, solver_text
    from minicaffe.schema import NetState, read_net

    images, made = data
    name, n_classes = project_name(folder), len(images.given.classes)
    weights = os.path.relpath(flags.weights, folder) if flags.weights else ""
    rates = adapted_rates(known, plan.batch, not weights) if known else Rates()
    text = (
        small_net(name, made, plan, n_classes)
        if known is None
        else adapted_text(known, made, plan, (name, n_classes), is_new=not flags.weights)
    )
    solver = solver_text(name, plan, rates, known.score if known else "accuracy", weights)
    net = folder / "train_val.prototxt"
    net.write_text(text, "utf-8")
    (folder / "solver.prototxt").write_text(solver, "utf-8")
    shape = (made.channels, made.size, made.size)
    with suppress_info():
        deployed = make_deploy_net(read_net(net), NetState(), 1, shape)
    (folder / "deploy.prototxt").write_text(deploy_text(deployed, net.name), "utf-8")


def _report(folder: Path, images: UsableImages, parts: tuple[Part, Part], made: ImageInput) -> None:
    from minicaffe.text_width import display_width, padded

    classes, sizes = images.given.classes, images.sizes
    n = len(images.facts)
    print(f"{folder}: {n} images of {len(classes)} classes")
    small, large = (" x ".join(map(str, size)) for size in (sizes[0], sizes[-1]))
    given = small if len(sizes) == 1 else f"{small} to {large}"
    kind = "colour" if made.channels == 3 else "grey"
    mixed = f" ({images.n_grey} of {n} are grey files)" if 0 < images.n_grey < n else ""
    print(f"  sizes {given}, stored as {made.stored} x {made.stored}, {kind}{mixed}\n")
    width = max(map(display_width, ("class", *classes[:_MOST_CLASSES])))
    print(f"  label  {padded('class', width)}  training  validation")
    for label, name in enumerate(classes[:_MOST_CLASSES]):
        counts = [sum(one == label for _, one in part) for part in parts]
        print(f"  {label:5}  {padded(name, width)}  {counts[0]:8}  {counts[1]:10}")
    if len(classes) > _MOST_CLASSES:
        print(f"  and {len(classes) - _MOST_CLASSES} more classes, see labels.txt")


def _print_next_steps(
    folder: Path, images: UsableImages, parts: tuple[Part, Part], plan: TrainingPlan
) -> None:
    image = os.path.relpath(images.given.root / parts[1][0][0], folder)
    print(
        f"\nNext ({plan.max_iter} iterations, {plan.epochs:.0f} epochs, set in solver.prototxt):\n"
        f"  cd {shlex.quote(str(folder))}\n"
        "  minicaffe train solver.prototxt\n"
        f"  minicaffe predict runs/solver-1 {shlex.quote(image)}"
    )
