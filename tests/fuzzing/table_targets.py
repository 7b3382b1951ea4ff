"""Targets: IDX files, mean arrays and training logs."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import numpy as np

from fuzzing.material import image, write_weights
from fuzzing.mutations import change_bytes, change_list
from fuzzing.target import Files, Target, target

_LOG_WORDS = ["-1", "nan", "inf", "1e400", "13", "00", "99", "1e", "٣", "=", ",", "#0", "0230"]
_LOG_WORDS += ["Iteration", "\x85", "1" * 5000]


def _idx(values: np.ndarray) -> bytes:
    header = np.array([0x0800 + values.ndim, *values.shape], ">i4")
    return header.tobytes() + values.astype(np.uint8).tobytes()


@target
def idx() -> Target:
    """IDX files, plain and compressed."""
    whole = {"images": _idx(np.zeros((5, 3, 4))), "labels": _idx(np.arange(5))}

    def make(rng: random.Random, number: int) -> Files:
        files, name = dict(whole), rng.choice(sorted(whole))
        files[name] = change_bytes(files[name], rng)
        if number % 3 == 0:
            files[name] = change_bytes(gzip.compress(whole[name], mtime=0), rng)
        return files

    return Target(make, [["convert_mnist_data", "images", "labels", "db"]], ["db", "db.partial"])


@target
def mean_npy() -> Target:
    """Mean images as NumPy files, and other files of NumPy."""
    write_weights()
    Path("p.png").write_bytes(image())
    np.save("mean.npy", np.ones((3, 4, 5), np.float32))
    np.save("objects.npy", np.array([{"a": 1}, 2], object), allow_pickle=True)
    np.savez("several.npz", a=np.ones(3))
    seeds = [Path(name).read_bytes() for name in ("mean.npy", "objects.npy", "several.npz")]
    classify = ["classify", "p.png", "scores.npy", "--model_def=small.prototxt", "--center_only"]
    classify += ["--pretrained_model=small.caffemodel", "--mean_file=q.npy", "--images_dim=6,6"]
    return Target(lambda rng, number: {"q.npy": change_bytes(seeds[number % 3], rng)}, [classify])


@target
def training_log() -> Target:
    """Training logs."""
    text = "I1129 19:22:00.000001  4711 solver.py:48] Solving LeNet\n" + "".join(
        f"I1129 19:22:{i:02d}.123456  7 solver.py:218] Iteration {i * 10}, loss = {1 / (i + 1)}\n"
        f"I1129 19:22:{i:02d}.2234  4711 solver.py:237]     Train net output #0: loss = 0.5\n"
        f"I1129 19:22:{i:02d}.3234  4711 solver.py:106] Iteration {i * 10}, lr = 0.01\n"
        f"I1129 19:22:{i:02d}.4234  4711 solver.py:330] Iteration {i * 10}, Testing net (#0)\n"
        f"I1129 19:22:{i:02d}.5234  4711 solver.py:397]     Test net output #0: accuracy = 0.{i}\n"
        for i in range(6)
    )
    return Target(
        lambda rng, number: {"q.log": change_list(text, rng, _LOG_WORDS)},
        [["parse_log", "q.log", "."], ["extract_seconds", "q.log", "seconds"]],
    )
