"""The solver: iterate, test, display and snapshot as a SolverParameter says."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path

from minicaffe.backends import get_backend
from minicaffe.distributed.parts import WorkShare
from minicaffe.errors import DivergedError, Postponed, Problems, SnapshotError, SolverError
from minicaffe.log import logger, suppress_repeated_warnings
from minicaffe.net import Net
from minicaffe.ops.backend import Backend, Tensor
from minicaffe.schema import SolverParameter, SolverSource, format_prototxt, read_solver
from minicaffe.solver.display import Display
from minicaffe.solver.iteration import Iteration
from minicaffe.solver.loss_history import LossHistory
from minicaffe.solver.memory import MemoryUse, check_host_memory, check_memory, share_memory
from minicaffe.solver.nets import (
    check_overrides,
    fill_nets,
    test_net_sources,
    train_net_source,
)
from minicaffe.solver.parallel.agreement import Agreement
from minicaffe.solver.parallel.effective_batch import log_effective_batch
from minicaffe.solver.parallel.running_statistics import average_running_statistics
from minicaffe.solver.parallel.same_parameters import ParameterCheck, broadcast_parameters
from minicaffe.solver.parallel.settings import IN_ONE_PROCESS, DataParallel
from minicaffe.solver.reports import Observers
from minicaffe.solver.rules import RULES, Rule
from minicaffe.solver.schedule import Schedule
from minicaffe.solver.scores.evaluation import Evaluation
from minicaffe.solver.scores.output_scores import check_evaluation
from minicaffe.solver.setting_problems import solver_problems
from minicaffe.solver.signals import Action
from minicaffe.solver.snapshots.files_of_root import files_of_root
from minicaffe.solver.snapshots.snapshot import SnapshotContents, restore_snapshot
from minicaffe.solver.snapshots.snapshot_prefix import check_snapshot_prefix, claimed_prefix
from minicaffe.solver.snapshots.snapshot_writer import SnapshotWriter
from minicaffe.solver.unread_fields import warn_of_training

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
        Used if the solver sets no random_seed; by default drawn by the operating system.
    parallel : DataParallel, optional
        How several processes divide the training; by default there is one.
    memory : MemoryUse
        What the blobs of the nets share; by default nothing, so that all can be read.

    Attributes
    ----------
    net : Net
        The net being trained.
    test_nets : list of Net
        Share the parameters of `net`.
    iter : int
        Number of updates made.
    losses : LossHistory
        Those of the last `average_loss` iterations.
    on_start, on_gradients_ready : list of callable
        Called at the beginning of each iteration, and before each update.
    observers : Observers
        Called with reports of what is done.
    selection : ModelSelection
        The score, and its best and last values.
    poll : callable
        Returns after each iteration what a signal asks for; see `minicaffe.solver.signals`.
    stopped_early, lost_patience : bool
        Whether a signal ended the last `step`; whether patience ended `solve`.
    snapshots : SnapshotWriter
        Writes the snapshots.

    Raises
    ------
    SolverError
        If settings are missing or contradict each other; holds all of them.
    SnapshotError
        If the weights that the solver names cannot be read or do not fit.

    Notes
    -----
    A solver is freed with its nets, and their files and threads are closed, when the last reference
    to it is gone. `close` does the latter earlier.
    """

    def __init__(
        self,
        source: SolverSource | str | Path,
        backend: Backend | None = None,
        seed: int | None = None,
        parallel: DataParallel = IN_ONE_PROCESS,
        memory: MemoryUse = "readable",
    ) -> None:
        source = source if isinstance(source, SolverSource) else read_solver(source)
        check_overrides(source)
        self.source, self.parallel = source, parallel
        self.param: SolverParameter = source.param
        logger.info(
            f"Initializing solver from parameters: \n{format_prototxt(self.param).rstrip()}"
        )
        self.rule = self._check()
        self.backend = backend or get_backend()
        self._ranks = Agreement(parallel.communicator)
        self.seed = parallel.communicator.from_root(self._seed(seed))
        self.iter = 0
        self.losses = LossHistory(self.param, self._ranks)
        self._schedule = Schedule(self.param, self.rule)
        self.on_start: list[Callback] = []
        self.on_gradients_ready: list[Callback] = []
        self.observers = Observers()
        self.poll: Callable[[], Action] = lambda: Action.NONE
        self.stopped_early = self.lost_patience = False
        self._failed_best = Postponed()
        self.test_nets: list[Net] = []
        with suppress_repeated_warnings():
            self._build(self.backend.free_bytes(), memory)
        log_effective_batch(self.net, parallel, self.param.iter_size)
        self._display = Display(self.net, self.iter, self._ranks)
        self._contents = self._snapshot_contents()
        self.snapshots = SnapshotWriter(self._contents, self.observers)
        logger.info("Solver scaffolding done.")

    def _build(self, free_bytes: int | None, memory: MemoryUse) -> None:
        """Build the nets, check that training fits into the memory, and fill the parameters."""
        share = WorkShare(self.parallel.parts, self.parallel.communicator)
        build = partial(Net, backend=self.backend, seed=self.seed, fills=False)
        self.net = build(*train_net_source(self.source, self.parallel), share=share)
        try:
            self._make_test_nets()
            share_memory(memory, self.net, self.test_nets)
            self._iteration = Iteration(self.net, self.param, self.rule, self.parallel)
            self._evaluation = Evaluation(self.source, self.net, self.test_nets, self._ranks)
            self.selection = self._evaluation.selection
            nets = self.net, self.test_nets
            if free_bytes is None:
                check_host_memory(*nets, self._iteration.n_kept)
            else:
                check_memory(self.backend, *nets, self._iteration.kept, free_bytes)
            fill_nets(self.source, self.net, self.test_nets)
            broadcast_parameters(self.net, self.parallel.communicator)
            self._check_parameters = ParameterCheck(self.net, self.parallel)
            if self.param.snapshot:
                self._check_prefix()
            if self._ranks.is_root:
                warn_of_training(self.source, self.net, self.test_nets)
        except BaseException:
            self.close()
            raise

    def _check(self) -> Rule:
        problems = Problems(SolverError)
        found = solver_problems(self.param), self.parallel.problems(self.param.iter_size)
        for field, text in chain(*found):
            problems.add(f"{self.source.where(field)}: {text}")
        problems.raise_if_any()
        return RULES[self.param.type]

    def _check_prefix(self) -> None:
        where = self.source.where("snapshot_prefix")
        self._ranks.on_root(partial(check_snapshot_prefix, self.snapshot_prefix, where))

    def _seed(self, default: int | None) -> int:
        if self.param.random_seed >= 0:
            return self.param.random_seed
        return int.from_bytes(os.urandom(4), "little") if default is None else default

    def _make_test_nets(self) -> None:
        for stated in test_net_sources(self.source):
            share = WorkShare(communicator=self.parallel.communicator)
            net = Net(*stated, backend=self.backend, seed=self.seed, fills=False, share=share)
            self.test_nets.append(net)
            net.debug_info = self.param.debug_info
            net.share_parameters_with(self.net, is_quiet=True)
            check_evaluation(self.source, net)

    @property
    def history(self) -> list[Tensor]:
        """The rule's history tensors, in the order of a .solverstate file."""
        return self._iteration.history

    @property
    def snapshot_prefix(self) -> str:
        """Path and beginning of the name of snapshots."""
        return self.param.snapshot_prefix

    @property
    def rate(self) -> float:
        """Learning rate of the current iteration, before lr_mult."""
        return self._schedule.rate(self.iter)

    @property
    def smoothed_loss(self) -> float:
        """Mean loss of the last `average_loss` iterations; with several processes, but the last."""
        return self.losses.mean_without_others()

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
        DivergedError
            If its weights are not finite, or a loss with stop_at_non_finite_loss.

        Notes
        -----
        If an error ends the training, such as a damaged record, a snapshot of what was reached is
        written first, unless the solver switches snapshots off.
        """
        logger.info(f"Solving {self.net.name}")
        logger.info(f"Learning Rate Policy: {self.param.lr_policy}")
        if resume is not None:
            self.restore(resume)
        if self._ranks.is_root:
            self.selection.take_over()
        if self.param.snapshot_after_train:
            self._check_prefix()
        if self.iter >= self.param.max_iter:
            logger.warning(
                f"Nothing to train: iteration {self.iter} of max_iter: {self.param.max_iter}."
            )
        claim = claimed_prefix(self.snapshot_prefix)
        with claim if self.snapshots.is_wanted and self._ranks.is_root else nullcontext():
            self._train()
        if self.stopped_early or self.lost_patience:
            logger.info("Optimization stopped early.")
            self._failed_best.raise_if_any()
            return
        if self.param.display and self.iter % self.param.display == 0:
            self.net.forward()
            self.losses.add(self.iter, [self.net.loss_async()])
            logger.info(f"Iteration {self.iter}, loss = {self.losses.mean():g}")
        if self.param.test_interval and self.iter % self.param.test_interval == 0:
            self.test_all()
        logger.info("Optimization Done.")
        self._failed_best.raise_if_any()

    def _train(self) -> None:
        """Make the iterations up to max_iter, and write the last snapshot."""
        first = self.iter
        try:
            self.step(self.param.max_iter - self.iter, has_patience=True)
            # Reading the losses logs warnings and raises errors of the last iterations, which must
            # come before their weights are saved.
            self.losses.values()
        except (SnapshotError, DivergedError):
            raise
        except Exception as error:
            if self.iter > first and self.snapshots.is_wanted:
                self.snapshots.write_before(error, self.iter)
            raise
        self.snapshots.write_last(self.iter)

    def step(self, n: int, has_patience: bool = False) -> None:
        """Make `n` iterations: clear gradients, test, forward and backward, update, snapshot.

        The solver's patience ends them only with `has_patience`, because a loop of steps up to an
        iteration would never end.
        """
        self._display.begin(self.iter)
        self._step(n, has_patience)
        self._display.pause(self.iter)

    def _step(self, n: int, has_patience: bool) -> None:
        self.stopped_early = self.lost_patience = False
        end = self.iter + n
        while self.iter < end:
            if self._test_is_due():
                self.test_all()
                if not self.stopped_early and has_patience:
                    self.lost_patience = self._evaluation.ends_training()
                if self.stopped_early or self.lost_patience:
                    return
            if self.on_start:
                # Caffe clears the gradients before it calls these.
                self.net.clear_param_diffs()
            for call in self.on_start:
                call()
            shows = bool(self.param.display) and self.iter % self.param.display == 0
            self.net.debug_info = shows and self.param.debug_info
            is_separate = bool(self.on_gradients_ready) or self._iteration.reads_gradients
            settings = None if is_separate else self._schedule.settings(self.iter)
            self.losses.add(self.iter, self._iteration.run(settings))
            if shows:
                report = self._display.show(self.iter, self.param.display, self.losses.mean())
            for call in self.on_gradients_ready:
                call()
            self._schedule.observe(self.iter, self.losses.mean)
            self._schedule.log(self.iter, shows)
            for observe in self.observers.displays if shows else ():
                observe(replace(report, rate=self.rate))
            if is_separate:
                self.apply_update()
            self.iter += 1
            self._check_parameters.run(self.iter)
            for report_iteration in self.observers.iterations:
                report_iteration()
            if self._act_on_signals():
                return

    def _test_is_due(self) -> bool:
        interval = self.param.test_interval
        if not interval or self.iter % interval:
            return False
        return self.iter > 0 or self.param.test_initialization

    def _act_on_signals(self) -> bool:
        """Snapshot where due or asked for; return whether to stop."""
        due = self.param.snapshot and self.iter % self.param.snapshot == 0
        action, losses = self._ranks.agree_on(self.poll(), self.losses.offered())
        self.losses.accept(losses)
        if due or action is Action.SNAPSHOT:
            self.snapshots.try_write(self.iter)
        self.stopped_early = action is Action.STOP
        return self.stopped_early

    def apply_update(self) -> None:
        """Update the parameters with the gradients that they have, by the solver's rule."""
        self._iteration.update(self._schedule.settings(self.iter))

    def test_all(self) -> None:
        """Score every test net, and keep the weights if keep_best is set and they are the best."""
        average_running_statistics(self.parallel.communicator, self.net, self._iteration.average)
        with self._iteration.averaged(self.iter):
            self._evaluation.run(self.iter, self._is_interrupted, self.observers)
            try:
                if not self.stopped_early:
                    self._ranks.on_root(partial(self.selection.keep_best, self.net))
            except SnapshotError as error:
                logger.error(f"{error} Training goes on.")
                self._failed_best.postpone(error)

    def _is_interrupted(self) -> bool:
        """Act on signals during a test; return whether one asks to stop."""
        while (action := self._ranks.agree_on(self.poll())[0]) is not Action.NONE:
            if action is Action.SNAPSHOT:
                self.snapshots.try_write(self.iter)
            else:
                self.stopped_early = True
        return self.stopped_early

    def _snapshot_contents(self) -> SnapshotContents:
        done, plateau = self._iteration, self._schedule.plateau
        return SnapshotContents(
            self.param,
            self.net,
            self._evaluation,
            done.history,
            done.average,
            self.losses,
            plateau,
            self.parallel,
        )

    def restore(self, path: str | Path) -> None:
        """Go on from a .solverstate file; its weights file is found beside it."""
        with files_of_root(self.parallel.communicator, Path(path)) as state:
            self.iter = restore_snapshot(self._contents, state)

    def snapshot(self) -> None:
        """Write weights and solver state for the current iteration."""
        self.snapshots.write_now(self.iter)

    def close(self) -> None:
        """Close files and end threads. Not needed: see the class."""
        for net in (self.net, *self.test_nets):
            net.close()
