"""Caffe's file formats: message classes, prototxt, weights files and the upgrade of old forms."""

from __future__ import annotations

from pathlib import Path

from minicaffe.schema.minicaffe_pb2 import NetParameter, NetState, Phase
from minicaffe.schema.text import Parsed, format_prototxt, read_prototxt

__all__ = ["NetParameter", "NetSource", "NetState", "Phase", "format_prototxt", "read_net"]


class NetSource:
    """A net as read from a prototxt, with the places of its layers."""

    def __init__(self, parsed: Parsed[NetParameter]) -> None:
        self.parsed, self.param, self.path = parsed, parsed.message, parsed.path

    def where(self, index: int, field: str = "", k: int = 0) -> str:
        """Return ``file:line`` of a layer, or of one value of a field of it."""
        return self.parsed.where(*("layer", index, *((field, k) if field else ())))


def read_net(path: str | Path) -> NetSource:
    """Read a net."""
    return NetSource(read_prototxt(path, NetParameter))
