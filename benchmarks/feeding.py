"""Measure the rate, images/s, at which the host prepares batches for a net; print a table.

    python -m benchmarks.feeding --threads 8

Two databases of colour images are made, one raw and one of JPEG files. From each, batches of
random crops, mirrored at random, are made in two ways: "floats", as for a net on the CPU, and
"bytes", where a device mirrors, subtracts and scales (minicaffe/ops/transform.py). No device is
needed: the bytes stay in host memory. Both databases are in the page cache.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.machine import best_seconds
from minicaffe.cores import usable_cores
from minicaffe.data.batches import ImageBatches
from minicaffe.data.datum import encode_datum, encoded_datum
from minicaffe.data.db import create_database
from minicaffe.data.records.database import DatabaseRecords
from minicaffe.data.transformer import DataTransformer
from minicaffe.distributed.parts import BatchRows
from minicaffe.ops.backend import Shape
from minicaffe.random import RandomStream
from minicaffe.schema.minicaffe_pb2 import TRAIN, TransformationParameter

BATCH = 64
MEANS = (104, 117, 123)


class HostStagedBatch:
    """A staged batch in host memory that is never uploaded."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.images = np.empty(shape, np.uint8)
        self.windows = np.empty((shape[0], 3), np.int32)
        self.labels = np.empty(shape[0], np.float32)

    def upload(self) -> None:
        """Do nothing."""


def image(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Return red, green and blue of an image whose JPEG is as large as a photograph's."""
    coarse = rng.integers(0, 256, (size // 8, size // 8, 3)).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))
    noise = rng.integers(-12, 13, smooth.shape)
    return (smooth + noise).clip(0, 255).astype(np.uint8)


def make_databases(folder: Path, records: int, size: int) -> None:
    """Write random images to the databases "raw" and "jpeg"."""
    rng = np.random.default_rng(0)
    with (
        create_database(str(folder / "raw"), "LMDB") as raw,
        create_database(str(folder / "jpeg"), "LMDB") as jpeg,
    ):
        for i in range(records):
            pixels = image(rng, size)
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "JPEG", quality=90)
            planes = np.ascontiguousarray(pixels[:, :, ::-1].transpose(2, 0, 1))
            raw.put(b"%08d" % i, encode_datum(planes, i))
            jpeg.put(b"%08d" % i, encoded_datum(file.getvalue(), i))


def measure(folder: Path, crop: int, threads: int, seconds: float) -> Iterator[tuple[str, ...]]:
    """Yield rows of the table: database, threads, floats or bytes, images/s."""
    param = TransformationParameter(crop_size=crop, mirror=True, mean_value=MEANS)
    staged = HostStagedBatch((BATCH, 3, crop, crop))
    # A raw image is only copied, by one thread.
    for name, counts in (("raw", [1]), ("jpeg", sorted({1, threads}))):
        for count in counts:
            for made in ("floats", "bytes"):
                transformer, stream = DataTransformer(param, TRAIN), RandomStream(1, name)
                records = DatabaseRecords(str(folder / name), "LMDB")
                source = ImageBatches(records, BatchRows(BATCH), transformer, stream, threads=count)
                if made == "bytes" and source.assembler is not None:
                    source.assembler.stage = lambda: staged
                rate = BATCH / best_seconds(source.next, seconds)
                source.close()
                yield name, str(count), made, f"{rate:.0f}"


def main(argv: list[str] | None = None) -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--records", type=int, default=512, help="in a database (%(default)s)")
    parser.add_argument("--size", type=int, default=256, help="rows and columns (%(default)s)")
    parser.add_argument("--crop", type=int, default=224, help="(%(default)s)")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="(%(default)s)")
    parser.add_argument("--seconds", type=float, default=2, help="for each line (%(default)g)")
    args = parser.parse_args(argv)
    if args.threads < 1:
        parser.error(f"--threads={args.threads}: must be at least 1")
    print("| database | threads | made | images/s |\n|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        make_databases(Path(folder), args.records, args.size)
        for cells in measure(Path(folder), args.crop, args.threads, args.seconds):
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
