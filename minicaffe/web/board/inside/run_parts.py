"""Parts of a run that a request names: one of its nets, one of its snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException

from minicaffe.prediction.training_nets import folders_of
from minicaffe.runs.folder import LOG
from minicaffe.runs.natural_order import natural_key
from minicaffe.runs.record import read_record
from minicaffe.schema import NetSource, read_net
from minicaffe.web.board.data_paths import locate_data
from minicaffe.web.board.run_files import Snapshot, snapshots_of
from minicaffe.web.board.run_index import RunIndex

_TRAINED = "train"


@dataclass(frozen=True)
class RunNet:
    """A net of a run.

    Parameters
    ----------
    name : str
        "train", "test-0" and so on.
    source : NetSource
    phase : {"TRAIN", "TEST"}
    """

    name: str
    source: NetSource
    phase: str


class RunParts:
    """Finds what the query of a request names.

    Parameters
    ----------
    index : RunIndex
    query : QueryParams
        "run" and, for some methods, "net" and "weights".

    Attributes
    ----------
    name : str
        Of the run.
    folder : Path
        Of the run.

    Raises
    ------
    HTTPException
        With status 404, if there is no such run.
    """

    def __init__(self, index: RunIndex, query: QueryParams) -> None:
        self._index, self._query = index, query
        self.board, self.name = index.folder, query.get("run", "")
        self.folder = self.board.run(self.name)

    def net_names(self) -> list[str]:
        """Return the names of the nets, that of the training first."""
        found = [path.stem for path in self.folder.glob("test-*.prototxt")]
        trained = [_TRAINED] if (self.folder / f"{_TRAINED}.prototxt").is_file() else []
        return trained + sorted(found, key=natural_key)

    def net(self, name: str = "") -> RunNet:
        """Return a net: the given one, that of the query, or else that of the training.

        Raises
        ------
        HTTPException
            With status 404, if there is none.
        """
        known = self.net_names()
        chosen = name or self._query.get("net", "") or next(iter(known), _TRAINED)
        if chosen not in known:
            raise HTTPException(404, f"no net {chosen} in this run; it has {', '.join(known)}")
        source = read_net(self.folder / f"{chosen}.prototxt")
        return RunNet(chosen, source, "TRAIN" if chosen == _TRAINED else "TEST")

    def tested_net(self) -> RunNet:
        """Return the first test net, or else that of the training."""
        return self.net(next((name for name in self.net_names() if name != _TRAINED), ""))

    def measurable_net(self, name: str) -> RunNet:
        """Return a net with the paths of its data where they are now, without mean files."""
        net = self.net(name)
        locate_data(net.source, self.board, self.file_folders(net))
        for layer in net.source.param.layer:
            # Shapes do not depend on it, and its path may be relative to another folder.
            if layer.transform_param.mean_file:
                layer.transform_param.ClearField("mean_file")
        return net

    def file_folders(self, net: RunNet) -> list[Path]:
        """Return the folders to which paths in a net may be relative."""
        # The log is named for its folder only.
        return folders_of(net.source, self.folder / LOG)

    def snapshots(self) -> list[Snapshot]:
        """Return the snapshots, the oldest first."""
        record = read_record(self.folder)
        scores = self._index.score_values(self.name, record.score)
        return snapshots_of(self.board, self.folder, record, scores)

    def chosen_weights(self) -> tuple[Snapshot, Path]:
        """Return the snapshot of the query and its path; by default the best, or else the last.

        Raises
        ------
        HTTPException
            With status 404, if there is none.
        """
        found = self.snapshots()
        wanted = self._query.get("weights", "")
        if not wanted:
            best = [one for one in found if one["kind"] == "best"]
            found = best or found[-1:]
        else:
            found = [one for one in found if one["weights"] == wanted]
        if not found:
            raise HTTPException(404, f"{wanted or self.name}: no weights of this run")
        return found[0], self.board.path_below(str(found[0]["weights"]))
