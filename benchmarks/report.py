"""The section of docs/performance.md for one instruction set: heading, versions, table, notes."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.machine import instruction_set, processor
from benchmarks.peer import PACKAGES
from benchmarks.table import HEAD, Row
from minicaffe import __version__


class Report:
    """What a run of the benchmarks measured, and where.

    Parameters
    ----------
    backend : OneDnnBackend
    peers : mapping of str to str
        The versions of the libraries that minicaffe is compared with, by name.
    commit : str
    """

    def __init__(self, backend: Any, peers: Mapping[str, str], commit: str) -> None:
        self.isa = instruction_set(backend.engine)
        self.facts: dict[str, Any] = {
            "date": datetime.date.today().isoformat(),
            "processor": processor(),
            "isa": self.isa,
            "threads": backend.threads,
            "python": platform.python_version(),
            "minicaffe": __version__,
            "commit": commit,
            "numpy": np.__version__,
            "onednn": ".".join(map(str, backend.engine.lib.version)),
            "peers": dict(peers),
        }
        self.rows: list[Row] = []

    def head(self) -> str:
        """Return the heading, a sentence on the machine and the versions, and the table's head."""
        facts, peers = self.facts, self.facts["peers"]
        threads = "1 thread" if facts["threads"] == 1 else f"{facts['threads']} threads"
        versions = [f"{name} {version}" for name, version in peers.items()]
        sentences = [
            f"{facts['processor']}, {threads}, {facts['date']}.",
            f"minicaffe at commit {facts['commit']}, oneDNN {facts['onednn']}, "
            f"Python {facts['python']}, NumPy {facts['numpy']}.",
            f"Peers: {', '.join(versions) or 'none'}.",
        ]
        missing = [name for name in PACKAGES if name not in peers]
        if peers and missing:
            sentences.append(f"Not installed: {', '.join(missing)}.")
        return f"### {self.isa}\n\n{' '.join(sentences)}\n\n{HEAD}"

    def footnotes(self) -> str:
        """Return the notes below the table: which peers used a wider instruction set."""
        isas: dict[str, str] = {}
        for row in self.rows:
            isas |= row.details.get("isa", {})
        wider = [peer for peer, isa in isas.items() if isa == "AVX-512"]
        if self.isa != "AVX2" or not wider:
            return ""
        others = [peer for peer in isas if peer not in wider]
        limited = f" {', '.join(others)} used AVX2." if others else ""
        return (
            f"\nNot limited to AVX2, because there is no setting for it: {', '.join(wider)}. The "
            f"ratios do not count these; their times are in the table.{limited}"
        )

    def json(self) -> dict[str, Any]:
        """Return everything for the JSON file."""
        return {**self.facts, "rows": [row.json() for row in self.rows]}
