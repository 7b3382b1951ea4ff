"""Check of the logs of a LevelDB, whose missing ends the library reads as nothing.

LevelDB takes a log that ends inside a record for that of a process that was killed, and drops the
rest. For a database that is only read, it is a copy or a write that was cut off. The format is in
LevelDB's doc/log_format.md: blocks of 32 KiB with records of checksum, length, type and data.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

_BLOCK_BYTES = 32 << 10
_HEADER = struct.Struct("<IHB")  # checksum, length, type
_BATCH = struct.Struct("<QI")  # sequence number, number of records
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_LOG = re.compile(r"\d+\.log|MANIFEST-\d+")


def broken_log(folder: str) -> str:
    """Return which log of a LevelDB ends inside a record and what precedes it; "" if none does."""
    for path in sorted(Path(folder).iterdir()):
        if _LOG.fullmatch(path.name) and path.is_file():
            content = path.read_bytes()
            n_records, is_whole = count_log_records(content)
            if not is_whole:
                found = f"{path.name}, {len(content)} bytes, ends inside a record"
                kept = f"; {n_records} records precede it" if path.suffix == ".log" else ""
                return found + kept
    return ""


def logs_with_records(folder: str) -> list[str]:
    """Return the names of the logs of a LevelDB that hold records."""
    return [path.name for path in sorted(Path(folder).glob("*.log")) if path.stat().st_size]


def count_log_records(content: bytes) -> tuple[int, bool]:
    """Return the number of database records in a log, and whether it ends with a whole one."""
    at, n_records, is_inside = 0, 0, False
    while at < len(content):
        left = _BLOCK_BYTES - at % _BLOCK_BYTES
        if left < _HEADER.size:  # too short for a record
            at += left
            continue
        if len(content) - at < _HEADER.size:
            return n_records, False
        _, length, kind = _HEADER.unpack_from(content, at)
        begin, end = at + _HEADER.size, at + _HEADER.size + length
        is_next = kind in ((_MIDDLE, _LAST) if is_inside else (_FULL, _FIRST))
        if not is_next or length > left - _HEADER.size or end > len(content):
            return n_records, False
        if not is_inside and length >= _BATCH.size:
            n_records += _BATCH.unpack_from(content, begin)[1]
        is_inside = kind in (_FIRST, _MIDDLE)
        at = end
    return n_records, not is_inside
