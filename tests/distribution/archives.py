"""Build the sdist, and from it the wheel; compare their files with those of the repository."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from minicaffe.native.build import INSTRUCTION_SETS

ROOT = Path(__file__).parents[2]
PACKAGES = ("minicaffe", "caffe", "models", "proto")
# Programs that write the nets of models/, which need the repository.
GENERATORS = ("models/*.py", "models/generator/*")
# What runs of the program and of its nets leave behind.
RESULTS = (
    *("__pycache__/*", "*.log", "*.caffemodel*", "*.solverstate*"),
    *("lstm_parity/*.h5", "lstm_parity/*.txt"),
    *("native_*.so", "sources.sha256"),
)
# The compiled C sources, which only the wheel has.
NATIVE = [f"minicaffe/native/native_{name}.so" for name in INSTRUCTION_SETS]
# Folders whose place in a wheel is another one (see minicaffe.shipped_files).
MOVED = ("models/", "proto/")
# Of the sdist alone; hatchling adds the first two.
AT_THE_TOP = (
    *("PKG-INFO", ".gitignore", "pyproject.toml", "hatch_build.py"),
    *("README.md", "LICENSE", "CHANGELOG.md"),
)
METADATA = ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")


class Archives(NamedTuple):
    """The files that pip installs from."""

    sdist: Path
    wheel: Path


def build(folder: Path, root: Path = ROOT) -> Archives:
    """Build both archives below a folder; the wheel sees nothing but the unpacked sdist."""
    sdist = _hatchling("sdist", root, folder)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    unpacked = folder / sdist.name.removesuffix(".tar.gz")
    return Archives(sdist, _hatchling("wheel", unpacked, folder))


def _hatchling(target: str, source: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, stderr=subprocess.DEVNULL)
    (path,) = folder.glob("*.tar.gz" if target == "sdist" else "*.whl")
    return path


def problems(archives: Archives, root: Path = ROOT) -> list[str]:
    """Return a line for each file that an archive lacks or should not have."""
    expected = expected_files(root)
    stem = archives.sdist.name.removesuffix(".tar.gz")
    with tarfile.open(archives.sdist) as sdist:
        in_sdist = {member.name.removeprefix(f"{stem}/") for member in sdist if member.isfile()}
    with zipfile.ZipFile(archives.wheel) as wheel:
        in_wheel = set(wheel.namelist())
    in_package = {f"minicaffe/{n}" if n.startswith(MOVED) else n for n in expected}
    in_package |= {*NATIVE, *(f"{stem}.dist-info/{name}" for name in METADATA)}
    return [
        *_differences(archives.sdist.name, in_sdist, expected | set(AT_THE_TOP)),
        *_differences(archives.wheel.name, in_wheel, in_package),
    ]


def expected_files(root: Path) -> set[str]:
    """Return the files of the repository that both archives contain, relative to it."""
    files = [path for top in PACKAGES for path in (root / top).rglob("*") if path.is_file()]
    names = [PurePosixPath(path.relative_to(root)) for path in files]
    excluded = (*GENERATORS, *RESULTS)
    return {str(name) for name in names if not any(name.match(pattern) for pattern in excluded)}


def _differences(archive: str, found: set[str], expected: set[str]) -> Iterator[str]:
    yield from (f"{archive}: lacks {name}" for name in sorted(expected - found))
    yield from (f"{archive}: should not contain {name}" for name in sorted(found - expected))
