"""Reports of the command db: contents, damaged records, contact sheet."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from minicaffe.atomic_file import write_atomically
from minicaffe.cli.class_table import class_lines
from minicaffe.cli.commands._db_flags import DbFlags
from minicaffe.cli.conversion_summary import shapes_text
from minicaffe.cli.item_progress import with_progress
from minicaffe.data.class_names import ClassNames
from minicaffe.data.databases.contents import DatabaseContents, RecordFacts, keys_at, read_facts
from minicaffe.data.db import Database, open_any_database, printable
from minicaffe.log import logger

_DEFAULT_COUNT = 48
_MIB = 1 << 20


def known_count(database: Database) -> int | None:
    """Return the number of records if the database stores it; a LevelDB is read for it."""
    return len(database) if database.backend == "LMDB" else None


def info_database(flags: DbFlags) -> int:
    """Print the contents of a database."""
    names = ClassNames(flags.labels)
    contents = DatabaseContents(flags.paths[0])
    with open_any_database(flags.paths[0]) as database:
        for facts in _facts(database):
            contents.add(facts)
        print("\n".join(_lines(database, contents, names)))
    names.warn_of_missing([*contents.images.boxes, *contents.images.labels])
    for remark in contents.images.remarks():
        logger.warning(remark)
    return 0


def _facts(database: Database) -> Iterator[RecordFacts]:
    items = with_progress(database.items(), "records", known_count(database))
    return read_facts(items, database.path)


def _lines(database: Database, contents: DatabaseContents, names: ClassNames) -> Iterator[str]:
    kind = {"LMDB": "LMDB", "LEVELDB": "LevelDB"}[database.backend]
    yield f"{database.path}: {kind}, {contents.n_records} records, {_size(database.path)}"
    yield _row("messages", _counts(contents.kinds))
    yield _row("shapes", shapes_text(contents.images))
    yield _row("stored as", _counts(contents.encodings))
    if contents.kinds:
        values = f"{contents.low:g} to {contents.high:g}, mean {contents.mean:.4g}"
        if contents.n_not_finite:
            values += f"; {contents.n_not_finite} records have NaN or infinite values"
        yield _row("values", values)
    yield _row("repeated", _repeated(database, contents))
    yield _row("damaged", f"{contents.n_damaged or 'none'}")
    yield from (f"  {message}" for message in contents.damaged)
    if contents.n_damaged > len(contents.damaged):
        yield "  (minicaffe db verify lists all)"
    images = contents.images
    if images.n_with_boxes:
        yield _row(
            "boxes",
            f"{images.boxes.total()} in {images.n_with_boxes} images, "
            f"{contents.n_without_boxes} images have none, "
            f"{contents.n_unusual_boxes} boxes exceed their image or have exchanged sides",
        )
    yield from class_lines(images, names)


def _row(name: str, text: str) -> str:
    return f"{name:<10} {text}"


def _counts(counter: dict[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in counter.items()) or "none"


def _size(folder: str) -> str:
    size = sum(file.stat().st_size for file in Path(folder).iterdir())
    return f"{size / _MIB:.1f} MiB" if size >= _MIB else f"{size / 1024:.0f} KiB"


def _repeated(database: Database, contents: DatabaseContents) -> str:
    repeats = contents.repeats()
    if repeats.example is None:
        return "none"
    text = f"{repeats.n_records} records have the image of an earlier one"
    if repeats.n_other_labels:
        text += f", {repeats.n_other_labels} of them with another label"
    keys = " and ".join(printable(key) for key in keys_at(database, repeats.example))
    return f"{text}: {keys}" + (" ..." if repeats.n_records > 1 else "")


def verify_database(flags: DbFlags) -> int:
    """Print the keys of the records that cannot be decoded; return 1 if there are any."""
    path, count, n_damaged = flags.paths[0], 0, 0
    with open_any_database(path) as database:
        for facts in _facts(database):
            count += 1
            if facts.problem:
                n_damaged += 1
                print(facts.problem)
    print(f"{path}: {count - n_damaged} of {count} records can be decoded")
    return 1 if n_damaged else 0


def show_database(flags: DbFlags) -> int:
    """Draw a contact sheet."""
    from minicaffe.data.databases.sample import sample_of
    from minicaffe.data.image import image_format
    from minicaffe.pictures.database_sheet import draw_records

    kind = image_format(Path(flags.output).suffix[1:])
    names = ClassNames(flags.labels)
    with open_any_database(flags.paths[0]) as database:
        n = len(database)
        items = with_progress(sample_of(database, n, flags.count or _DEFAULT_COUNT), "images")
        records = list(items)
    labels = {label for record in records for label in record.labels}
    names.warn_of_missing(labels)
    title = f"{flags.paths[0]}: {len(records)} of {n} records"
    with write_atomically(flags.output) as file:
        draw_records(records, names, title).save(file, kind)
    logger.info("Wrote %s", flags.output)
    return 0
