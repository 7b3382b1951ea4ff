"""The language server: prototxt's answers in the Language Server Protocol, version 3.17.

https://microsoft.github.io/language-server-protocol/specifications/lsp/3.17/specification/

The package pygls reads and writes the messages and keeps the texts. Positions in the protocol count
UTF-16 units by default; everything else here counts characters.
"""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path
from pygls.workspace import ServerTextPosition, TextDocument

from minicaffe import __version__
from minicaffe.editor.completion import Completion, Kind, Proposals, complete_at
from minicaffe.editor.diagnostics import Diagnosis, diagnose
from minicaffe.editor.documentation import explain_at
from minicaffe.editor.navigation import definitions_at, file_at, symbols_of
from minicaffe.editor.outline import PrototxtOutline

# Texts are checked when the user has not typed for so long.
_PAUSE_S = 0.3
_KINDS: dict[Kind, types.CompletionItemKind] = {
    "field": types.CompletionItemKind.Property,
    "block": types.CompletionItemKind.Struct,
    "value": types.CompletionItemKind.EnumMember,
    "type": types.CompletionItemKind.Class,
    "blob": types.CompletionItemKind.Variable,
    "file": types.CompletionItemKind.File,
    "folder": types.CompletionItemKind.Folder,
}
_SEVERITIES = {
    "error": types.DiagnosticSeverity.Error,
    "warning": types.DiagnosticSeverity.Warning,
}


class PrototxtServer(LanguageServer):
    """A language server of prototxt, for one editor at its standard streams."""

    def __init__(self) -> None:
        super().__init__("minicaffe", __version__)
        self._checks = asyncio.Lock()
        completion = types.CompletionOptions(trigger_characters=['"', ":", "/"])
        self.feature(types.INITIALIZED)(_enter_workspace)
        self.feature(types.TEXT_DOCUMENT_COMPLETION, completion)(_complete)
        self.feature(types.TEXT_DOCUMENT_HOVER)(_hover)
        self.feature(types.TEXT_DOCUMENT_DEFINITION)(_define)
        self.feature(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL)(_list_symbols)
        self.feature(types.TEXT_DOCUMENT_DID_OPEN)(_check_opened)
        self.feature(types.TEXT_DOCUMENT_DID_CHANGE)(_check_changed)
        self.feature(types.TEXT_DOCUMENT_DID_CLOSE)(_forget)

    def document(self, uri: str) -> TextDocument:
        """Return a text that the editor has open."""
        return self.workspace.get_text_document(uri)

    def folders(self, document: TextDocument) -> list[Path]:
        """Return where paths in a text may begin: in the workspace, or beside the file."""
        roots = [to_fs_path(folder.uri) for folder in self.workspace.folders.values()]
        found = [self.workspace.root_path, *roots, str(Path(document.path).parent)]
        return [Path(path) for path in dict.fromkeys(found) if path]

    @property
    def has_snippets(self) -> bool:
        """Whether the editor places the cursor inside of an inserted text."""
        text = self.client_capabilities.text_document
        completion = text.completion if text is not None else None
        item = completion.completion_item if completion is not None else None
        return item is not None and bool(item.snippet_support)

    async def check(self, uri: str) -> None:
        """Show the problems of a text, if it does not change or close meanwhile."""
        document = self.document(uri)
        version, text = document.version, document.source
        async with self._checks:
            found = await asyncio.to_thread(diagnose, text, Path(document.path).name)
        if self.is_current(uri, version):
            ranges = TextRanges(document)
            shown = [_diagnostic(ranges, one) for one in found]
            self.text_document_publish_diagnostics(
                types.PublishDiagnosticsParams(uri, shown, version)
            )

    def is_current(self, uri: str, version: int | None) -> bool:
        """Return whether a text is open and has a version."""
        document = self.workspace.text_documents.get(uri)
        return document is not None and document.version == version


class TextRanges:
    """Converts offsets in a text to positions of the protocol."""

    def __init__(self, document: TextDocument) -> None:
        self._codec = document.position_codec
        self._lines = document.lines
        self._starts = [0, *accumulate(map(len, self._lines))]

    def position_at(self, offset: int) -> types.Position:
        """Return the line and the column of an offset, counted from 0."""
        line = bisect_right(self._starts, offset) - 1
        if line == len(self._lines) and line and not self._lines[-1].endswith(("\n", "\r")):
            line -= 1  # the end of a text whose last line has no end
        place = ServerTextPosition(line, offset - self._starts[line])
        return self._codec.position_to_client_units(self._lines, place)

    def between(self, start: int, end: int) -> types.Range:
        """Return the range between two offsets."""
        return types.Range(self.position_at(start), self.position_at(end))


async def _check_opened(server: PrototxtServer, params: types.DidOpenTextDocumentParams) -> None:
    await server.check(params.text_document.uri)


async def _check_changed(server: PrototxtServer, params: types.DidChangeTextDocumentParams) -> None:
    """Check a text when the user pauses."""
    uri, version = params.text_document.uri, params.text_document.version
    await asyncio.sleep(_PAUSE_S)
    if server.is_current(uri, version):
        await server.check(uri)


def _forget(server: PrototxtServer, params: types.DidCloseTextDocumentParams) -> None:
    empty = types.PublishDiagnosticsParams(params.text_document.uri, [])
    server.text_document_publish_diagnostics(empty)


def _enter_workspace(server: PrototxtServer, params: types.InitializedParams) -> None:
    """Change to the folder that is open: paths in prototxt are relative to where a program runs."""
    root = server.workspace.root_path
    if root is not None and Path(root).is_dir():
        os.chdir(root)


def _diagnostic(ranges: TextRanges, found: Diagnosis) -> types.Diagnostic:
    return types.Diagnostic(
        range=ranges.between(found.start, found.end),
        message=found.message,
        severity=_SEVERITIES[found.severity],
        source="minicaffe",
    )


def _complete(server: PrototxtServer, params: types.CompletionParams) -> types.CompletionList:
    document = server.document(params.text_document.uri)
    offset = document.offset_at_position(params.position)
    outline = PrototxtOutline(document.source, document.path)
    found = complete_at(outline, offset, server.folders(document))
    where = TextRanges(document).between(found.start, found.end)
    ordered = sorted(found.items, key=lambda item: item.rank)
    items = [_item(n, item, where, server.has_snippets) for n, item in enumerate(ordered)]
    return types.CompletionList(is_incomplete=_is_path(found), items=items)


def _is_path(found: Proposals) -> bool:
    """Return whether the list is that of one folder, so that another follows behind a slash."""
    return any(item.kind in ("file", "folder") for item in found.items)


def _item(
    number: int, item: Completion, where: types.Range, has_snippets: bool
) -> types.CompletionItem:
    text = item.text
    is_snippet = has_snippets and "$0" in text
    if not is_snippet:
        text = text.partition("$0")[0].removesuffix("\n  ")
    return types.CompletionItem(
        label=item.label,
        kind=_KINDS[item.kind],
        detail=item.detail or None,
        documentation=_markdown(item.documentation) if item.documentation else None,
        sort_text=f"{number:05d}",
        filter_text=item.label,
        text_edit=types.TextEdit(where, text),
        insert_text_format=(
            types.InsertTextFormat.Snippet if is_snippet else types.InsertTextFormat.PlainText
        ),
        tags=[types.CompletionItemTag.Deprecated] if item.is_outdated else None,
    )


def _markdown(text: str) -> types.MarkupContent:
    return types.MarkupContent(types.MarkupKind.Markdown, text)


def _hover(server: PrototxtServer, params: types.HoverParams) -> types.Hover | None:
    document = server.document(params.text_document.uri)
    outline = PrototxtOutline(document.source, document.path)
    found = explain_at(outline, document.offset_at_position(params.position))
    if found is None:
        return None
    where = TextRanges(document).between(found.start, found.end)
    return types.Hover(_markdown(found.text), where)


def _define(server: PrototxtServer, params: types.DefinitionParams) -> list[types.Location]:
    document = server.document(params.text_document.uri)
    outline = PrototxtOutline(document.source, document.path)
    offset = document.offset_at_position(params.position)
    file = file_at(outline, offset, server.folders(document))
    if file is not None:
        beginning = types.Position(0, 0)
        uri = from_fs_path(str(file.resolve()))
        return [types.Location(uri, types.Range(beginning, beginning))] if uri else []
    ranges = TextRanges(document)
    spans = definitions_at(outline, offset)
    return [types.Location(document.uri, ranges.between(*span)) for span in spans]


def _list_symbols(
    server: PrototxtServer, params: types.DocumentSymbolParams
) -> list[types.DocumentSymbol]:
    document = server.document(params.text_document.uri)
    ranges = TextRanges(document)
    return [
        types.DocumentSymbol(
            name=found.name,
            detail=found.detail,
            kind=types.SymbolKind.Class,
            range=ranges.between(found.start, found.end),
            selection_range=ranges.between(found.name_start, found.name_end),
        )
        for found in symbols_of(PrototxtOutline(document.source, document.path))
    ]
