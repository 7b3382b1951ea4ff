"""Serialised messages whose arrays are read and written without copies."""

import numpy as np
import pytest
from google.protobuf.message import DecodeError

from minicaffe.schema.weights_pb2 import NetWeights, V1LayerWeights
from minicaffe.wire_format import Outline, length_delimited, read_varint


def made() -> NetWeights:
    net = NetWeights(name="n")
    net.layer.add(name="a").blobs.add(data=b"1234", num=7).shape.dim.extend([1, 300])
    net.layers.add(name="b").layer.blobs.add(double_data=bytes(300))
    return net


def test_contents_are_views_of_the_bytes_and_all_else_is_equal():
    net = made()
    data = net.SerializeToString()
    outline = Outline(NetWeights, data)
    [one], [two] = outline.message.layer[0].blobs, outline.message.layers[0].layer.blobs
    views = [outline.content(one.data), outline.content(two.double_data)]
    assert [bytes(view) for view in views] == [b"1234", bytes(300)]
    assert all(view.obj is data for view in views)
    assert not outline.content(one.diff)
    one.data, two.double_data = views[0].tobytes(), views[1].tobytes()
    assert outline.message == net


@pytest.mark.parametrize(
    "field",
    [
        *(b"\x2d" + bytes(4), 3 * (b"\x2d" + bytes(4)), b"\x2d" + bytes(4) + b"\x3d" + bytes(4)),
        *(b"\x99\x01" + bytes(8), 2 * (b"\x99\x01" + bytes(8)), b"\xa0\x06\x80\x01", b"\x5a\x01x"),
    ],
)
def test_unknown_fields_are_kept(field):
    data = field + made().SerializeToString() + field
    outline = Outline(NetWeights, data)
    assert outline.message.layer[0].name == "a"
    plain = NetWeights.FromString(data)
    outline.message.ClearField("layer")
    outline.message.ClearField("layers")
    plain.ClearField("layer")
    plain.ClearField("layers")
    assert outline.message.SerializeToString() == plain.SerializeToString()


def test_messages_that_are_not_complete():
    data = made().SerializeToString()
    for end in range(len(data)):
        is_complete = True
        try:
            NetWeights.FromString(data[:end])
        except DecodeError:
            is_complete = False
        if is_complete:
            Outline(NetWeights, data[:end])
        else:
            with pytest.raises(DecodeError):
                Outline(NetWeights, data[:end])


@pytest.mark.parametrize("data", [b"\x0d\x01", b"\x09\x01", b"\xff" * 12, b"\x0b\x0c", b"\x07"])
def test_damaged_messages(data):
    with pytest.raises(DecodeError):
        Outline(V1LayerWeights, data)


def test_a_field_is_written_as_protobuf_does():
    chunks = length_delimited(100, [b"abc", memoryview(np.zeros(200, np.uint8))])
    expected = NetWeights()
    expected.layer.add()
    field = b"".join(chunks)
    assert field[:2] == expected.SerializeToString()[:2]
    size, at = read_varint(memoryview(field), 2)
    assert (size, field[at:]) == (203, b"abc" + bytes(200))
