"""Texts of the tests of the editor: a bar marks the cursor."""

from minicaffe.editor.completion import complete_at
from minicaffe.editor.outline import PrototxtOutline


def at_cursor(marked, path="net.prototxt"):
    """Return the outline of a text without its bar, and the offset of the bar."""
    before, bar, after = marked.partition("|")
    assert bar
    return PrototxtOutline(before + after, path), len(before)


def proposed(marked, path="net.prototxt", folders=()):
    """Return the proposals at the bar by label, the first ones first."""
    found = complete_at(*at_cursor(marked, path), folders)
    return {item.label: item for item in sorted(found.items, key=lambda item: item.rank)}


def completed(marked, label, path="net.prototxt", folders=()):
    """Return the text after a proposal has been chosen, with the bar where the cursor is."""
    outline, offset = at_cursor(marked, path)
    found = complete_at(outline, offset, folders)
    (item,) = [item for item in found.items if item.label == label]
    text = item.text if "$0" in item.text else f"{item.text}$0"
    return outline.text[: found.start] + text.replace("$0", "|") + outline.text[found.end :]
