"""Time the forward and backward pass of every layer of a net.

With --nodes and --link also predict a training on several machines.

Example:
  minicaffe time --model=models/lenet/lenet_train_test.prototxt --iterations=20
  minicaffe time --model=models/lenet/lenet_train_test.prototxt --nodes=1,2,4,...,64 --link=10gbe
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from minicaffe.cli.flags import flag
from minicaffe.cli.options.backend import BackendFlags, choose_backend
from minicaffe.cli.options.files import MODEL
from minicaffe.cli.options.log import LogFlags
from minicaffe.cli.options.net_state import NetStateFlags, phase_flag
from minicaffe.cli.options.nodes import NodesFlags
from minicaffe.errors import UsageError
from minicaffe.log import log_result, logger

if TYPE_CHECKING:
    from minicaffe.net import Net


class TimeFlags(NodesFlags, NetStateFlags, LogFlags, BackendFlags):
    """Flags of the command."""

    model: str = MODEL
    iterations: int = flag(default=50, at_least=1, help="number of passes to average")
    phase: str = phase_flag("TRAIN")
    optimize_memory: bool = flag(
        help="share memory between blobs that are not in use at the same time"
    )


def run(flags: TimeFlags) -> int:
    """Run the command."""
    flags.shorten_log()
    nodes = flags.planned_nodes()
    if nodes is not None:
        _check_nodes(flags)
    from minicaffe.net import Net
    from minicaffe.schema import NetState

    backend = choose_backend(flags, model=flags.model)
    state = NetState(phase=flags.phase)
    flags.apply_to(state)
    with closing(Net(flags.model, state, backend=backend, fills=False)) as net:
        if flags.optimize_memory:
            net.optimize_memory()
        # In the TEST phase shared memory leaves nothing for a backward pass.
        has_backward = not flags.optimize_memory or flags.phase == "TRAIN"
        net.check_memory(backward=has_backward)
        net.fill()
        logger.info("Performing Forward")
        net.forward()
        logger.info(f"Initial loss: {net.loss():g}")
        if has_backward:
            logger.info("Performing Backward")
            net.backward()
        benchmark = _Benchmark(net, flags.iterations, has_backward)
        benchmark.run()
        if nodes is not None:
            from minicaffe.cli.commands._scaling_table import log_scaling

            log_scaling(net, nodes, flags.iterations, benchmark.backward_ms)
    return 0


def _check_nodes(flags: TimeFlags) -> None:
    """Raise UsageError if other flags contradict --nodes."""
    if flags.phase != "TRAIN":
        raise UsageError(f"--nodes predicts training: leave out --phase={flags.phase}")
    if flags.iterations == 1 and flags.spread is None:
        raise UsageError(
            "--nodes needs at least 2 --iterations to see how much they vary, or --spread"
        )


class _Benchmark:
    """Measures the times of all layers, in milliseconds."""

    def __init__(self, net: Net, iterations: int, has_backward: bool = True) -> None:
        self.net, self.iterations, self.has_backward = net, iterations, has_backward
        self.forward_ms = [0.0] * len(net.steps)
        self.backward_ms = [0.0] * len(net.steps)
        self._backward = dict(zip(net.backward_steps, net.backward_tasks(), strict=True))

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
        """Run all layers in one direction, add their times to `times`, return the total."""
        order = list(enumerate(self.net.steps))
        # Otherwise work that is still queued would be counted for the first layer.
        self.net.backend.synchronize()
        began = time.perf_counter()
        for index, step in order if forward else reversed(order):
            start = time.perf_counter()
            if forward:
                self.net.forward(index, index)
            elif step in self._backward:
                self._backward[step]()
            self.net.backend.synchronize()
            times[index] += (time.perf_counter() - start) * 1e3
        return (time.perf_counter() - began) * 1e3

    def _log(self, forward: float, backward: float, total: float) -> None:
        n = self.iterations
        log_result("Average time per layer: ")
        for index, step in enumerate(self.net.steps):
            name = step.layer.name
            log_result(f"{name:>10}\tforward: {self.forward_ms[index] / n:g} ms.")
            if self.has_backward:
                log_result(f"{name:>10}\tbackward: {self.backward_ms[index] / n:g} ms.")
        log_result(f"Average Forward pass: {forward / n:g} ms.")
        if self.has_backward:
            log_result(f"Average Backward pass: {backward / n:g} ms.")
            log_result(f"Average Forward-Backward: {total / n:g} ms.")
        log_result(f"Total Time: {total:g} ms.")
        log_result("*** Benchmark ends ***")
