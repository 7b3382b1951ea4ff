"""Compile the C functions when pip builds a wheel or makes an editable installation."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILD = "minicaffe/native/build.py"


class NativeLibraryHook(BuildHookInterface):  # type: ignore[type-arg]
    """Put the compiled functions into the wheel; without a compiler the wheel is pure Python."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name the files and the platform of the wheel."""
        root = Path(self.root)
        native = runpy.run_path(str(root / BUILD))
        try:
            paths = native["compile_sources"]()
        except native["CannotCompile"] as reason:
            print(f"minicaffe is installed without C functions: {reason}", file=sys.stderr)
            return
        if version == "editable":
            return
        build_data["pure_python"] = False
        # The libraries are called through ctypes, so they serve every version of Python.
        build_data["tag"] = "py3-none-linux_x86_64"
        build_data["artifacts"] += [str(path.relative_to(root)) for path in paths]
