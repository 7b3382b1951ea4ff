"""Generate the tables of docs/forks.md, from the registry of layers and the schema.

python docs/generate_forks.py            # write the tables
python docs/generate_forks.py --check    # exit 1 if they are not what would be written
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from minicaffe.layers import LAYERS
from minicaffe.schema.fork_names import FORKS, types_of
from minicaffe.schema.minicaffe_pb2 import LayerParameter, NetParameter, SolverParameter
from minicaffe.schema.without_effect import marked_fields

PAGE = Path(__file__).resolve().parent / "forks.md"


def layer_table() -> str:
    """Return the table of the forks' layer types; those without a page are not computed."""
    lines = ["| fork | repository | layer types |", "|---|---|---|"]
    for fork, repository in FORKS.items():
        types = [f"[{t}](layers/{t}.md)" if t in LAYERS else f"*{t}*" for t in types_of(fork)]
        lines.append(f"| {fork} | {repository} | {', '.join(types)} |")
    return "\n".join(lines)


def field_table() -> str:
    """Return the table of the fields without effect."""
    lines = ["| message | fields |", "|---|---|"]
    for message, fields in marked_fields(SolverParameter, NetParameter, LayerParameter).items():
        lines.append(f"| `{message}` | {', '.join(f'`{field}`' for field in fields)} |")
    return "\n".join(lines)


def page(text: str) -> str:
    """Return the page with new tables."""
    for name, table in (("layers", layer_table()), ("fields", field_table())):
        marks = f"(<!-- {name} -->\n).*?(<!-- end -->)"
        text = re.sub(marks, lambda m, t=table: f"{m[1]}{t}\n{m[2]}", text, flags=re.DOTALL)
    return text


def main() -> int:
    """Write the page, or say that it is stale."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    check = parser.parse_args().check
    old = PAGE.read_text(encoding="utf-8")
    new = page(old)
    if check:
        return int(old != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
