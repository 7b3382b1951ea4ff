"""Main memory that this process can have at most: of the machine, its cgroup and its limits."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_PROC = Path("/proc")
_KIB = 1024


def most_bytes() -> int:
    """Return how much memory this process can hold at most, what it holds now included.

    A larger demand certainly cannot be met: the result counts the page cache and the swap space as
    available. It is huge where the system does not tell (not Linux).
    """
    limits = [*_machine(), *_cgroups(), *_resource_limits()]
    return min(limits, default=sys.maxsize)


def _machine() -> Iterator[int]:
    memory, own = _fields(_PROC / "meminfo"), _fields(_PROC / "self" / "status")
    if "MemAvailable" in memory:
        used = own.get("VmRSS", 0) + own.get("VmSwap", 0)
        yield (memory["MemAvailable"] + memory.get("SwapFree", 0) + used) * _KIB


def _fields(path: Path) -> dict[str, int]:
    """Return the numbers of a file of lines such as "VmRSS:   123 kB"; {} if there is none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return {}
    words = [line.split() for line in lines]
    return {w[0].rstrip(":"): int(w[1]) for w in words if len(w) > 1 and w[1].isdigit()}


def _resource_limits() -> Iterator[int]:
    """Yield the limits of `ulimit -v` and `ulimit -d`."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY:
            yield limit


def _cgroups() -> Iterator[int]:
    """Yield the memory that each cgroup of the process, and each one above it, leaves for it."""
    try:
        lines = (_PROC / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            yield from _tree(_CGROUPS, path, "memory.max", "")
        elif "memory" in controllers.split(","):
            yield from _tree(_CGROUPS / "memory", path, "memory.limit_in_bytes", "total_")


def _tree(root: Path, path: str, limit_file: str, prefix: str) -> Iterator[int]:
    folder = Path(os.path.normpath(f"{root}/{path}"))
    own = _fields(_PROC / "self" / "status").get("VmRSS", 0) * _KIB
    swap = _fields(_PROC / "meminfo").get("SwapFree", 0) * _KIB
    for group in (folder, *folder.parents):
        if not group.is_relative_to(root):
            return
        try:
            limit = int((group / limit_file).read_text())
        except (OSError, ValueError):  # "max", or the root, which has no limit
            continue
        used = _fields(group / "memory.stat")
        held = sum(used.get(f"{prefix}{kind}", 0) for kind in ("anon", "rss", "shmem"))
        yield limit - max(0, held - own) + swap
