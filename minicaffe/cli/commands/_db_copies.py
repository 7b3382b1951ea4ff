"""Actions of the command db that write: image files and new databases."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np

from minicaffe.atomic_file import new_folder
from minicaffe.cli.commands._db_flags import DbFlags
from minicaffe.cli.commands._db_reports import known_count
from minicaffe.cli.item_progress import with_progress
from minicaffe.data.class_names import ClassNames
from minicaffe.data.databases.rewriting import labels_of, merged, shuffled, stratified_parts
from minicaffe.data.db import Database, create_database, open_any_database
from minicaffe.data.survey import DatasetSurvey
from minicaffe.errors import UsageError
from minicaffe.log import logger

_DEFAULT_PARTS = "80/20"


def export_database(flags: DbFlags) -> int:
    """Write the images of a database as files."""
    from minicaffe.data.databases.image_files import LIST_FILE, ImageExport

    source, target = flags.paths
    names = ClassNames(flags.labels)
    with open_any_database(source) as database, new_folder(target, "folders of images") as folder:
        images = ImageExport(folder, names)
        items = with_progress(database.items(), "images", known_count(database))
        images.write_all(database, items)
    print(f"{target}: {images.n_written} images; {Path(target, LIST_FILE)} lists them")
    return 0


def merge_databases(flags: DbFlags) -> int:
    """Write the records of several databases to one."""
    *sources, target = flags.paths
    with ExitStack() as stack:
        databases = [stack.enter_context(open_any_database(path)) for path in sources]
        known = [known_count(database) for database in databases]
        total = None if None in known else sum(n or 0 for n in known)
        new = stack.enter_context(create_database(target, _backend(flags, databases[0])))
        survey = DatasetSurvey(target)
        for key, value in with_progress(merged(databases, survey), "records", total):
            new.put(key, value)
    print(f"{target}: {new.count} records of {len(databases)} databases")
    for remark in survey.remarks():
        logger.warning(remark)
    return 0


def shuffle_database(flags: DbFlags) -> int:
    """Write the records in a random order."""
    source, target = flags.paths
    with (
        open_any_database(source) as database,
        create_database(target, _backend(flags, database)) as new,
    ):
        records = shuffled(database, flags.seed or 0)
        for key, value in with_progress(records, "records", known_count(database)):
            new.put(key, value)
    print(f"{target}: {new.count} records in a random order (seed {flags.seed or 0})")
    return 0


def split_database(flags: DbFlags) -> int:
    """Divide a database at random into new ones."""
    source, *targets = flags.paths
    shares = _shares(flags.parts or _DEFAULT_PARTS, len(targets))
    with open_any_database(source) as database, ExitStack() as stack:
        backend = _backend(flags, database)
        new = [stack.enter_context(create_database(path, backend)) for path in targets]
        total = known_count(database)
        labels = labels_of(database, with_progress(database.items(), "labels", total))
        parts = stratified_parts(labels, shares, flags.seed or 0)
        items = with_progress(database.items(), "records", len(labels))
        for part, (key, value) in zip(parts.tolist(), items, strict=True):
            new[part].put(key, value)
    for number, (path, one) in enumerate(zip(targets, new, strict=True)):
        n_classes = len(np.unique(labels[parts == number]))
        print(f"{path}: {one.count} records of {n_classes} classes")
        _warn_of_missing_classes(path, labels, parts == number)
    return 0


def _backend(flags: DbFlags, first: Database) -> str:
    return flags.backend or first.backend


def _shares(text: str, n: int) -> list[float]:
    try:
        shares = [float(word) for word in text.split("/")]
    except ValueError:
        shares = []
    if len(shares) != n or not all(0 < share < np.inf for share in shares):
        raise UsageError(
            f"--parts={text}: give the size of each of the {n} new databases in proportion, "
            "separated by slashes, such as 80/20 or 70/15/15"
        )
    return shares


def _warn_of_missing_classes(
    path: str, labels: np.ndarray[tuple[int], np.dtype[np.int64]], is_part: np.ndarray
) -> None:
    missing = np.setdiff1d(labels, labels[is_part])
    if len(missing):
        logger.warning(
            f"{path}: no record has label {missing[0]}"
            + (f" or one of {len(missing) - 1} other labels" if len(missing) > 1 else "")
            + ", because too few records have it. Choose other --parts, or add images."
        )
