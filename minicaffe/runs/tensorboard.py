"""Event files of TensorBoard: the metrics of a run as scalars.

A file consists of records: length (uint64), its checksum, the data, their checksum. Numbers are
little-endian; the checksum is CRC-32C, rotated by 15 bits to the right, plus a constant. The data
are Event messages of TensorFlow (event.proto, summary.proto).
"""

from __future__ import annotations

import platform
import struct
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import BinaryIO

from minicaffe.runs.metrics import Value

_POLYNOMIAL = 0x82F63B78  # Castagnoli's, with its bits reversed
_MASK = 0xA282EAD8
_VERSION = b"brain.Event:2"
# Entries of a row of metrics that are no scalars.
_LABELS = ("kind", "iteration", "time", "net", "outputs")
_VARINT, _DOUBLE, _BYTES, _FLOAT = 0, 1, 2, 5  # wire types


class EventFile:
    """A new event file, to which rows of metrics are appended.

    Parameters
    ----------
    folder : Path
        The run folder.

    Raises
    ------
    OSError
        If the file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        now = time.time()
        name = f"events.out.tfevents.{now:.6f}.{platform.node()}"
        self._file: BinaryIO = (folder / name).open("wb", buffering=0)
        self._file.write(_record(_field(1, _DOUBLE, now) + _field(3, _BYTES, _VERSION)))

    def add(self, row: dict[str, Value]) -> None:
        """Append the numbers of a row of metrics, named "train/loss", "test/accuracy", ...

        Raises
        ------
        OSError
            If they cannot be written.
        """
        summary = b"".join(
            _field(1, _BYTES, _field(1, _BYTES, tag.encode()) + _field(2, _FLOAT, value))
            for tag, value in _scalars(row)
        )
        iteration = row["iteration"]
        step = iteration if isinstance(iteration, int) else 0
        event = _field(1, _DOUBLE, time.time()) + _field(2, _VARINT, step)
        self._file.write(_record(event + _field(5, _BYTES, summary)))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _scalars(row: dict[str, Value]) -> Iterator[tuple[str, float]]:
    """Yield the names and values of the numbers in a row."""
    kind, net, outputs = row["kind"], row.get("net"), row["outputs"]
    for name, value in row.items():
        if name not in _LABELS and isinstance(value, int | float):
            yield f"{kind}/{name}", float(value)
    for name, output in outputs.items() if isinstance(outputs, dict) else ():
        if output is not None:
            # The loss of a training net is the smoothed one, which `row` has under this name.
            prefix = "train/output " if kind == "train" else "test/"
            yield f"{prefix}{name}{f'#{net}' if net else ''}", output


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF)


@cache
def _table() -> tuple[int, ...]:
    """Return the CRC of each byte."""
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


def _field(number: int, wire_type: int, value: float | bytes) -> bytes:
    """Return a field of a protobuf message."""
    head = _varint(number << 3 | wire_type)
    if isinstance(value, bytes):
        return head + _varint(len(value)) + value
    if wire_type == _VARINT:
        return head + _varint(int(value))
    return head + struct.pack("<d" if wire_type == _DOUBLE else "<f", value)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
