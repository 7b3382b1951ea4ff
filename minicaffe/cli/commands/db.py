r"""Inspect a database, LMDB or LevelDB, and write new ones from it.

DB, or info DB: records, classes, sizes, encodings, values, repeated images and damaged records.
verify DB: decode every record; exit code 1 and their keys if some cannot be decoded.
show DB -o FILE.png: draw a contact sheet of images from the whole database, with labels or boxes.
export DB DIR: write the images as files into a folder for each class, and DIR/list.txt, which
convert_imageset reads; of annotated images also files with boxes, which convert_annoset reads.
merge DB ... NEW_DB: write the records of all databases, one database after the other.
split DB NEW_DB NEW_DB: divide a database at random, in the same proportion in every class.
shuffle DB NEW_DB: write the records in a random order.

The kind of a database is recognised. A new one or DIR must not exist, and appears when it is
complete. The same seed gives the same order.

Example:
  minicaffe db info train_lmdb --labels labels.txt
  minicaffe db show train_lmdb -o train.png
  minicaffe db split all_lmdb train_lmdb val_lmdb --parts 80/20
"""

from __future__ import annotations

from minicaffe.cli.commands._db_copies import (
    export_database,
    merge_databases,
    shuffle_database,
    split_database,
)
from minicaffe.cli.commands._db_flags import DbFlags
from minicaffe.cli.commands._db_reports import info_database, show_database, verify_database

_FUNCTIONS = {
    "info": info_database,
    "verify": verify_database,
    "show": show_database,
    "export": export_database,
    "merge": merge_databases,
    "split": split_database,
    "shuffle": shuffle_database,
}


def run(flags: DbFlags) -> int:
    """Run the action."""
    flags.check()
    return _FUNCTIONS[flags.action](flags)
