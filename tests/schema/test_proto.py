"""The schema contains Caffe's, the committed classes equal it, and other packages can coexist."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from contextlib import nullcontext
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from minicaffe.schema import common_pb2, forks_pb2, minicaffe_pb2, weights_pb2

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "schema"
TYPES = {
    getattr(FieldDescriptor, f"TYPE_{name.upper()}"): name
    for name in ("int32", "int64", "uint32", "float", "double", "bool", "string", "bytes")
}


def rows(name: str) -> list[dict[str, str]]:
    with (GOLDEN / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def short(descriptor: Descriptor | EnumDescriptor) -> str:
    return descriptor.full_name.removeprefix("minicaffe.")


def default_text(field: FieldDescriptor) -> str:
    if not field.has_default_value:
        return ""
    if field.enum_type is not None:
        return field.enum_type.values_by_number[field.default_value].name
    if isinstance(field.default_value, bool):
        return str(field.default_value).lower()
    return (
        field.default_value if isinstance(field.default_value, str) else f"{field.default_value:g}"
    )


LABELS = {1: "optional", 2: "required", 3: "repeated"}


def labels(message: Descriptor) -> dict[str, str]:
    """Read labels as every protobuf release can: the attribute for it has changed."""
    proto = descriptor_pb2.DescriptorProto()
    message.CopyToProto(proto)
    return {field.name: LABELS[field.label] for field in proto.field}


def described(field: FieldDescriptor) -> dict[str, str]:
    named = field.message_type or field.enum_type
    return {
        "message": short(field.containing_type),
        "field": field.name,
        "number": str(field.number),
        "label": labels(field.containing_type)[field.name],
        "type": short(named) if named is not None else TYPES[field.type],
        "default": default_text(field),
        "packed": "packed" if field.GetOptions().packed else "",
    }


# Fields and enum values that Caffe lacks, in messages and enums that it has, are numbered from here
# on, so that a later version of Caffe does not use their numbers.
FIRST_OWN_NUMBER = 1000
# Databases and snapshots of forks contain them with these numbers.
FORKS_NUMBERS = {
    ("Datum", "seg_label", "optional", "bytes", "", ""): 8,
    ("SolverState", "minimum_loss", "optional", "float", "1e+38", ""): 5,
    ("SolverState", "iter_last_event", "optional", "int32", "0", ""): 6,
}
FILES = (common_pb2.DESCRIPTOR, forks_pb2.DESCRIPTOR, minicaffe_pb2.DESCRIPTOR)


def assert_contains(actual: dict[tuple, int], expected: dict[tuple, int]) -> None:
    """Compare (container, entry, ...) keys with their numbers."""
    assert expected.items() <= actual.items()
    containers = {key[0] for key in expected}
    own = {key: n for key, n in actual.items() if key not in expected and key[0] in containers}
    assert {key: n for key, n in own.items() if n < FIRST_OWN_NUMBER} == {}


def test_caffes_fields_are_there_and_own_fields_are_numbered_from_1000():
    def by_key(found: list[dict[str, str]]) -> dict[tuple, int]:
        return {
            tuple(v for k, v in row.items() if k != "number"): int(row["number"]) for row in found
        }

    messages = [message for file in FILES for message in file.message_types_by_name.values()]
    actual = [described(field) for message in messages for field in message.fields]
    assert_contains(by_key(actual), by_key(rows("schema_fields.tsv")) | FORKS_NUMBERS)


def test_caffes_enum_values_are_there_and_own_values_are_numbered_from_1000():
    enums: list[EnumDescriptor] = []
    for file in FILES:
        enums.extend(file.enum_types_by_name.values())
        for message in file.message_types_by_name.values():
            enums.extend(message.enum_types)
    actual = {(short(enum), v.name): v.number for enum in enums for v in enum.values}
    expected = {(r["enum"], r["value"]): int(r["number"]) for r in rows("schema_enums.tsv")}
    assert_contains(actual, expected)


@pytest.mark.parametrize("number", [999, 1000])
def test_an_own_field_needs_a_high_number(number):
    caffes = {("LayerParameter", "name"): 1}
    with nullcontext() if number == 1000 else pytest.raises(AssertionError, match="999"):
        assert_contains(
            {**caffes, ("LayerParameter", "x_param"): number, ("XParameter", "x"): 1}, caffes
        )


@pytest.mark.parametrize(
    ("light", "full"),
    [
        (weights_pb2.BlobWeights, minicaffe_pb2.BlobProto),
        (weights_pb2.LayerWeights, minicaffe_pb2.LayerParameter),
        (weights_pb2.V0LayerWeights, minicaffe_pb2.V0LayerParameter),
        (weights_pb2.V1LayerWeights, minicaffe_pb2.V1LayerParameter),
        (weights_pb2.NetWeights, minicaffe_pb2.NetParameter),
        (weights_pb2.SolverStateWeights, minicaffe_pb2.SolverState),
    ],
)
def test_the_light_view_uses_the_numbers_of_the_full_schema(light, full):
    shared = full.DESCRIPTOR.fields_by_name
    for field in light.DESCRIPTOR.fields:
        if not field.name.startswith("raw_"):  # NVIDIA's, which Caffe lacks
            assert field.number == shared[field.name].number
            repeated = labels(full.DESCRIPTOR)[field.name] == "repeated"
            assert (labels(light.DESCRIPTOR)[field.name] == "repeated") == (
                repeated and field.type != field.TYPE_BYTES
            )


def normalised(file: descriptor_pb2.FileDescriptorProto) -> descriptor_pb2.FileDescriptorProto:
    """Undo what protoc and the runtimes write differently: JSON names, digits of float defaults."""
    fields = [field for message in file.message_type for field in message.field]
    for field in [*fields, *file.extension]:
        field.ClearField("json_name")
        if field.type == field.TYPE_FLOAT and field.HasField("default_value"):
            field.default_value = str(np.float32(field.default_value))
    return file


@pytest.mark.parametrize("name", ["common", "forks", "minicaffe", "weights"])
def test_committed_classes_equal_the_proto_files(name, tmp_path):
    pytest.importorskip("grpc_tools", reason="needs grpcio-tools (the dev extra)")
    out = tmp_path / "set.bin"
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "grpc_tools.protoc",
        "-Iminicaffe/schema=proto",
    ]
    command += [f"--descriptor_set_out={out}", f"minicaffe/schema/{name}.proto"]
    subprocess.run(command, cwd=ROOT, check=True)
    [fresh] = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    modules = {
        "common": common_pb2,
        "forks": forks_pb2,
        "minicaffe": minicaffe_pb2,
        "weights": weights_pb2,
    }
    committed = descriptor_pb2.FileDescriptorProto.FromString(
        modules[name].DESCRIPTOR.serialized_pb
    )
    assert normalised(fresh) == normalised(committed), "run scripts/generate_schema"


@pytest.mark.parametrize("name", ["common", "forks", "minicaffe"])
def test_every_current_field_has_a_comment_directly_above(name):
    lines = (ROOT / "proto" / f"{name}.proto").read_text(encoding="utf-8").splitlines()
    message = ""
    for above, line in pairwise(lines):
        if line.startswith("message "):
            message = line.split()[1]
            assert above.startswith("// "), line
        elif line.lstrip().startswith(("optional ", "repeated ", "required ")):
            assert message.startswith(("V0", "V1")) or above.lstrip().startswith("// "), line


def test_another_packages_caffe_proto_can_live_in_the_same_process():
    """A fresh process: what is added to the default pool stays there."""
    code = (
        "from google.protobuf import descriptor_pb2, descriptor_pool, message_factory\n"
        "from minicaffe.schema import common_pb2, forks_pb2, minicaffe_pb2, weights_pb2\n"
        "pool = descriptor_pool.Default()\n"
        "file = descriptor_pb2.FileDescriptorProto()\n"
        "for module in (common_pb2, forks_pb2, minicaffe_pb2):\n"
        "    file.MergeFromString(module.DESCRIPTOR.serialized_pb)\n"
        "file.name, file.package = 'caffe.proto', 'caffe'\n"
        "del file.dependency[:], file.public_dependency[:], file.extension[:]\n"
        "for message in file.message_type:\n"
        "    for field in (f for f in message.field if f.type_name):\n"
        "        field.type_name = field.type_name.replace('.minicaffe.', '.caffe.')\n"
        "pool.AddSerializedFile(file.SerializeToString())\n"
        "theirs = pool.FindMessageTypeByName('caffe.NetParameter')\n"
        "net = message_factory.GetMessageClass(theirs)(name='x')\n"
        "assert minicaffe_pb2.NetParameter.FromString(net.SerializeToString()).name == 'x'\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    assert descriptor_pool.Default().FindFileByName("minicaffe/schema/minicaffe.proto")
