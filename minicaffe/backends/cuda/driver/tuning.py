"""Autotuning: selects the fastest plan for each convolution by timing, and caches the choice.

The choices are stored in a JSON file in the user's cache folder, by GPU, library version and
problem: ``$MINICAFFE_CACHE/cuda_plans.json``, otherwise in ``$XDG_CACHE_HOME/minicaffe``, otherwise
in ``~/.cache/minicaffe``. Deleting the file is always safe.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from minicaffe.atomic_file import write_atomically
from minicaffe.backends.cuda.driver.device import CannotCapture, DeviceMemory
from minicaffe.backends.cuda.driver.plans import ConvolutionProblem, Dnn, Plan, Role
from minicaffe.errors import DeviceMemoryError, MinicaffeError, SnapshotError, Unsupported
from minicaffe.log import logger

VARIABLE = "MINICAFFE_CACHE"
FILE = "cuda_plans.json"
# Version of the file format. A file of another version is ignored and replaced.
VERSION = 1
MAX_CANDIDATES = 12
# Runs for each time; the first loads code and is not counted.
RUNS = 3
# Launching a plan takes Python up to 0.1 ms, so plans are timed as captured graphs, from which
# training replays them too. A graph of a plan shorter than SHORT_MS has REPEATS launches.
SHORT_MS, REPEATS = 0.5, 10


class Bench(Protocol):
    """The part of a `Device` that timing uses."""

    def allocate(self, size_bytes: int) -> DeviceMemory:
        """Return memory with undefined contents."""

    def milliseconds(self, work: Callable[[], None]) -> float:
        """Run `work`, wait until it is finished, and return the device time that it took."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Capture `work` and return a function that replays it; may raise CannotCapture."""


def cache_folder() -> Path | None:
    """Return the user's cache folder, which may not exist; None if there is no home folder."""
    if given := os.environ.get(VARIABLE):
        return Path(given)
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "minicaffe"
    try:
        return Path.home() / ".cache" / "minicaffe"
    except RuntimeError:  # a user of a container, without a home folder
        return None


class PlanCache:
    """Names of the selected plans, in a file that several processes may share.

    Parameters
    ----------
    folder : Path, optional
        Folder of `FILE`. None: nothing is stored.
    """

    def __init__(self, folder: Path | None) -> None:
        self.path = folder / FILE if folder else None
        self._names = self._read()

    def get(self, key: str) -> str | None:
        """Return the name stored for `key`, or None."""
        return self._names.get(key)

    def put(self, key: str, name: str) -> None:
        """Store a name; if the file cannot be written, log a warning once and stop writing."""
        self._names[key] = name
        if self.path is None:
            return
        # Merge with the choices that other processes have written.
        self._names = {**self._read(), **self._names}
        text = json.dumps({"version": VERSION, "plans": self._names}, indent=1, sort_keys=True)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with write_atomically(self.path) as file:
                file.write(text.encode())
        except (OSError, SnapshotError) as error:
            logger.warning(f"cuDNN plans will be selected again in the next run: {error}")
            self.path = None

    def _read(self) -> dict[str, str]:
        if self.path is None or not self.path.exists():
            return {}
        try:
            content = json.loads(self.path.read_bytes())
            if content["version"] != VERSION:
                return {}
            return {str(key): str(name) for key, name in content["plans"].items()}
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            logger.warning(f"{self.path} is ignored and will be replaced: {error!r}")
            return {}


class Tuner:
    """Selects a plan for each problem, once.

    Parameters
    ----------
    dnns : sequence of Dnn
        The first library that has a plan is used.
    device : str
        Name of the GPU model, because the fastest plan depends on it.
    cache : PlanCache
    bench : Bench, optional
        Times the candidates. None: the first plan of each library is used and nothing is stored, so
        that equal runs compute equal bits.
    """

    def __init__(
        self, dnns: Sequence[Dnn], device: str, cache: PlanCache, bench: Bench | None = None
    ) -> None:
        self._dnns, self._device, self._cache, self._bench = tuple(dnns), device, cache, bench
        self._chosen: dict[ConvolutionProblem, Plan] = {}

    def plan(self, what: ConvolutionProblem) -> Plan:
        """Return the prepared plan for a problem; equal problems share one.

        Raises
        ------
        Unsupported
            If no library has a plan; the message contains the reason of each.
        """
        if what.exceeds_image:  # padding differs before and after an axis
            raise Unsupported(f"{what}: the kernel exceeds the padded image")
        what = what.canonical
        if what not in self._chosen:
            self._chosen[what] = self._from_first_library(what)
        return self._chosen[what]

    def _from_first_library(self, what: ConvolutionProblem) -> Plan:
        reasons = []
        for dnn in self._dnns:
            try:
                return self._choose(dnn, what)
            except Unsupported as reason:
                reasons.append(str(reason))
        raise Unsupported("; ".join(reasons) or f"{what}: cuDNN is not installed")

    def _choose(self, dnn: Dnn, what: ConvolutionProblem) -> Plan:
        plans = dnn.plans(what)
        if self._bench is None:
            return _prepared(plans, 1)[0]
        key = f"{self._device} | {dnn.version} | {what}"
        name = self._cache.get(key)
        try:
            return _prepared((plan for plan in plans if plan.name == name), 1)[0]
        except Unsupported:  # nothing was stored, or that plan no longer exists
            chosen = self._fastest(what, _prepared(plans, MAX_CANDIDATES), self._bench)
        self._cache.put(key, chosen.name)
        return chosen

    def _fastest(self, what: ConvolutionProblem, plans: Sequence[Plan], bench: Bench) -> Plan:
        try:
            memory = {r: bench.allocate(o.size_bytes) for r, o in what.operands.items()}
            workspace = bench.allocate(max(1, *(plan.workspace_bytes for plan in plans)))
        except DeviceMemoryError as error:
            logger.info(f"{what}: too little memory for timing, the smallest plan is used: {error}")
            return min(plans, key=lambda plan: plan.workspace_bytes)
        addresses = {role: one.address for role, one in memory.items()}
        times: dict[float, Plan] = {}
        uncaptured: dict[float, Plan] = {}
        reason = ""
        for plan in plans:
            try:
                timed = _Timing(plan, addresses, workspace.address, bench)
                (times if timed.is_captured else uncaptured).setdefault(timed.ms, plan)
                reason = timed.reason
            except MinicaffeError as error:
                reason = str(error)
            if reason:
                logger.info(f"{what}: {plan.name} is skipped: {reason}")
        # A plan that cannot be captured would keep its neighbours out of graphs as well.
        times = times or uncaptured
        if not times:
            raise Unsupported(reason)
        best = times[min(times)]
        logger.debug(f"{what}: {best.name} of {len(plans)} plans, {min(times):.3f} ms")
        return best


class _Timing:
    """Device time of a plan: replayed from a graph or, if it cannot be captured, launched.

    Parameters
    ----------
    plan : Plan
    addresses : mapping
        See `Plan`.
    workspace : int
    bench : Bench

    Attributes
    ----------
    ms : float
        Milliseconds.
    reason : str
        Why the plan cannot be captured; empty if it can.
    """

    def __init__(
        self, plan: Plan, addresses: Mapping[Role, int], workspace: int, bench: Bench
    ) -> None:
        def launch(repeats: int) -> None:
            for _ in range(repeats):
                plan(addresses, workspace)

        self.ms, self.reason = _least(partial(launch, 1), bench), ""
        repeats = REPEATS if self.ms < SHORT_MS else 1
        try:
            self.ms = _least(bench.capture(partial(launch, repeats)), bench) / repeats
        except CannotCapture as error:
            self.reason = str(error)

    @property
    def is_captured(self) -> bool:
        """Whether the plan can be captured."""
        return not self.reason


def _least(work: Callable[[], None], bench: Bench) -> float:
    return min([bench.milliseconds(work) for _ in range(RUNS)][1:])


def _prepared(plans: Iterable[Plan], n: int) -> list[Plan]:
    """Return the first `n` plans that can be prepared, at least one."""
    ready: list[Plan] = []
    reason = "there is no such plan"
    for plan in plans:
        try:
            plan.prepare()
        except Unsupported as error:
            reason = str(error)
            continue
        ready.append(plan)
        if len(ready) == n:
            break
    if not ready:
        raise Unsupported(reason)
    return ready
