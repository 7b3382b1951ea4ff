"""The language server in a process, asked by a client over its standard streams."""

import sys
from types import SimpleNamespace

import pytest

from minicaffe.cli.main import main

pytest.importorskip("pygls")
from language_client import LanguageClient

SNIPPETS = {"textDocument": {"completion": {"completionItem": {"snippetSupport": True}}}}
NET = """name: "그물"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 } }
"""


@pytest.fixture
def start(tmp_path):
    """A function that starts a client in an empty folder; its server is killed at the end."""
    clients = []

    def start_client(*flags, **options):
        clients.append(LanguageClient(tmp_path, *flags, **options))
        return clients[-1]

    yield start_client
    for client in clients:
        client.process.kill()
        client.process.communicate()


def test_a_session(start):
    client = start("--stdio", capabilities=SNIPPETS)
    assert client.abilities["hoverProvider"]
    uri = client.open("net.prototxt", NET)
    assert client.diagnostics(uri) == []

    place = {"line": 3, "character": 24}
    client.change(uri, {"range": {"start": place, "end": place}, "text": "axis: 5 bi "})
    found = client.at("completion", uri, 3, 34)
    (item,) = [item for item in found["items"] if item["label"] == "bias_term"]
    assert item["textEdit"] == {
        "range": {"start": {"line": 3, "character": 32}, "end": {"line": 3, "character": 34}},
        "newText": "bias_term: $0",
    }
    assert item["detail"] == "bool, default true"
    assert item["documentation"]["kind"] == "markdown"

    whole = NET.replace("num_output", "axis: 5 num_output")
    client.change(uri, {"text": whole})
    (problem,) = client.diagnostics(uri)
    assert "axis: 5 does not exist" in problem["message"]
    assert problem["range"]["start"]["line"] == 2
    assert (problem["severity"], problem["source"]) == (1, "minicaffe")

    assert "fully connected layer" in client.at("hover", uri, 2, 30)["contents"]["value"]
    (target,) = client.at("definition", uri, 2, 49)
    assert target["range"]["start"] == {"line": 1, "character": 38}
    symbols = client.ask("textDocument/documentSymbol", {"textDocument": {"uri": uri}})
    assert [(s["name"], s["detail"]) for s in symbols[1:]] == [
        ("x", "Input"),
        ("ip", "InnerProduct"),
    ]
    assert client.stop() == (0, "")


def test_positions_count_units_of_utf_16(start):
    client = start()
    uri = client.open("net.prototxt", 'layer { name: "😀" typ }')
    found = client.at("completion", uri, 0, 22)
    (item,) = [item for item in found["items"] if item["label"] == "type"]
    assert item["textEdit"]["range"]["start"]["character"] == 19
    assert item["textEdit"]["newText"] == 'type: "', "the client does not know snippets"


def test_paths_begin_in_the_workspace_and_beside_the_file(start, tmp_path):
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "net.prototxt").write_text(NET)
    client = start()
    uri = client.open("nets/solver.prototxt", 'base_lr: 1\nnet: ""\n')
    found = client.at("completion", uri, 1, 6)
    assert [item["label"] for item in found["items"]] == ["nets", "net.prototxt"]
    client.change(uri, {"text": 'base_lr: 1\nnet: "nets/net.prototxt"\n'})
    (target,) = client.at("definition", uri, 1, 10)
    assert target["uri"] == (tmp_path / "nets" / "net.prototxt").as_uri()


def test_a_closed_file_has_no_problems(start):
    client = start()
    uri = client.open("net.prototxt", "layer {")
    assert len(client.diagnostics(uri)) == 1
    client.tell("textDocument/didClose", {"textDocument": {"uri": uri}})
    client.ask("shutdown", None)
    assert client.notifications[-1]["params"] == {"uri": uri, "diagnostics": []}


def test_an_editor_that_is_gone_ends_the_server(start):
    client = start()
    client.open("net.prototxt", NET)
    client.leave()
    assert client.process.wait(timeout=60) == 0


def test_a_terminal_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    assert main(["language_server"]) == 2
    assert "standard input is a terminal; text editors start this" in capsys.readouterr().err


def test_the_package_is_missing(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    monkeypatch.setitem(sys.modules, "pygls.lsp.server", None)
    monkeypatch.delitem(sys.modules, "minicaffe.editor.server", raising=False)
    assert main(["language_server"]) == 1
    assert "pip install 'minicaffe[editor]'" in capsys.readouterr().err
