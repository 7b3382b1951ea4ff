"""Write sequences of random bits, and for each step whether the ones so far are odd, as HDF5.

Every row is one time step of 32 streams: `bits` (32 x 1), `cont` (32: 0 where a sequence begins),
`odd` (32 labels). HDF5Data hands out batches of so many steps, which continue each other.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import h5py
import numpy as np

STREAMS = 32
# name: steps, shortest and longest sequence, seed
SETS = {"train": (10_000, 5, 20, 1), "test": (2_000, 5, 20, 2), "long": (2_000, 100, 200, 3)}


def sequences(steps: int, shortest: int, longest: int, seed: int) -> dict[str, np.ndarray]:
    """Return bits (steps, 32, 1), cont and odd (steps, 32), float32."""
    rng = np.random.default_rng(seed)
    bits = rng.integers(0, 2, (steps, STREAMS))
    cont = np.ones((steps, STREAMS), int)
    for stream in range(STREAMS):
        begins = np.cumsum(rng.integers(shortest, longest + 1, steps // shortest + 1))
        cont[[0, *begins[begins < steps]], stream] = 0
    odd = np.empty_like(bits)
    before = np.zeros(STREAMS, int)
    for t in range(steps):
        before = odd[t] = (before * cont[t] + bits[t]) % 2
    values = {"bits": bits[:, :, None], "cont": cont, "odd": odd}
    return {name: array.astype(np.float32) for name, array in values.items()}


def main() -> None:
    """Write NAME.h5, and NAME.txt that names it, for each set."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent)
    folder = parser.parse_args().folder
    for name, settings in SETS.items():
        path = folder / f"{name}.h5"
        with h5py.File(path, "w") as file:
            for dataset, values in sequences(*settings).items():
                file.create_dataset(dataset, data=values, compression="gzip")
        (folder / f"{name}.txt").write_text(f"{path}\n")
        print(f"{path}: {settings[0]} steps of {STREAMS} streams")


if __name__ == "__main__":
    main()
