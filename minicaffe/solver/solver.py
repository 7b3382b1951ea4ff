"""The solver: iterate, test, display, snapshot, as a SolverParameter says."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from minicaffe.backends import get_backend
from minicaffe.errors import DeviceMemoryError, Problems, SnapshotError, SolverError
from minicaffe.layers.base import State
from minicaffe.log import logger
from minicaffe.net import Net
from minicaffe.ops.backend import Backend, Tensor
from minicaffe.schema import SolverSource, format_prototxt, read_solver
from minicaffe.solver import lr_policy, memory, rules, snapshot
from minicaffe.solver.display import Display, log_outputs
from minicaffe.solver.gradients import Gradients
from minicaffe.solver.loss_history import Losses
from minicaffe.solver.nets import copy_first_weights, test_net_sources, train_net_source
from minicaffe.solver.rules import Rule
from minicaffe.solver.signals import Action
from minicaffe.solver.update import ParameterUpdate

Callback = Callable[[], object]


class Solver:
    """Train a net.

    Parameters
    ----------
    source : SolverSource, str or Path
        The solver as read by `read_solver`, or the prototxt to read.
    backend : Backend, optional
        Where to run; by default a new one of the default kind.
    seed : int, optional
        Taken where the solver sets no random_seed; by default drawn by the operating system.

    Attributes
    ----------
    net : Net
        The net being trained.
    test_nets : list of Net
        Share the parameters of `net`.
    iter : int
        Number of updates made.
    losses : Losses
        Those of the last `average_loss` iterations.
    on_start, on_gradients_ready : list of callable
        Called at the beginning of each iteration, and before each update.
    poll : callable
        Asked after each iteration what a signal wants; see `minicaffe.solver.signals`.

    Raises
    ------
    SolverError
        If settings are missing or contradict each other; holds all of them.
    SnapshotError
        If the weights that the solver names cannot be read or do not fit.
    """

    def __init__(
        self,
        source: SolverSource | str | Path,
        backend: Backend | None = None,
        seed: int | None = None,
    ) -> None:
        if not isinstance(source, SolverSource):
            source = read_solver(source)
        self.source = source
        self.param: Any = source.param
        text = format_prototxt(self.param).rstrip()
        logger.info(f"Initializing solver from parameters: \n{text}")
        self.rule = self._check()
        self.backend = backend or get_backend()
        self.seed = self._seed(seed)
        self.iter = 0
        self.losses = Losses(self.param.average_loss, self._warn_if_diverged)
        self.on_start: list[Callback] = []
        self.on_gradients_ready: list[Callback] = []
        self.poll: Callable[[], Action] = lambda: Action.NONE
        self.stopped_early = False
        self._snapshot_failed: SnapshotError | None = None
        self._diverged = False
        # Where the test nets stood before the test that is running, if one is.
        self._before_tests: list[State] | None = None
        free = self.backend.free_bytes()
        self._make_nets()
        self._gradients = Gradients(self.net)
        self._update = ParameterUpdate(self.net, self.param, self.rule)
        if free is not None:
            self._check_memory(free)
        if self.param.snapshot:
            self._check_prefix()
        logger.info("Solver scaffolding done.")

    def _check(self) -> Rule:
        problems = Problems(SolverError)
        param = self.param
        found = [*lr_policy.problems(param), *rules.problems(param)]
        for field, message in found:
            problems.add(f"{self.source.where(field)}: {message}")
        problems.raise_if_any()
        return rules.RULES[param.type]

    def _check_prefix(self) -> None:
        snapshot.check_prefix(self.snapshot_prefix, self.source.where("snapshot_prefix"))

    def _seed(self, default: int | None) -> int:
        if self.param.random_seed >= 0:
            return int(self.param.random_seed)
        return int.from_bytes(os.urandom(4), "little") if default is None else default

    def _make_nets(self) -> None:
        net_source, state = train_net_source(self.source)
        self.net = Net(net_source, state, backend=self.backend, seed=self.seed)
        self.test_nets: list[Net] = []
        try:
            for net_source, state in test_net_sources(self.source):
                net = Net(net_source, state, backend=self.backend, seed=self.seed)
                self.test_nets.append(net)
                net.debug_info = bool(self.param.debug_info)
                net.share_parameters_with(self.net)
            copy_first_weights(self.source, self.net, self.test_nets)
        except BaseException:
            self.close()
            raise

    def _check_memory(self, free: int) -> None:
        try:
            memory.check(self.backend, self.net, self.test_nets, self.history, free)
        except DeviceMemoryError:
            self.close()
            raise

    @property
    def history(self) -> list[Tensor]:
        """The rule's memory, in the order of a .solverstate file."""
        return self._update.history

    @property
    def snapshot_prefix(self) -> str:
        """Path and beginning of the name of snapshots."""
        return str(self.param.snapshot_prefix)

    @property
    def rate(self) -> float:
        """Learning rate of the current iteration, before lr_mult."""
        return lr_policy.learning_rate(self.param, self.iter)

    @property
    def smoothed_loss(self) -> float:
        """Mean loss of the last `average_loss` iterations."""
        return self.losses.mean()

    def solve(self, resume: str | Path | None = None) -> None:
        """Train until max_iter, or until a signal asks to stop.

        Parameters
        ----------
        resume : str or Path, optional
            A .solverstate file to go on from.

        Raises
        ------
        SnapshotError
            If the last snapshot could not be written.
        """
        logger.info(f"Solving {self.net.name}")
        logger.info(f"Learning Rate Policy: {self.param.lr_policy}")
        if resume is not None:
            self.restore(resume)
        if self.param.snapshot_after_train:
            self._check_prefix()
        if self.iter >= self.param.max_iter:
            logger.warning(
                f"Nothing to train: iteration {self.iter} of max_iter: {self.param.max_iter}."
            )
        self.step(self.param.max_iter - self.iter)
        # Whatever has yet to be said about the last iterations is said before they are saved.
        self.losses.values()
        every = self.param.snapshot
        if self.param.snapshot_after_train and (not every or self.iter % every or self._failed()):
            self._snapshot_failed = None
            self.snapshot()
        if self._snapshot_failed:
            raise self._snapshot_failed
        if self.stopped_early:
            logger.info("Optimization stopped early.")
            return
        if self.param.display and self.iter % self.param.display == 0:
            self.net.forward()
            self.losses.add(self.iter, [self.net.loss_async()])
            logger.info(f"Iteration {self.iter}, loss = {self.smoothed_loss:g}")
        if self.param.test_interval and self.iter % self.param.test_interval == 0:
            self.test_all()
        logger.info("Optimization Done.")

    def _failed(self) -> bool:
        return self._snapshot_failed is not None

    def step(self, n: int) -> None:
        """Make `n` iterations: clear gradients, test, forward and backward, update, snapshot."""
        self.stopped_early = False
        display = Display(self)
        end = self.iter + n
        while self.iter < end:
            interval = self.param.test_interval
            if interval and self.iter % interval == 0 and (self.iter or self._tests_first()):
                self.test_all()
                if self.stopped_early:
                    return
            if self.on_start:
                # Caffe clears the gradients before it calls these.
                self.net.clear_param_diffs()
            for call in self.on_start:
                call()
            shows = bool(self.param.display) and self.iter % self.param.display == 0
            self.net.debug_info = shows and bool(self.param.debug_info)
            is_separate = bool(self.on_gradients_ready) or self._update.reads_gradients
            self._update.prepare(self._full_rate)
            update = None if is_separate else self._update.piece
            self.losses.add(self.iter, self._gradients.run(self.param.iter_size, update))
            if shows:
                display.show()
            for call in self.on_gradients_ready:
                call()
            self._log_rate(shows)
            if is_separate:
                self.apply_update()
            self.iter += 1
            if self._act_on_signals():
                return

    def _tests_first(self) -> bool:
        return bool(self.param.test_initialization)

    def _warn_if_diverged(self, iteration: int, loss: float) -> None:
        """Say once that the loss is not a number any more: nothing after that can be of use."""
        if self._diverged or math.isfinite(loss):
            return
        self._diverged = True
        rate = lr_policy.learning_rate(self.param, iteration)
        logger.warning(
            f"Iteration {iteration}: the loss is {loss:g}, and training will not "
            f"recover from that. Most often the rate is too high (lr = {rate:g}): lower "
            "base_lr or set clip_gradients, and look for wrong values in the data."
        )

    def _act_on_signals(self) -> bool:
        """Snapshot where due or asked for; return whether to stop."""
        due = self.param.snapshot and self.iter % self.param.snapshot == 0
        action = self.poll()
        if due or action is Action.SNAPSHOT:
            self._try_snapshot()
        self.stopped_early = action is Action.STOP
        return self.stopped_early

    def _try_snapshot(self) -> None:
        """Snapshot; a full disk does not end the training, whose weights would be lost."""
        try:
            self.snapshot()
            self._snapshot_failed = None
        except SnapshotError as error:
            logger.error(f"{error} Training goes on; the next snapshot is tried when it is due.")
            self._snapshot_failed = error

    def apply_update(self) -> None:
        """Turn the gradients into updates and make them, as the solver's rule says."""
        self._update.run(self._full_rate)

    @property
    def _full_rate(self) -> float:
        return self.rate * self.rule.correction(self.param, self.iter + 1)

    def _log_rate(self, shows: bool) -> None:
        if self.param.lr_policy == "multistep" and self.iter in self.param.stepvalue:
            step = lr_policy.steps_reached(self.param, self.iter)
            logger.info(f"MultiStep Status: Iteration {self.iter}, step = {step}")
        if shows:
            logger.info(f"Iteration {self.iter}, lr = {self.rate:g}")

    def test_all(self) -> None:
        """Score every test net."""
        self._before_tests = [net.state() for net in self.test_nets]
        for index in range(len(self.test_nets)):
            if not self.stopped_early:
                self.test(index)
        if self.stopped_early:
            # A resumed run makes this test again, from its beginning.
            for net, state in zip(self.test_nets, self._before_tests, strict=True):
                net.restore(state)
        self._before_tests = None

    def test(self, index: int = 0) -> None:
        """Score one test net over its test_iter batches, and log the means; of none, nothing."""
        logger.info(f"Iteration {self.iter}, Testing net (#{index})")
        net = self.test_nets[index]
        net.share_parameters_with(self.net)
        iterations = self.param.test_iter[index]
        totals: list[Any] = [0.0] * len(net.outputs)
        loss = 0.0
        for _ in range(iterations):
            while (action := self.poll()) is not Action.NONE:
                if action is Action.SNAPSHOT:
                    self._try_snapshot()
                else:
                    self.stopped_early = True
            if self.stopped_early:
                logger.info("Test interrupted.")
                return
            net.forward()
            loss += net.loss() if self.param.test_compute_loss else 0.0
            totals = [t + v for t, v in zip(totals, net.output_values(), strict=True)]
        if iterations == 0:
            return
        if self.param.test_compute_loss:
            logger.info(f"Test loss: {loss / iterations:g}")
        means = [total / iterations for total in totals]
        log_outputs("Test", net, means)

    def test_states(self) -> list[State]:
        """Return the states of the test nets that a resumed run goes on from."""
        return self._before_tests or [net.state() for net in self.test_nets]

    def restore(self, path: str | Path) -> None:
        """Go on from a .solverstate file; its weights file is found beside it."""
        snapshot.restore(self, path)

    def snapshot(self) -> None:
        """Write weights and solver state for the current iteration."""
        snapshot.write(self)

    def close(self) -> None:
        """Give back files and threads."""
        for net in (self.net, *self.test_nets):
            net.close()
