"""List the nets that come with minicaffe, or copy one of them.

Without arguments the nets are listed. With a NAME, the prototxts and the readme of a net are copied
to DIR, by default models/NAME, which must not exist. The solver then refers to the net in DIR, and
writes its snapshots there; the databases that a net reads are those of its readme.

Example:
  minicaffe models
  minicaffe models lenet my_lenet
  minicaffe train --solver=my_lenet/lenet_solver.prototxt
"""

from __future__ import annotations

from pathlib import Path

from minicaffe.atomic_file import new_folder
from minicaffe.cli.flags import Flags, positional
from minicaffe.errors import UsageError, nearest
from minicaffe.shipped_files import shipped_folder

_README = "readme.md"


class ModelsFlags(Flags):
    """Flags of the command."""

    name: str | None = positional(nargs="?", metavar="NAME", help="net to copy")
    folder: str | None = positional(
        nargs="?", metavar="DIR", help="new folder (default: models/NAME)"
    )


def run(flags: ModelsFlags) -> int:
    """List, or copy."""
    root = shipped_folder("models")
    names = sorted(readme.parent.name for readme in root.glob(f"*/{_README}"))
    if flags.name is None:
        width = max(map(len, names))
        for name in names:
            print(f"{name:{width}}  {_title(root / name)}")
        return 0
    if flags.name not in names:
        raise UsageError(f'no net "{flags.name}". {nearest(flags.name, names)}')
    target = flags.folder or f"models/{flags.name}"
    copied = _copy(root / flags.name, target)
    print("\n".join(f"{target.rstrip('/')}/{name}" for name in copied))
    return 0


def _title(folder: Path) -> str:
    """Return the heading of a readme."""
    with (folder / _README).open(encoding="utf-8") as file:
        return file.readline().strip("# \n")


def _copy(source: Path, target: str) -> list[str]:
    """Copy the files of a net, with paths to the new folder; return their names."""
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    old, new = f"models/{source.name}/", f"{target.rstrip('/')}/"
    names = sorted(path.name for path in source.iterdir() if path.is_file())
    with new_folder(target, "folders of nets") as folder:
        for name in names:
            text = (source / name).read_text(encoding="utf-8")
            Path(folder, name).write_text(text.replace(old, new), encoding="utf-8")
    return names
