"""The form in which a data layer gets its images, before transform_param changes them."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from minicaffe.data.records.database import DatabaseRecords
from minicaffe.errors import DataError

_SAMPLES = 16  # of a database that are looked at


@dataclass(frozen=True)
class ImageForm:
    """Channels and size that images are brought to when they are read.

    Parameters
    ----------
    channels : int
        3: blue, green, red. 1: grey.
    rows, columns : int
        The size that they are resized to; 0 and 0: each keeps its own.
    has_class : bool
        Whether the label of an image is its class; otherwise boxes, or a class for each pixel.
    """

    channels: int
    rows: int = 0
    columns: int = 0
    has_class: bool = True


def form_in_database(path: str, backend: str, color: bool | None) -> ImageForm:
    """Return the form of the images of a database, whose first ones are read.

    Raises
    ------
    DataError
        If the database cannot be read, or holds no images.
    """
    with closing(DatabaseRecords(path, backend, color)) as records:
        taken = records.take(min(_SAMPLES, records.count_records(_SAMPLES)))
        shapes = {record.load().shape for record in taken}
    channels = {shape[0] for shape in shapes}
    if not channels <= {1, 3} or len(channels) != 1:
        found = ", ".join(" x ".join(map(str, shape)) for shape in sorted(shapes))
        raise DataError(
            f"{path}: its records have the shapes {found} (channels x rows x columns); images have "
            "3 channels, or 1"
        )
    size = next(iter(shapes))[1:] if len(shapes) == 1 else (0, 0)
    return ImageForm(channels.pop(), *size)
