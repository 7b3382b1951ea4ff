"""Nets and solvers read from files: upgraded messages with the line of each layer and field."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from minicaffe.schema.binary import read_binary
from minicaffe.schema.minicaffe_pb2 import NetParameter, SolverParameter
from minicaffe.schema.overrides import Overrides
from minicaffe.schema.text import Parsed, parse_prototxt, read_prototxt
from minicaffe.schema.upgrade import (
    Origin,
    complete_snapshot_prefix,
    join_forms,
    upgrade_net,
    upgrade_solver,
)


@dataclass(frozen=True)
class NetSource:
    """A net in the current format and its location in a file.

    Attributes
    ----------
    param : NetParameter
        The net, upgraded. Do not add or remove layers: lines are looked up by their indices.
    path : str
        The file, as error messages name it.
    origin : list of int or None
        For each layer, its index in the file; None for an Input layer that replaces `input`.
    parsed : Parsed, optional
        The text; None for a net from a binary file or from memory.
    within : tuple
        The path of the net in the text: ``("net_param", 0)`` for one inside a solver.
    """

    param: NetParameter
    path: str
    origin: Origin
    parsed: Parsed[NetParameter] | Parsed[SolverParameter] | None = None
    within: tuple[str | int, ...] = ()

    def where(self, layer_index: int | None = None, field: str = "", k: int = 0) -> str:
        """Return ``file:line`` of a layer or of one of its fields, or of the enclosing block.

        Parameters
        ----------
        layer_index : int, optional
            Index in ``param.layer``; None for the net itself.
        field : str
            A field of the layer, such as "bottom" or "convolution_param.group".
        k : int
            Index of the value in a repeated field.
        """
        if self.parsed is None:
            return self.path
        if layer_index is None:
            return self.parsed.where(*self.within)
        index = self.origin[layer_index]
        if index is None:
            return self.parsed.where(*self.within, "input", k)
        names = field.split(".") if field else []
        path: list[str | int] = [*self.within, self._layers_field(), index, *names]
        return self.parsed.where(*path, k) if names else self.parsed.where(*path)

    def _layers_field(self) -> str:
        """Return the name of the field that contains the layers in the text."""
        if self.parsed is not None and self.parsed.locations.find(*self.within, "layers"):
            return "layers"
        return "layer"


@dataclass(frozen=True)
class SolverSource:
    """A solver in the current format and its location in a file.

    Attributes
    ----------
    param : SolverParameter
        The solver, upgraded; nets inside it are not upgraded (see `inline_net`).
    path : str
        The file, as error messages name it.
    parsed : Parsed, optional
        The text; None for a solver from memory.
    overrides : Overrides
        Settings of the command line; those of the solver are in `param`.
    """

    param: SolverParameter
    path: str
    parsed: Parsed[SolverParameter] | None = None
    overrides: Overrides = field(default_factory=Overrides)

    def where(self, field: str = "", k: int = 0) -> str:
        """Return ``file:line`` of a field such as "stepvalue", or the flag that overrides it."""
        if flag := self.overrides.flag_of(field):
            return flag
        if self.parsed is None or not field:
            return self.path
        return self.parsed.where(*field.split("."), k)

    def inline_net(self, field: str, k: int = 0) -> NetSource:
        """Return a net that the solver's prototxt contains inline, upgraded.

        Parameters
        ----------
        field : str
            "net_param", "train_net_param" or "test_net_param".
        k : int
            Index among the test_net_params.
        """
        found = (
            self.param.test_net_param[k]
            if field == "test_net_param"
            else getattr(self.param, field)
        )
        net = NetParameter()
        net.CopyFrom(found)
        origin = upgrade_net(net, self.path)
        self.overrides.apply_to_net(net)
        return NetSource(net, self.path, origin, self.parsed, (field, k))

    def net_of_file(self, path: str | Path) -> NetSource:
        """Return a net that the solver names, with the overrides."""
        source = read_net(path)
        self.overrides.apply_to_net(source.param)
        return source


def read_net(path: str | Path) -> NetSource:
    """Read a net's prototxt in V0, V1 or current format.

    Raises
    ------
    SchemaError
        The file is missing or invalid; see `minicaffe.schema.text.read_prototxt`.
    """
    return _net_source(read_prototxt(path, NetParameter))


def parse_net(text: str, path: str = "<string>") -> NetSource:
    """Parse a net from a string; error messages give `path`."""
    return _net_source(parse_prototxt(text, NetParameter, path))


def _net_source(parsed: Parsed[NetParameter]) -> NetSource:
    net = parsed.message
    if net.layer and net.layers and not any(layer.HasField("layer") for layer in net.layers):
        entries = parsed.locations.entries
        layers = sorted(entries["layer"] + entries["layers"], key=lambda entry: entry.name.offset)
        join_forms(net, [entry.name.text == "layers" for entry in layers], parsed.path)
        # Lines are looked up by the index of a layer in the message.
        entries["layer"] = layers
        del entries["layers"]
    origin = upgrade_net(parsed.message, parsed.path)
    return NetSource(parsed.message, parsed.path, origin, parsed)


def read_net_binary(path: str | Path) -> NetSource:
    """Read a net with its weights from a .caffemodel in V0, V1 or current format.

    This creates a Python object per value; `minicaffe.schema.read_net_weights` is faster.
    """
    net = read_binary(path, NetParameter)
    return NetSource(net, str(path), upgrade_net(net, str(path)))


def read_solver(path: str | Path, overrides: Overrides | None = None) -> SolverSource:
    """Read a solver's prototxt, and complete its snapshot_prefix from the file name.

    Raises
    ------
    SchemaError
        The file is missing or invalid; see `minicaffe.schema.text.read_prototxt`.
    UsageError
        An override is invalid.
    """
    parsed = read_prototxt(path, SolverParameter)
    overrides = overrides or Overrides()
    overrides.apply_to_solver(parsed.message)
    upgrade_solver(parsed.message, parsed.path)
    complete_snapshot_prefix(parsed.message, parsed.path)
    return SolverSource(parsed.message, parsed.path, parsed, overrides)
