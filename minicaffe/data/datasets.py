"""Download locations of well-known data sets, and verification of copies by SHA-256.

The hash of an IDX file is that of its unpacked content, so that a copy that was compressed again
(Debian does so with Fashion-MNIST) or not at all is accepted; that of CIFAR-10 is of the archive.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from minicaffe.atomic_file import write_atomically
from minicaffe.data.idx import read_content
from minicaffe.errors import DataError
from minicaffe.log import logger

# Called with bytes so far and bytes in all (None: unknown).
Progress = Callable[[int, int | None], None]

_CHUNK_BYTES = 1 << 16
_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Source:
    """One file of a data set.

    Attributes
    ----------
    name : str
        As its publisher names it.
    sha256 : str
        Of the content: unpacked for ``.gz``, as it is for an archive.
    """

    name: str
    sha256: str

    @property
    def is_archive(self) -> bool:
        """Whether it holds several files."""
        return self.name.endswith(".tar.gz")

    @property
    def unpacked_name(self) -> str:
        """The file name without .gz; that of an archive is unchanged."""
        return self.name if self.is_archive else self.name.removesuffix(".gz")


@dataclass(frozen=True)
class DataSet:
    """A data set.

    Attributes
    ----------
    urls : tuple of str
        Folders that hold the files, the publisher's own first.
    sources : tuple of Source
    next_command : str
        The command that converts the files; FOLDER stands for their folder.
    """

    urls: tuple[str, ...]
    sources: tuple[Source, ...]
    next_command: str


_IDX_COMMAND = (
    "minicaffe convert_mnist_data FOLDER/train-images-idx3-ubyte.gz "
    "FOLDER/train-labels-idx1-ubyte.gz train_lmdb"
)

DATA_SETS = {
    "mnist": DataSet(
        urls=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        sources=(
            Source(
                "train-images-idx3-ubyte.gz",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            Source(
                "train-labels-idx1-ubyte.gz",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
            Source(
                "t10k-images-idx3-ubyte.gz",
                "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            ),
            Source(
                "t10k-labels-idx1-ubyte.gz",
                "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            ),
        ),
        next_command=_IDX_COMMAND,
    ),
    "fashion-mnist": DataSet(
        urls=(
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        sources=(
            Source(
                "train-images-idx3-ubyte.gz",
                "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            ),
            Source(
                "train-labels-idx1-ubyte.gz",
                "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            ),
            Source(
                "t10k-images-idx3-ubyte.gz",
                "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            ),
            Source(
                "t10k-labels-idx1-ubyte.gz",
                "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            ),
        ),
        next_command=_IDX_COMMAND,
    ),
    "cifar10": DataSet(
        urls=("https://www.cs.toronto.edu/~kriz/",),
        sources=(
            Source(
                "cifar-10-binary.tar.gz",
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ),
        ),
        next_command="minicaffe convert_cifar_data FOLDER . lmdb",
    ),
}


def problem_of(path: Path, source: Source) -> str | None:
    """Return why a file is not a copy of a source, or None if it is one."""
    if not path.is_file():
        return "no such file"
    try:
        content = path.read_bytes() if source.is_archive else read_content(path)
    except DataError as error:
        return str(error)
    found = hashlib.sha256(content).hexdigest()
    return None if found == source.sha256 else f"SHA-256 is {found}, not {source.sha256}"


def take(source: Source, folder: Path, target: Path) -> Path:
    """Copy a source from `folder` to `target`, compressed if it is not yet."""
    problems = []
    for name in dict.fromkeys((source.name, source.unpacked_name)):
        problem = problem_of(folder / name, source)
        if problem is None:
            content = (folder / name).read_bytes()
            with write_atomically(target / source.name) as copy:
                copy.write(content if name == source.name else gzip.compress(content, mtime=0))
            return target / source.name
        problems.append(f"{folder / name}: {problem}")
    raise DataError("; ".join(problems) + ". Leave out --from to download it.")


def download(source: Source, urls: tuple[str, ...], target: Path, progress: Progress) -> Path:
    """Download a source to the folder `target` from the first URL with the right content."""
    problems = []
    path = target / source.name
    for url in urls:
        partial = path.with_name(f"{source.name}.partial")
        try:
            _fetch(url + source.name, partial, progress)
            problem = problem_of(partial, source)
            if problem is None:
                partial.replace(path)
                return path
        except (urllib.error.URLError, OSError) as error:
            problem = str(error)
        finally:
            partial.unlink(missing_ok=True)
        problems.append(f"{url}{source.name}: {problem}")
        logger.warning(problems[-1])
    raise DataError(
        f"{source.name} could not be downloaded: {'; '.join(problems)}. Get it in another way and "
        "give its folder with --from."
    )


def _fetch(url: str, path: Path, progress: Progress) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "minicaffe"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer, path.open("wb") as file:
        length = answer.headers.get("Content-Length")
        total = int(length) if length else None
        done = 0
        while chunk := answer.read(_CHUNK_BYTES):
            file.write(chunk)
            done += len(chunk)
            progress(done, total)


def unpack_archive(path: Path) -> list[Path]:
    """Unpack the files of a ``.tar.gz`` beside it, without folders, and remove it."""
    unpacked = []
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as archive:
        for member in archive:
            content = archive.extractfile(member)
            if content is None:
                continue
            target = path.with_name(PurePosixPath(member.name).name)
            with write_atomically(target) as file:
                shutil.copyfileobj(content, file)
            unpacked.append(target)
    path.unlink()
    return unpacked
