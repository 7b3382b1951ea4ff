"""The models of the service: names, versions, states; loading and unloading at run time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypedDict

from minicaffe.errors import nearest
from minicaffe.log import logger
from minicaffe.runs.folder import is_run
from minicaffe.serving.batching import BatchLimits, BatchQueue
from minicaffe.serving.counters import ModelCounters
from minicaffe.serving.description import ModelDescription, path_below
from minicaffe.serving.errors import LoadRefused, ModelNotReady, UnknownModel
from minicaffe.serving.servable import Servable

# The states of Triton's model repository extension.
State = Literal["READY", "LOADING", "UNLOADING", "UNAVAILABLE"]


class IndexEntry(TypedDict):
    """A version of a model in the index."""

    name: str
    version: str
    state: State
    reason: str


class ModelSource(Protocol):
    """Where a model comes from."""

    def fingerprint(self) -> object:
        """Return what changes when the model has changed."""

    def open_servable(self) -> Servable:
        """Read the model."""


@dataclass(eq=False)
class ModelVersion:
    """A version of a model.

    Parameters
    ----------
    name, version : str
    servable : Servable
    queue : BatchQueue
    source : ModelSource
    fingerprint : object
        Of the source when it was read.
    """

    name: str
    version: str
    servable: Servable
    queue: BatchQueue
    source: ModelSource
    fingerprint: object

    @property
    def counters(self) -> ModelCounters:
        """What happened to the requests."""
        return self.queue.counters

    @property
    def queue_length(self) -> int:
        """Number of requests that wait for their computation."""
        return self.queue.queue_length


class ModelStore:
    """Models by name and version.

    Parameters
    ----------
    source_of : callable
        Maps the description of a model, which a request gives, to its source.
    limits : BatchLimits
    versions : int
        Versions of a model that are kept loaded: the newest.
    root : Path, optional
        The folder below which requests may name models; None: they may load those known only.

    Attributes
    ----------
    is_ending : bool
        Whether the service is about to end, so that it is not ready any more.

    Notes
    -----
    Methods are called in the thread of one event loop.
    """

    def __init__(
        self,
        source_of: Callable[[ModelDescription], ModelSource],
        limits: BatchLimits,
        versions: int = 1,
        root: Path | None = None,
    ) -> None:
        self._source_of, self._limits = source_of, limits
        self._n_versions, self.root = versions, root
        self._sources: dict[str, ModelSource] = {}
        self._versions: dict[str, list[ModelVersion]] = {}
        self._numbers: dict[str, int] = {}
        self._reasons: dict[str, tuple[State, str]] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self.is_ending = False

    @property
    def is_ready(self) -> bool:
        """Whether all models that were asked for can be used."""
        return not self.is_ending and not any(
            state == "LOADING" and not self._versions.get(name)
            for name, (state, _) in self._reasons.items()
        )

    def known_names(self) -> list[str]:
        """Return the names of the models that are known, loaded or not."""
        return list(self._sources)

    def loaded(self) -> Mapping[tuple[str, str], ModelVersion]:
        """Return the versions that can be used, by name and version."""
        return {(one.name, one.version): one for some in self._versions.values() for one in some}

    def versions_of(self, name: str) -> Sequence[ModelVersion]:
        """Return the versions of a model that can be used, the newest last."""
        return self._versions.get(name, ())

    def find_version(self, name: str, version: str = "") -> ModelVersion:
        """Return a version of a model that can be used.

        Parameters
        ----------
        name : str
        version : str
            Empty: the newest.

        Raises
        ------
        UnknownModel
            If there is none of this name or version, or it is not loaded.
        ModelNotReady
            If the model is being loaded or unloaded.
        """
        some = self._versions.get(name)
        if some:
            if not version:
                return some[-1]
            for one in some:
                if one.version == version:
                    return one
            known = ", ".join(one.version for one in some)
            raise UnknownModel(f'model "{name}" has no version "{version}"; it has {known}')
        if name in self._sources:
            state, reason = self._reasons.get(name, ("UNAVAILABLE", ""))
            error = UnknownModel if state == "UNAVAILABLE" else ModelNotReady
            raise error(f'model "{name}" is {state.lower()}{reason and ": "}{reason}')
        raise UnknownModel(f'no model "{name}". {nearest(name, self._sources)}')

    def index(self, only_ready: bool = False) -> list[IndexEntry]:
        """Return all versions, models that are not loaded, and runs directly below the root."""
        found: list[IndexEntry] = []
        for name in dict.fromkeys([*self._sources, *self._runs_of_root()]):
            some = self.versions_of(name)
            found += [
                IndexEntry(name=name, version=v.version, state="READY", reason="") for v in some
            ]
            state, reason = self._reasons.get(name, ("UNAVAILABLE", "not loaded"))
            if not only_ready and (not some or state == "LOADING"):
                found.append(IndexEntry(name=name, version="", state=state, reason=reason))
        return found

    def open_model(self, name: str, source: ModelSource) -> None:
        """Load a model before the event loop runs.

        Raises
        ------
        MinicaffeError
            If it cannot be loaded.
        """
        self._sources[name] = source
        self._add(name, source, source.fingerprint(), source.open_servable())

    async def load(self, name: str, source: ModelSource | None = None) -> ModelVersion:
        """Load a model, or its next version if its weights have changed.

        Earlier versions are unloaded when the new one can be used, but for those to be kept.

        Parameters
        ----------
        name : str
        source : ModelSource, optional
            By default the one that the name had; or the run of this name below the root.

        Raises
        ------
        UnknownModel
            If the name is not known.
        MinicaffeError
            If the model cannot be loaded; a loaded version can still be used.
        """
        source = source or self._sources.get(name) or self._run_of_root(name)
        async with self._lock(name):
            before = self._sources.get(name)
            self._sources[name] = source
            self._reasons[name] = ("LOADING", "")
            try:
                return await self._load(name, source)
            except BaseException as error:
                self._restore(name, before, str(error))
                raise

    def _restore(self, name: str, source: ModelSource | None, reason: str) -> None:
        """Undo the beginning of a load: a name that was not known before is forgotten."""
        if source is None:
            del self._sources[name], self._reasons[name]
            return
        self._sources[name] = source
        state: State = "READY" if self._versions.get(name) else "UNAVAILABLE"
        self._reasons[name] = (state, reason)

    async def _load(self, name: str, source: ModelSource) -> ModelVersion:
        fingerprint = await asyncio.to_thread(source.fingerprint)
        some = self._versions.get(name)
        if some and some[-1].fingerprint == fingerprint:
            self._reasons[name] = ("READY", "")
            return some[-1]
        servable = await asyncio.to_thread(source.open_servable)
        found = self._add(name, source, fingerprint, servable)
        some = self._versions[name]
        while len(some) > self._n_versions:
            await asyncio.to_thread(_close, some.pop(0))
        return found

    def _add(
        self, name: str, source: ModelSource, fingerprint: object, servable: Servable
    ) -> ModelVersion:
        number = self._numbers[name] = self._numbers.get(name, 0) + 1
        queue = BatchQueue(servable, self._limits, f"{name} {number}")
        found = ModelVersion(name, str(number), servable, queue, source, fingerprint)
        self._versions.setdefault(name, []).append(found)
        self._reasons[name] = ("READY", "")
        logger.info(f'model "{name}", version {number}, is ready')
        return found

    async def unload(self, name: str) -> None:
        """Unload all versions of a model, after the requests that wait for them.

        Raises
        ------
        UnknownModel
            If the name is not known.
        """
        if name not in self._sources:
            raise UnknownModel(f'no model "{name}". {nearest(name, self._sources)}')
        async with self._lock(name):
            self._reasons[name] = ("UNLOADING", "")
            for one in self._versions.pop(name, []):
                await asyncio.to_thread(_close, one)
            self._reasons[name] = ("UNAVAILABLE", "unloaded")

    def close(self) -> None:
        """Unload all models, when the event loop has ended."""
        for some in self._versions.values():
            for one in some:
                _close(one)
        self._versions.clear()

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    def _runs_of_root(self) -> Iterator[str]:
        if self.root is not None:
            yield from sorted(path.name for path in self.root.iterdir() if is_run(path))

    def _run_of_root(self, name: str) -> ModelSource:
        if self.root is not None and name in self._runs_of_root():
            return self._source_of(ModelDescription(weights=str(self.root / name)))
        raise UnknownModel(
            f'no model "{name}". {nearest(name, [*self._sources, *self._runs_of_root()])}'
        )

    def source_below_root(self, text: str) -> ModelSource:
        """Return the source of a description that a request gives.

        Raises
        ------
        LoadRefused
            If there is no root, or a path leads out of it.
        """
        root = self.root
        if root is None:
            raise LoadRefused(
                "requests may load the models of the command line only; start the service with "
                "--root=FOLDER to load others that are below it"
            )
        described = ModelDescription.of_json(text)
        return self._source_of(described.with_paths(lambda path: path_below(root, path)))


def _close(version: ModelVersion) -> None:
    version.queue.close()
    logger.info(f'model "{version.name}", version {version.version}, is unloaded')
