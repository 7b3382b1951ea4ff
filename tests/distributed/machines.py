"""Network namespaces as machines: processes that reach each other over TCP only."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mpi_ranks import mpiexec

_NETWORK = "10.213.7"
_numbers = itertools.count()
_ENTER = ("ip", "netns", "exec")
# With one host name, or with shared memory, MPICH takes namespaces for one machine.
_NAMED = ("unshare", "--uts", "--ipc", "sh", "-c", 'hostname "$0"; exec "$@"')


class Machines:
    """Machines with an interface e0 each, on one switch.

    Parameters
    ----------
    names : list of str
        Those of the namespaces, which exist.
    folder : Path
        For the files of mpiexec.
    """

    def __init__(self, names: list[str], folder: Path) -> None:
        self.names = names
        self.addresses = [f"{_NETWORK}.{k + 1}" for k in range(len(names))]
        self._hosts, self._login = folder / "hosts", folder / "login"
        self._hosts.write_text("".join(f"{address}:1\n" for address in self.addresses))
        # In place of ssh: mpiexec calls it with options, an address and a command line.
        cases = "\n".join(
            f"{address}) name={name};;" for address, name in zip(self.addresses, names, strict=True)
        )
        self._login.write_text(
            '#!/bin/sh\nwhile [ "${1#-}" != "$1" ]; do shift; done\n'
            f'case "$1" in\n{cases}\nesac\nshift\n'
            f'exec {" ".join(_ENTER)} "$name" unshare --uts --ipc sh -c "hostname $name; $*"\n'
        )
        self._login.chmod(0o755)

    def command(self, k: int, *words: str) -> list[str]:
        """Return the words of a command that runs on machine k."""
        return [*_ENTER, self.names[k], *_NAMED, self.names[k], *words]

    def mpiexec(self, *words: str) -> list[str]:
        """Return the command that starts one process on each machine, given from the first one."""
        options = ["-launcher", "ssh", "-launcher-exec", str(self._login), "-iface", "e0"]
        n = str(len(self.names))
        return self.command(0, mpiexec(), *options, "-f", str(self._hosts), "-n", n, *words)

    def cut(self, k: int) -> None:
        """Take machine k off the network."""
        _ip("-n", self.names[k], "link", "set", "e0", "down")

    def reconnect(self, k: int) -> None:
        """Put machine k on the network again."""
        _ip("-n", self.names[k], "link", "set", "e0", "up")

    def limit_rate(self, k: int, rate: str) -> None:
        """Limit what machine k sends, for example to "1gbit"."""
        words = ("tc", "qdisc", "replace", "dev", "e0", "root", "tbf", "rate", rate)
        subprocess.run(
            self.command(k, *words, "burst", "256kb", "latency", "50ms"), check=True, timeout=10
        )


@contextmanager
def machines(n: int, folder: Path) -> Iterator[Machines]:
    """Create n machines for a block; skip the test if this process may not."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("network namespaces need root and the command ip")
    unique = f"mc{os.getpid()}n{next(_numbers)}"
    switch, names = f"{unique}s", [f"{unique}m{k}" for k in range(n)]
    try:
        _connect(switch, names)
        yield Machines(names, folder)
    except PermissionError as error:
        pytest.skip(str(error))
    finally:
        for name in names:
            # Connections that were cut keep a namespace, and its interface, for some time.
            _ip("link", "del", f"{name}p", may_fail=True)
            _ip("netns", "del", name, may_fail=True)
        _ip("link", "del", switch, may_fail=True)


def _connect(switch: str, names: list[str]) -> None:
    _ip("link", "add", switch, "type", "bridge")
    _ip("link", "set", switch, "up")
    for k, name in enumerate(names):
        _ip("netns", "add", name)
        _ip("link", "add", f"{name}p", "type", "veth", "peer", "name", "e0", "netns", name)
        _ip("link", "set", f"{name}p", "master", switch, "up")
        _ip("-n", name, "addr", "add", f"{_NETWORK}.{k + 1}/24", "dev", "e0")
        _ip("-n", name, "link", "set", "e0", "up")
        _ip("-n", name, "link", "set", "lo", "up")


def _ip(*words: str, may_fail: bool = False) -> None:
    """Run the command ip; raise PermissionError if it fails, as it does in most containers."""
    result = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=10)
    if result.returncode and not may_fail:
        raise PermissionError(f"ip {' '.join(words)}: {result.stderr.strip()}")
