"""The command line of scripts/check_package."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from distribution.archives import build, problems
from distribution.installed_demo import InstalledDemo
from distribution.interpreters import find_interpreter

VERSIONS = ("3.11", "3.12", "3.13")


def main() -> int:
    """Check what the arguments ask for; return 1 if something is wrong."""
    parser = argparse.ArgumentParser(
        prog="scripts/check_package",
        description="Build sdist and wheel, check their files, and run the demo from the wheel, "
        "without extras, in each Python that is found.",
    )
    parser.add_argument(
        "versions", nargs="*", default=VERSIONS, metavar="VERSION", help="default: all"
    )
    versions = parser.parse_args().versions
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        archives = build(folder)
        found = problems(archives)
        sizes = ", ".join(f"{path.name} {path.stat().st_size >> 10:,} KiB" for path in archives)
        print("\n".join(found) or f"{sizes}: the files are those of the repository")
        # Mostly downloads and unpacking, which overlap.
        with ThreadPoolExecutor(max_workers=2) as pool:
            lines = pool.map(lambda version: _check(version, archives.wheel, folder), versions)
            results = [_printed(line) for line in lines]
    return int(bool(found) or "failed" in results or "passed" not in results)


def _printed(result: tuple[str, str]) -> str:
    print(result[1], flush=True)
    return result[0]


def _check(version: str, wheel: Path, parent: Path) -> tuple[str, str]:
    """Run the demo in one Python: "passed", "failed" or "missing", and a line about it."""
    interpreter = find_interpreter(version)
    if interpreter is None:
        return "missing", f"Python {version}: not found, not checked"
    folder = parent / version
    folder.mkdir()
    start = time.monotonic()
    try:
        accuracy = InstalledDemo(interpreter, wheel, folder).run()
    except RuntimeError as error:
        return "failed", f"Python {version} ({interpreter}): {error}"
    seconds = time.monotonic() - start
    return "passed", (
        f"Python {version} ({interpreter}): wheel installed without extras, demo run, accuracy "
        f"{accuracy:.2f}, {seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())
