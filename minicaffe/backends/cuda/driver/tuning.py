"""Choosing among the plans for one convolution: by timing, once, and then from memory.

What was chosen is kept in a JSON file in the user's cache folder, for each card, library version
and description: ``$MINICAFFE_CACHE/cuda_plans.json``, else in ``$XDG_CACHE_HOME/minicaffe``, else
in ``~/.cache/minicaffe``. Deleting it is always safe.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from minicaffe.atomic_file import write_atomically
from minicaffe.backends.cuda.driver.device import CannotCapture
from minicaffe.backends.cuda.driver.plans import ConvolutionProblem, Dnn, Plan, Role
from minicaffe.errors import DeviceMemoryError, MinicaffeError, SnapshotError, Unsupported
from minicaffe.log import logger

VARIABLE = "MINICAFFE_CACHE"
FILE = "cuda_plans.json"
# Of the file. Another one is ignored and replaced.
VERSION = 1
MAX_CANDIDATES = 12
# The first of them loads code and is not counted.
RUNS = 3
# To launch a plan takes Python up to 0.1 ms. A plan that takes less than this is recorded so often
# in a row, as it is later in training, and that is timed.
SHORT_MS, REPEATS = 0.5, 10


class Memory(Protocol):
    """Device memory that is free again when the object is gone."""

    @property
    def address(self) -> int:
        """Where it begins."""
        ...


class Bench(Protocol):
    """What timing needs of a device."""

    def allocate(self, size_bytes: int) -> Memory:
        """Return memory with undefined contents."""
        ...

    def milliseconds(self, work: Callable[[], None]) -> float:
        """Run `work`, wait for what it started, and return the time the device took for it."""
        ...

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Return what does `work` without Python; raises CannotCapture where that cannot be."""
        ...


def cache_folder() -> Path | None:
    """Return the user's folder for minicaffe's caches, if there can be one; it may not exist."""
    if given := os.environ.get(VARIABLE):
        return Path(given)
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "minicaffe"
    try:
        return Path.home() / ".cache" / "minicaffe"
    except RuntimeError:  # a container's user without a home
        return None


class PlanCache:
    """The names of chosen plans, in a file that several processes may share.

    Parameters
    ----------
    folder : Path, optional
        Where `FILE` is or will be. None: nothing is kept.
    """

    def __init__(self, folder: Path | None) -> None:
        self.path = folder / FILE if folder else None
        self._names = self._read()

    def get(self, key: str) -> str | None:
        """Return the name kept for `key`, if any."""
        return self._names.get(key)

    def put(self, key: str, name: str) -> None:
        """Keep a name; if the file cannot be written, one log line says so and that was it."""
        self._names[key] = name
        if self.path is None:
            return
        # What other processes have chosen in the meantime stays.
        self._names = {**self._read(), **self._names}
        text = json.dumps({"version": VERSION, "plans": self._names}, indent=1, sort_keys=True)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with write_atomically(self.path) as file:
                file.write(text.encode())
        except (OSError, SnapshotError) as error:
            logger.warning(f"cuDNN plans will be chosen again in the next run: {error}")
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
    """Chooses plans, each once.

    Parameters
    ----------
    dnns : sequence of Dnn
        The first that can do what is asked does it.
    device : str
        Name of the card: another one has other fastest plans.
    cache : PlanCache
    bench : Bench, optional
        Times the candidates. None: each library's most promising plan is taken, and nothing kept,
        so that equal runs compute equal bits.
    """

    def __init__(
        self, dnns: Sequence[Dnn], device: str, cache: PlanCache, bench: Bench | None = None
    ) -> None:
        self._dnns, self._device, self._cache, self._bench = tuple(dnns), device, cache, bench
        self._chosen: dict[ConvolutionProblem, Plan] = {}

    def plan(self, what: ConvolutionProblem) -> Plan:
        """Return the plan for `what`, prepared; equal descriptions share one.

        Raises
        ------
        Unsupported
            If no library can do it; the message has each one's reason.
        """
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
        except Unsupported:  # nothing was kept, or that plan is gone
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
        reason = ""
        for plan in plans:
            try:
                times.setdefault(_time(plan, addresses, workspace.address, bench), plan)
            except MinicaffeError as error:
                reason = str(error)
                logger.info(f"{what}: {plan.name} is passed over: {reason}")
        if not times:
            raise Unsupported(reason)
        best = times[min(times)]
        logger.debug(f"{what}: {best.name} of {len(plans)} plans, {min(times):.3f} ms")
        return best


def _time(plan: Plan, addresses: Mapping[Role, int], workspace: int, bench: Bench) -> float:
    def once() -> None:
        plan(addresses, workspace)

    def often() -> None:
        for _ in range(REPEATS):
            once()

    took = _least(once, bench)
    if took > SHORT_MS:
        return took
    try:
        return _least(bench.capture(often), bench) / REPEATS
    except CannotCapture:
        return took


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
