"""Generate docs/layers/: a page for each layer type, from docstrings and the schema's comments.

    python docs/generate_layers.py            # write the pages
    python docs/generate_layers.py --check    # exit 1 if a page is not what would be written

The example on a page is the type's first test case, which the generic suite runs.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
import textwrap
from pathlib import Path

from google.protobuf.descriptor import Descriptor

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "layers"
sys.path.insert(0, str(ROOT / "tests"))

from cases import CASES  # noqa: E402 - the tests are not an installed package
from minicaffe.editor.manual import default_text, schema_comments, type_text  # noqa: E402
from minicaffe.layers import LAYERS, Layer  # noqa: E402
from minicaffe.layers.batch_layer import ImageBatchLayer  # noqa: E402
from minicaffe.layers.loss import NormalizedLossLayer  # noqa: E402
from minicaffe.layers.quantized import QuantizedLayer  # noqa: E402
from minicaffe.layers.segmentation.label_map_layer import LabelMapLayer  # noqa: E402
from minicaffe.schema import LayerParameter  # noqa: E402
from minicaffe.schema.locations import repeated_fields  # noqa: E402

# Sections of numpydoc, as headings of a page.
SECTION = re.compile(r"^(Notes|References|Examples)\n-+\n", re.MULTILINE)


def settings_table(message: Descriptor) -> str:
    """Return a Markdown table of a message's fields: name, type, default, meaning."""
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for field in message.fields:
        name = type_text(field)
        many = "repeated " if field.name in repeated_fields(message) else ""
        meaning = schema_comments().get(f"{message.name}.{field.name}", "").replace("|", "\\|")
        rows.append(f"| `{field.name}` | {many}{name} | {default_text(field)} | {meaning} |")
    return "\n".join(rows)


def message_names(layer: type[Layer]) -> list[str]:
    """Return the fields of LayerParameter whose messages a type reads."""
    names = [layer.param_field] if layer.param_field else []
    if issubclass(layer, NormalizedLossLayer):
        names.append("loss_param")
    if issubclass(layer, ImageBatchLayer | LabelMapLayer):
        names.append("transform_param")
    if issubclass(layer, QuantizedLayer):
        names.append("quantization_param")
    return names


def example(name: str) -> str:
    """Return the first test case of a type as a prototxt layer; empty if it has none."""
    if name not in CASES:
        return ""
    case = CASES[name][0]
    lines = ['name: "example"', f'type: "{name}"']
    lines += [f'bottom: "{bottom}"' for bottom in case.bottoms]
    lines += [f'top: "{top}"' for top in case.tops]
    lines += textwrap.dedent(case.settings).strip().splitlines()
    body = textwrap.indent("\n".join(lines), "  ")
    shapes = [f"`{b}` {s}" for b, s in case.shapes.items()]
    note = f"\n\nA test runs it with {', '.join(shapes)}." if shapes else "\n\nA test runs it."
    return f"```\nlayer {{\n{body}\n}}\n```{note}"


def page(name: str) -> str:
    """Return the page of a layer type."""
    layer = LAYERS[name]
    head, *rest = SECTION.split(inspect.cleandoc(layer.__doc__ or ""))
    parts = [f"# {name}", re.sub(r"^Shapes: (.*)$", r"Shapes: `\1`", head.strip(), flags=re.M)]
    for title, text in zip(rest[::2], rest[1::2], strict=True):
        parts += [f"## {title}", text.strip()]
    for field in message_names(layer):
        message = LayerParameter.DESCRIPTOR.fields_by_name[field].message_type
        parts += [f"## `{field}`", settings_table(message)]
    if text := example(name):
        parts += ["## Example", text]
    return "\n\n".join(parts) + "\n"


def pages() -> dict[Path, str]:
    """Return the text of every page, the index included."""
    result = {PAGES / f"{name}.md": page(name) for name in sorted(LAYERS)}
    lines = ["# Layer types", "", "| type | what it does |", "|---|---|"]
    for name in sorted(LAYERS):
        first = inspect.cleandoc(LAYERS[name].__doc__ or "").partition("\n")[0]
        lines.append(f"| [{name}]({name}.md) | {first} |")
    result[PAGES / "README.md"] = "\n".join(lines) + "\n"
    return result


def main() -> int:
    """Write the pages, or list those that are stale."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    args = parser.parse_args()
    wanted = pages()
    extra = set(PAGES.glob("*.md")) - set(wanted)
    stale = sorted(p for p, text in wanted.items() if not p.exists() or p.read_text() != text)
    if args.check:
        for path in [*stale, *sorted(extra)]:
            print(f"stale: {path.relative_to(ROOT)}")
        return 1 if stale or extra else 0
    PAGES.mkdir(exist_ok=True)
    for path in extra:
        path.unlink()
    for path in stale:
        path.write_text(wanted[path])
    print(f"{len(stale)} of {len(wanted)} pages written, {len(extra)} removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
