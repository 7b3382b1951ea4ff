"""The pages of docs/layers are what docs/generate_layers.py writes."""

import importlib.util
from pathlib import Path

import pytest

from minicaffe.editor.manual import read_comments

GENERATOR = Path(__file__).parents[1] / "docs" / "generate_layers.py"


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("generate_layers", GENERATOR)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_up_to_date(generator):
    wanted = generator.pages()
    stale = [path.name for path, text in wanted.items() if path.read_text() != text]
    extra = [path.name for path in generator.PAGES.glob("*.md") if path not in wanted]
    assert not stale + extra, "run: python docs/generate_layers.py"


def test_every_type_documents_its_shapes_and_settings(generator):
    from minicaffe.layers import LAYERS

    for name, layer in LAYERS.items():
        assert "Shapes: " in (layer.__doc__ or ""), f"{name}: a line 'Shapes: ...' is missing"
        for field in generator.message_names(layer):
            assert f"## `{field}`" in generator.page(name), name


def test_comments_are_found_through_nested_messages():
    text = """
    // Outer.
    message A {
      // Which.
      enum Kind {
        // One.
        ONE = 1;
      }
      // A field
      // on two lines.
      optional Kind kind = 3 [default = ONE];
      repeated float bare = 4;
    }
    """
    comments = read_comments(text)
    assert comments["A"] == "Outer."
    assert comments["A.kind"] == "A field on two lines."
    assert comments["A.Kind.ONE"] == "One."
    assert comments["A.bare"] == ""
