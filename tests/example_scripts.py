"""Run the scripts of data/ that write the data of the example nets."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from zoo import ROOT


def run_script(path: Path, *arguments: object) -> None:
    """Run the main function of a script with arguments of the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        spec = importlib.util.spec_from_file_location("script", path)
        module = importlib.util.module_from_spec(spec)
        patch.setitem(sys.modules, "script", module)
        spec.loader.exec_module(module)
        module.main()


def write_scenes(folder: Path, *arguments: object) -> None:
    """Write scenes of 120 x 120 pixels and what belongs to them."""
    script = ROOT / "data" / "fashion-mnist" / "write_scenes.py"
    run_script(script, folder, "--size", 120, *arguments)
