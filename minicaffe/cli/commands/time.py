"""Time every layer of a net, forward and backward.

Example:
  minicaffe time --model=models/lenet/lenet_train_test.prototxt --iterations=20
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from minicaffe.cli.options import backend as device
from minicaffe.cli.options.net_state import add_state_arguments, apply_state
from minicaffe.errors import UsageError
from minicaffe.log import logger


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--model", default="", metavar="FILE", help="the net prototxt")
    parser.add_argument(
        "--iterations", type=int, default=50, help="number of passes to average (%(default)s)"
    )
    parser.add_argument(
        "--phase",
        type=str.upper,
        choices=("TRAIN", "TEST"),
        default="TRAIN",
        help="phase (%(default)s)",
    )
    parser.add_argument(
        "--optimize_memory",
        action="store_true",
        help="let blobs that are needed at different times share memory; forward only",
    )
    add_state_arguments(parser)
    device.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if not args.model:
        raise UsageError("a net is needed: --model=FILE")
    if args.iterations < 1:
        raise UsageError(f"--iterations={args.iterations}: must be at least 1")
    if args.optimize_memory and args.phase == "TRAIN":
        raise UsageError("--optimize_memory needs --phase=TEST: backward reads all blobs again")
    from minicaffe.net import Net
    from minicaffe.schema import NetState

    backend = device.choose(args)
    state = NetState(phase=args.phase)
    apply_state(args, state)
    net = Net(args.model, state, backend=backend)
    try:
        if args.optimize_memory:
            net.optimize_memory()
        logger.info("Performing Forward")
        net.forward()
        logger.info(f"Initial loss: {net.loss():g}")
        if not args.optimize_memory:
            logger.info("Performing Backward")
            net.backward()
        _Benchmark(net, args.iterations, has_backward=not args.optimize_memory).run()
    finally:
        net.close()
    return 0


class _Benchmark:
    """Times of all layers; milliseconds."""

    def __init__(self, net: Any, iterations: int, has_backward: bool = True) -> None:
        self.net, self.iterations, self.has_backward = net, iterations, has_backward
        self.forward_ms = [0.0] * len(net.steps)
        self.backward_ms = [0.0] * len(net.steps)

    def run(self) -> None:
        logger.info("*** Benchmark begins ***")
        logger.info(f"Testing for {self.iterations} iterations.")
        forward = backward = 0.0
        began = time.perf_counter()
        for i in range(self.iterations):
            one_forward = self._pass(self.forward_ms, forward=True)
            one_backward = self._pass(self.backward_ms, forward=False) if self.has_backward else 0.0
            forward, backward = forward + one_forward, backward + one_backward
            logger.info(
                f"Iteration: {i + 1} forward-backward time: {one_forward + one_backward:.0f} ms."
            )
        total = (time.perf_counter() - began) * 1e3
        self._log(forward, backward, total)

    def _pass(self, times: list[float], forward: bool) -> float:
        """Run all layers one way, add their times, return that of the whole."""
        order = list(enumerate(self.net.steps))
        # No layer is charged with what was asked for before it.
        self.net.backend.synchronize()
        began = time.perf_counter()
        for index, step in order if forward else reversed(order):
            start = time.perf_counter()
            if forward:
                self.net.forward(index, index)
            else:
                step.backward()
            self.net.backend.synchronize()
            times[index] += (time.perf_counter() - start) * 1e3
        return (time.perf_counter() - began) * 1e3

    def _log(self, forward: float, backward: float, total: float) -> None:
        n = self.iterations
        logger.info("Average time per layer: ")
        for index, step in enumerate(self.net.steps):
            name = step.layer.name
            logger.info(f"{name:>10}\tforward: {self.forward_ms[index] / n:g} ms.")
            if self.has_backward:
                logger.info(f"{name:>10}\tbackward: {self.backward_ms[index] / n:g} ms.")
        logger.info(f"Average Forward pass: {forward / n:g} ms.")
        if self.has_backward:
            logger.info(f"Average Backward pass: {backward / n:g} ms.")
            logger.info(f"Average Forward-Backward: {total / n:g} ms.")
        logger.info(f"Total Time: {total:g} ms.")
        logger.info("*** Benchmark ends ***")
