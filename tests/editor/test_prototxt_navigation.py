"""Documentation, definitions and symbols of a prototxt."""

import pytest
from prototxt_cursor import at_cursor

from minicaffe.editor.documentation import explain_at
from minicaffe.editor.navigation import definitions_at, file_at, symbols_of
from minicaffe.editor.outline import PrototxtOutline

NET = """
layer { name: "d" type: "Data" top: "data" include { phase: TRAIN } }
layer { name: "d" type: "Data" top: "data" include { phase: TEST } }
layer { name: "relu" type: "ReLU" bottom: "data" top: "data" }
"""


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("layer { pooling_param { kernel_s|ize: 3 } }", "**kernel_size**: uint32"),
        ("layer { pooling_param { poo|l: AVE } }", "**pool**: `MAX`, `AVE`, `STOCHASTIC`, default"),
        ("layer { pooling_param { pool: A|VE } }", "**AVE**: "),
        ('layer { type: "Convo|lution" }', "**Convolution**\n\n"),
        ('layer { type: "Convo|lution" }', "Shapes: `"),
        ('base_lr: 1\nlr_policy: "st|ep"', "**step**: base_lr * gamma"),
        ("layer { pooling_|param { } }", "**pooling_param**: PoolingParameter"),
        ("layers { blobs_l|r: 1 }", "**blobs_lr**: repeated float"),
    ],
)
def test_documentation(marked, expected):
    assert expected in explain_at(*at_cursor(marked)).text


@pytest.mark.parametrize(
    "marked",
    ['layer { name: "|a" }', "layer { unkn|own: 1 }", "|", 'layer { type: "N|o" }', "# b|"],
)
def test_no_documentation(marked):
    assert explain_at(*at_cursor(marked)) is None


def test_a_bottom_leads_to_the_tops_that_make_it():
    outline, offset = at_cursor(NET + 'layer { bottom: "da|ta" }')
    found = definitions_at(outline, offset)
    assert [outline.text[start:end] for start, end in found] == ["data", "data"]
    lines = [outline.text[:start].count("\n") for start, _ in found]
    assert lines == [1, 2], "one for each phase, and not the layer in place"
    assert definitions_at(*at_cursor(NET + 'layer { bottom: "oth|er" }')) == []
    assert definitions_at(*at_cursor(NET.replace('"relu"', '"re|lu"'))) == []


def test_a_path_leads_to_its_file(tmp_path):
    (tmp_path / "net.prototxt").touch()
    outline, offset = at_cursor('base_lr: 1 net: "net.|prototxt"')
    assert file_at(outline, offset, [tmp_path]) == tmp_path / "net.prototxt"
    assert file_at(outline, offset, []) is None


def test_symbols():
    text = NET + "layer { }"
    found = list(symbols_of(PrototxtOutline(text)))
    assert [(one.name, one.detail) for one in found] == [
        *(("d", "Data TRAIN"), ("d", "Data TEST"), ("relu", "ReLU"), ("(no name)", "")),
    ]
    assert text[found[2].start : found[2].end].startswith("layer {")
    assert text[found[2].start : found[2].end].endswith("}")
    assert text[found[2].name_start : found[2].name_end] == "relu"
    solver = list(symbols_of(PrototxtOutline("base_lr: 0.1\nstepvalue: [1, 2]\n")))
    assert [(one.name, one.detail) for one in solver] == [("base_lr", "0.1"), ("stepvalue", "1")]
