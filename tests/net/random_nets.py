"""Runs random nets on a backend and on the reference backend in float64, and compares everything.

    python tests/net/random_nets.py --count 2000 --seed 0 [--backend onednn] [--show]

A run is: forward, backward, both again, another batch size and both again, then three iterations of
a solver where the phase is TRAIN. Compared are all blobs, gradients and parameters. The reference
itself is held to directional derivatives.

Float32 and float64 differ wherever a value lies near a corner (ReLU at 0, the maximum of two equal
values). A net is run in float64 on inputs and parameters that differ by a few roundings of float32;
if that changes a result by more than the tolerance, the inputs are drawn again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from net_generator import RandomNet, generate

from minicaffe.backends.reference import ReferenceBackend
from minicaffe.errors import NetError
from minicaffe.log import logger
from minicaffe.net import Net
from minicaffe.ops.backend import Backend
from minicaffe.schema import parse_net, read_solver
from minicaffe.solver.solver import Solver

Arrays = dict[str, np.ndarray]

# What float32 may change, relative to the largest value of an array.
TOLERANCE = 2e-3
# Multiples of the difference between the reference backend in float32 and in float64.
ROUNDINGS = 50
# What perturbed inputs may change, and by how much they are perturbed.
STABLE, PERTURBATION = 5e-4, 1e-5
ATTEMPTS = 8
STEPS = 3
DERIVATIVE = 2e-4
SOLVER = (
    'base_lr: 0.01 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.001 max_iter: 10 '
    "display: 0 snapshot_after_train: false random_seed: 7"
)


class Unstable(Exception):
    """No inputs away from corners were found, or the values overflow."""


class Difference(Exception):
    """A result differs; the message says which."""


class Run:
    """One run of a net on one backend, from the same parameters.

    Parameters
    ----------
    case : RandomNet
    backend : Backend
    draw : int
        Which inputs are drawn.
    noise : float
        The relative perturbation of inputs and parameters.
    """

    def __init__(self, case: RandomNet, backend: Backend, draw: int, noise: float = 0.0) -> None:
        self.case, self.backend, self.noise = case, backend, noise
        self.key = draw
        self.net = self.prepare(
            Net(parse_net(case.text, "net.prototxt"), case.phase, backend=backend, seed=1)
        )

    def prepare(self, net: Net) -> Net:
        """Set all parameters to the same values on every backend."""
        for layer in net.layers:
            for i, blob in enumerate(layer.blobs):
                if layer.type == "BatchNorm":
                    values = np.ones(blob.shape) * (1, 2, 1.5)[i]
                else:
                    rng = np.random.default_rng((self.key, len(layer.name), i, blob.count))
                    values = blob.data.get() + 0.1 * rng.standard_normal(blob.shape)
                blob.data.set(self.perturb(values.astype(np.float32)))
        return net

    def perturb(self, values: np.ndarray) -> np.ndarray:
        if not self.noise:
            return values
        direction = np.random.default_rng(values.size).choice([-1.0, 1.0], values.shape)
        return values + self.noise * direction * np.maximum(np.abs(values), 0.1)

    def set_inputs(self, net: Net, batch: int, purpose: int) -> None:
        for name, values in self.case.draw(batch, 100 * self.key + purpose).items():
            values = values.astype(np.float32)
            is_normal = self.case.inputs[name][0] == "normal"
            net.blobs[name].reshape(values.shape)
            net.blobs[name].data.set(self.perturb(values) if is_normal else values)

    def passes(self, net: Net, batch: int, purpose: int, results: Arrays) -> None:
        """Run forward and backward; add values and gradients to the results."""
        self.set_inputs(net, batch, purpose)
        net.forward()
        for name, blob in net.blobs.items():
            results[f"pass {purpose}: {name}"] = blob.data.get()
        net.clear_param_diffs()
        net.backward()
        for name, blob in net.blobs.items():
            results[f"pass {purpose}: {name} after backward"] = blob.data.get()
        for step in net.steps:
            if step.needs_backward:
                for blob, wanted in zip(step.bottom, step.propagate_down, strict=True):
                    if wanted:
                        results[f"pass {purpose}: d {blob.name}"] = blob.diff.get()
        for parameter, values in self.parameters(net).items():
            results[f"pass {purpose}: d {parameter}"] = values.diff.get()
            results[f"pass {purpose}: {parameter}"] = values.data.get()

    def parameters(self, net: Net):
        return {f"{layer.name}.{i}": b for layer in net.layers for i, b in enumerate(layer.blobs)}

    def results(self) -> Arrays:
        """Run everything; return all values by what they are."""
        found: Arrays = {}
        self.passes(self.net, self.case.batch, 0, found)
        self.passes(self.net, self.case.batch, 1, found)
        self.passes(self.net, self.case.batch + 1, 2, found)
        self.net.forward(0, len(self.net.steps) // 2)
        self.passes(self.net, self.case.batch, 3, found)
        if self.case.phase == "TRAIN":
            self.train(found)
        return found

    def train(self, results: Arrays) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "solver.prototxt")
            path.write_text(f"{SOLVER} net_param {{ {self.case.text} }}")
            solver = Solver(read_solver(path), self.backend)
        self.prepare(solver.net)
        for step in range(STEPS):
            self.set_inputs(solver.net, self.case.batch, 10 + step)
            solver.step(1)
        for name, blob in self.parameters(solver.net).items():
            results[f"trained {name}"] = blob.data.get()
        solver.close()


def compare(got: Arrays, want: Arrays, tolerance: float, rounded: Arrays | None = None) -> str:
    """Return what differs most, "" if nothing does.

    Allowed is a part of the largest value, or a multiple of what rounding to float32 changed in
    `rounded`, the results of the same code: the gradient of a bias before a BatchNorm is zero, and
    a sum of rounding errors.
    """
    floors: dict[bool, float] = {}
    for name, values in want.items():
        is_gradient = ": d " in name
        floors[is_gradient] = max(
            floors.get(is_gradient, 0.0), float(np.abs(values).max(initial=0))
        )
    worst, message = 1.0, ""
    for name, expected in want.items():
        if name not in got or got[name].shape != expected.shape:
            return f"{name}: missing or of another shape"
        scale = max(np.abs(expected).max(initial=0), 0.1 * floors[": d " in name], 1e-6)
        allowed = scale * tolerance
        with np.errstate(invalid="ignore"):
            if rounded is not None:
                lost = np.abs(rounded[name] - expected).max(initial=0)
                allowed = max(allowed, ROUNDINGS * lost)
            error = np.abs(got[name] - expected).max(initial=0) / allowed
        if not np.isfinite(error):
            return f"{name}: not finite"
        if error > worst:
            worst, message = error, f"{name}: {error:.3g} times the allowed difference"
    return message


def stable_reference(case: RandomNet) -> tuple[int, Arrays]:
    """Return inputs away from corners, by the number of their draw, and the float64 results."""
    for draw in range(ATTEMPTS):
        with np.errstate(all="ignore"):
            run = Run(case, ReferenceBackend(np.float64), draw)
            want = run.results()
        if not all(np.isfinite(v).all() and np.abs(v).max(initial=0) < 1e6 for v in want.values()):
            continue
        with np.errstate(all="ignore"):
            found = [
                Run(case, ReferenceBackend(np.float64), draw, sign * PERTURBATION).results()
                for sign in (1, -1)
            ]
        if not any(compare(one, want, STABLE) for one in found):
            return draw, want
    raise Unstable


def check_derivative(case: RandomNet, draw: int) -> None:
    """Compare the reference's gradients of parameters with a central difference."""
    run = Run(case, ReferenceBackend(np.float64), draw)
    net, rng = run.net, np.random.default_rng(draw)
    run.set_inputs(net, case.batch, 0)
    net.forward()  # creates the random streams
    blobs = [p.blob for p in net.parameters if p.lr_mult]
    values = [blob.data.get() for blob in blobs]
    ways = [rng.standard_normal(blob.shape) for blob in blobs]
    state = net.state()

    def loss(h: float) -> float:
        for blob, value, way in zip(blobs, values, ways, strict=True):
            blob.data.set(value + h * way)
        net.restore(state)
        # Again, because a layer may change an input in place through a view.
        run.set_inputs(net, case.batch, 0)
        net.forward()
        return net.loss()

    loss(0.0)
    net.clear_param_diffs()
    net.backward()
    terms = [blob.diff.get() * way for blob, way in zip(blobs, ways, strict=True)]
    want = sum(float(term.sum()) for term in terms)
    scale = sum(float(np.abs(term).sum()) for term in terms)
    slopes = [(loss(h) - loss(-h)) / (2 * h) for h in (1e-5, 1e-6)]
    # A corner between the two points changes one of the slopes.
    if min(abs(slope - want) for slope in slopes) > DERIVATIVE * scale + 1e-7:
        raise Difference(f"gradient of the reference: {want:.9g}, derivative {slopes[1]:.9g}")


def check(seed: int, make_backend: Callable[[], Backend], allows_random: bool = True) -> str:
    """Run the net of a seed; return "ok", or why it was not compared.

    Raises
    ------
    Difference
        With what differs.
    """
    case = generate(seed, allows_random)
    try:
        draw, want = stable_reference(case)
    except Unstable:
        return "unstable"
    except NetError as error:
        raise Difference(f"not built: {error}") from error
    check_derivative(case, draw)
    rounded = Run(case, ReferenceBackend(np.float32), draw).results()
    message = compare(Run(case, make_backend(), draw).results(), want, TOLERANCE, rounded)
    if message:
        raise Difference(message)
    return "ok"


def main() -> int:
    """Check the nets of consecutive seeds; print each difference, then the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="number of nets")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first net")
    parser.add_argument("--backend", default="onednn", help="backend to check")
    parser.add_argument("--show", action="store_true", help="print the prototxt of each difference")
    options = parser.parse_args()
    from probe import EMULATED, make_backend

    logger.setLevel("ERROR")
    counts: dict[str, int] = {}
    for seed in range(options.seed, options.seed + options.count):
        is_same = options.backend not in EMULATED
        try:
            outcome = check(seed, lambda: make_backend(options.backend), allows_random=is_same)
        except Difference as difference:
            outcome = "different"
            print(f"seed {seed}: {difference}", flush=True)
            if options.show:
                case = generate(seed, is_same)
                print(f"phase {case.phase}, batch {case.batch}\n{case.text}", flush=True)
        counts[outcome] = counts.get(outcome, 0) + 1
    print(", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items())))
    return 1 if counts.get("different") else 0


if __name__ == "__main__":
    sys.exit(main())
