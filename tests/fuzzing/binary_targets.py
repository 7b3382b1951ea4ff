"""Targets: weights, solver states, blobs and databases."""

from __future__ import annotations

import random
from pathlib import Path

import h5py
import numpy as np
import plyvel

from fuzzing.material import (
    DATA_LAYER,
    datum,
    image,
    reader,
    run_quietly,
    write_lmdb,
    write_weights,
)
from fuzzing.mutations import change_bytes, change_text
from fuzzing.prototxt_targets import SOLVER_NET
from fuzzing.target import Files, Target, target
from minicaffe.schema.minicaffe_pb2 import BlobProto, Datum, NetParameter

_TEST = ["test", "--model=small.prototxt", "--iterations=1", "--threads=1"]


def _old_weights() -> bytes:
    net = NetParameter(name="old")
    layer = net.layers.add(name="c", type=4)
    layer.blobs.add(num=2, channels=3, height=3, width=3).data.extend([1.0] * 54)
    layer.blobs.add(num=1, channels=1, height=1, width=2).double_data.extend([1.0, 2.0])
    return net.SerializeToString()


@target
def caffemodel() -> Target:
    """Weights, of this format and an old one."""
    write_weights()
    seeds = [Path("small.caffemodel").read_bytes(), _old_weights()]
    upgrade = ["upgrade_net_proto_binary", "q.caffemodel", "out.caffemodel"]
    return Target(
        lambda rng, number: {"q.caffemodel": change_bytes(seeds[number % 2], rng)},
        [[*_TEST, "--weights=q.caffemodel"], upgrade],
    )


@target
def hdf5_weights() -> Target:
    """Weights as HDF5."""
    write_weights()
    seed = Path("small.caffemodel.h5").read_bytes()
    return Target(
        lambda rng, number: {"q.caffemodel.h5": change_bytes(seed, rng)},
        [[*_TEST, "--weights=q.caffemodel.h5"]],
    )


@target
def solverstate() -> Target:
    """What a training is resumed from: state, its side file, weights."""
    solver = f'{SOLVER_NET} lr_policy: "fixed" momentum: 0.9 snapshot_after_train: false'
    names = []
    for prefix, form in (("s", "BINARYPROTO"), ("h", "HDF5")):
        Path("solver.prototxt").write_text(
            solver.replace('"s"', f'"{prefix}"') + f" snapshot: 3 snapshot_format: {form}"
        )
        run_quietly("train", "--solver=solver.prototxt", "--threads=1")
        names += sorted(path.name for path in Path().glob(f"{prefix}_iter_3.*"))
    Path("solver.prototxt").write_text(solver)
    whole = {name: Path(name).read_bytes() for name in names}
    train = ["train", "--solver=solver.prototxt", "--threads=1"]
    states = [name for name in names if name.endswith((".solverstate", ".solverstate.h5"))]

    def make(rng: random.Random, number: int) -> Files:
        name = names[number % len(names)]
        if name.endswith("json") and rng.random() < 0.5:
            return {**whole, name: change_text(whole[name].decode(), rng)}
        return {**whole, name: change_bytes(whole[name], rng)}

    return Target(make, [[*train, f"--snapshot={state}"] for state in states])


@target
def binaryproto() -> Target:
    """Mean images."""
    new, old = BlobProto(), BlobProto(num=1, channels=3, height=4, width=5)
    new.shape.dim.extend([3, 4, 5])
    new.data.extend([1.0] * 60)
    old.double_data.extend([1.0] * 60)
    seeds = [new.SerializeToString(), old.SerializeToString()]
    write_lmdb("db", [datum(np.ones((3, 4, 5), np.uint8))])
    layer = DATA_LAYER.format(transform='mean_file: "q.binaryproto"', batch=1)
    return Target(
        lambda rng, number: {"q.binaryproto": change_bytes(seeds[number % 2], rng)},
        [reader("reader.prototxt", layer)],
    )


@target
def datum_record() -> Target:
    """Records of a database."""
    values = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    encoded = Datum(data=image(), label=2, encoded=True).SerializeToString()
    seeds = [datum(values, 3), datum(values.astype(np.float32), -1), encoded]

    def make(rng: random.Random, number: int) -> Files:
        record = change_bytes(seeds[number % len(seeds)], rng) or b"\0"
        Path("made").mkdir(exist_ok=True)
        Path("made/data.mdb").unlink(missing_ok=True)
        return {"db/data.mdb": write_lmdb("made", [record])}

    layer = DATA_LAYER.format(transform="", batch=1)
    return Target(make, [reader("reader.prototxt", layer)], ["db"])


@target
def lmdb() -> Target:
    """Pages of an LMDB."""
    seeds = [
        write_lmdb(f"lmdb_{n}", [datum(np.full((1, size, size), 7, np.uint8))] * n)
        for n, size in ((40, 9), (1500, 9), (30, 100))
    ]
    return Target(
        lambda rng, number: {"db/data.mdb": change_bytes(seeds[number % 3], rng)},
        [["compute_image_mean", "db", "mean"]],
        ["db"],
    )


@target
def leveldb() -> Target:
    """Files of a LevelDB: tables and logs."""
    seeds = []
    for name, is_compact in (("table", True), ("log", False)):
        database = plyvel.DB(name, create_if_missing=True)
        for number in range(40):
            database.put(b"%08d" % number, datum(np.full((1, 9, 9), number, np.uint8)))
        if is_compact:
            database.compact_range()
        database.close()
        seeds.append({path.name: path.read_bytes() for path in Path(name).iterdir()})

    def make(rng: random.Random, number: int) -> Files:
        files = dict(seeds[number % 2])
        name = rng.choice(sorted(files.keys() - {"LOCK", "LOG", "LOG.old"}))
        files[name] = change_bytes(files[name], rng)
        if rng.random() < 0.1:
            del files[name]
        return {f"db/{name}": data for name, data in files.items()}

    return Target(make, [["compute_image_mean", "--backend=leveldb", "db", "mean"]], ["db"])


@target
def hdf5_data() -> Target:
    """HDF5 files of data, contiguous and compressed."""
    with h5py.File("plain.h5", "w") as file:
        file["data"], file["label"] = np.ones((7, 2, 3), np.float32), np.arange(7)
    with h5py.File("packed.h5", "w") as file:
        file.create_dataset("data", data=np.ones((70, 2, 3)), chunks=(10, 2, 3), compression="gzip")
        file.create_dataset("label", data=np.arange(70, dtype=np.uint8), fletcher32=True)
    seeds = [Path(name).read_bytes() for name in ("plain.h5", "packed.h5")]
    Path("list.txt").write_text("q.h5\n")
    return Target(
        lambda rng, number: {"q.h5": change_bytes(seeds[number % 2], rng)},
        [reader(f"{order}.prototxt", _hdf5_layer(order)) for order in ("true", "false")],
    )


@target
def hdf5_list() -> Target:
    """Lists of HDF5 files."""
    with h5py.File("d.h5", "w") as file:
        file["data"], file["label"] = np.ones((7, 2, 3), np.float32), np.arange(7)
    return Target(
        lambda rng, number: {"list.txt": change_bytes(b"d.h5\n\n d.h5 \r\n", rng)},
        [reader("reader.prototxt", _hdf5_layer("false"))],
    )


def _hdf5_layer(shuffle: str) -> str:
    return (
        'layer { name: "d" type: "HDF5Data" top: "data" top: "label" hdf5_data_param { '
        f'source: "list.txt" batch_size: 3 shuffle: {shuffle} }} }}\n'
    )
