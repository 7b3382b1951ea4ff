"""Compare MPI sums over a link of limited rate with the model that `minicaffe time --nodes` uses.

Two network namespaces, joined by a veth pair with a token bucket (tc tbf), stand for two machines.
Two MPI processes, one in each, measure messages, from which alpha and beta follow, and then sums
of 1 to 100 MB, which the model predicts from them. Linux only; needs root, iproute2 and the extra
`mpi`:

    python -m benchmarks.links --rates=1gbit,10gbit

Both ends share the cores of this machine, so that a fast link is limited by them and not by its
rate; the table shows the rate that messages reach.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minicaffe.analysis.scaling import Link

SPACES = ("minicaffe-link-0", "minicaffe-link-1")
ADDRESSES = ("10.213.77.1", "10.213.77.2")
DEVICE = "e0"
SIZES_MB = (1, 2, 5, 10, 25, 50, 100)
# Otherwise UCX, MPICH's default, finds that both are on one machine, and uses shared memory.
TCP = {"MPIR_CVAR_CH4_NETMOD": "ofi", "FI_PROVIDER": "tcp", "FI_TCP_IFACE": DEVICE}
# Before a command: what else the machine does must not disturb it. mpiexec gives each process a
# session, and Linux may share the cores by session (autogroup).
URGENT = (
    *("sh", "-c"),
    'echo -20 2>/dev/null >/proc/self/autogroup; exec nice -n -20 "$0" "$@"',
)
# MPI does not find a device that has just come up.
SETTLING_S = 1.0
TIMEOUT_S = 120
# The file for what rank 0 measures.
RESULT = "MINICAFFE_LINK_RESULT"
BUCKET_MB = 25
MESSAGE_BYTES = (4, 50_000_000)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each rate and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rates", default="1gbit,10gbit", help="rates of the link, as tc reads")
    parser.add_argument("--repeats", type=int, default=5, help="measurements of each size")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    flags = parser.parse_args(arguments)
    if flags.worker:
        _work(flags.repeats)
        return 0
    if missing := missing_for_links():
        print(f"benchmarks.links: {missing}", file=sys.stderr)
        return 1
    # Otherwise the namespaces would remain.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    for rate in flags.rates.split(","):
        with limited_link(rate):
            print(table(rate, measure_link(flags.repeats)), flush=True)
    return 0


def missing_for_links() -> str:
    """Return what is missing here, "" if nothing is."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0:
        return "needs Linux and root, for network namespaces"
    programs = [name for name in ("ip", "tc") if not shutil.which(name)]
    if programs:
        return f"{' and '.join(programs)} not found; install iproute2"
    if not _mpiexec().exists():
        return f"{_mpiexec()} not found; install the extra mpi"
    return ""


def _mpiexec() -> Path:
    return Path(sys.executable).with_name("mpiexec")


@contextlib.contextmanager
def limited_link(rate: str) -> Iterator[None]:
    """Two network namespaces with a link of a rate between them."""
    with contextlib.ExitStack() as created:
        for space in SPACES:
            _run(f"ip netns add {space}")
            created.callback(_run, f"ip netns delete {space}")
        _run(
            f"ip link add {DEVICE} netns {SPACES[0]} type veth peer name {DEVICE} netns {SPACES[1]}"
        )
        for space, address in zip(SPACES, ADDRESSES, strict=True):
            _run(f"ip -n {space} address add {address}/24 dev {DEVICE}")
            for device in ("lo", DEVICE):
                _run(f"ip -n {space} link set {device} up")
            _run(
                f"tc -n {space} qdisc add dev {DEVICE} root tbf rate {rate} burst 1mb latency 50ms"
            )
        time.sleep(SETTLING_S)
        yield


def _run(command: str) -> None:
    subprocess.run(shlex.split(command), check=True)


def measure_link(repeats: int) -> dict[str, Any]:
    """Run the workers; return what rank 0 measured."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result")
        worker = (sys.executable, "-m", "benchmarks.links", "--worker", f"--repeats={repeats}")
        run_linked(worker, {RESULT: str(result)}, TIMEOUT_S)
        measured: dict[str, Any] = json.loads(result.read_text())
        return measured


def run_linked(words: Sequence[str], environment: dict[str, str], timeout_s: float) -> str:
    """Run a command as one MPI process in each namespace; return its output."""
    with tempfile.TemporaryDirectory() as folder:
        hosts, launcher = Path(folder, "hosts"), Path(folder, "launch")
        hosts.write_text("".join(f"{address}:1\n" for address in ADDRESSES))
        cases = "".join(
            f"  {address}) space={space} ;;\n"
            for address, space in zip(ADDRESSES, SPACES, strict=True)
        )
        launcher.write_text(
            "#!/bin/sh\n# In place of ssh: options, an address, a command.\n"
            'while [ "${1#-}" != "$1" ]; do shift; done\n'
            f'case "$1" in\n{cases}esac\nshift\nexec ip netns exec "$space" sh -c "$*"\n'
        )
        launcher.chmod(0o755)
        command = [
            *("ip", "netns", "exec", SPACES[0], str(_mpiexec())),
            *("-launcher", "ssh", "-launcher-exec", str(launcher), "-iface", DEVICE),
            *("-f", str(hosts), "-n", str(len(SPACES)), *URGENT, *words),
        ]
        done = subprocess.run(
            command,
            env={**os.environ, **TCP, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}")
        return done.stdout


def _work(repeats: int) -> None:
    """Measure as one of two MPI processes; rank 0 writes the medians, in seconds."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD

    def seconds(call: Any) -> float:
        call()
        found = []
        for _ in range(repeats):
            world.Barrier()
            began = time.perf_counter()
            call()
            found.append(time.perf_counter() - began)
        return statistics.median(found)

    def exchange(size_bytes: int) -> float:
        sent, received = np.zeros(size_bytes, np.uint8), np.zeros(size_bytes, np.uint8)
        partner = 1 - world.rank
        return seconds(lambda: world.Sendrecv(sent, partner, recvbuf=received, source=partner))

    def reduction(size_mb: int) -> float:
        values = np.zeros(size_mb * 250_000, np.float32)
        return seconds(lambda: world.Allreduce(MPI.IN_PLACE, values))

    measured = {
        "messages": [exchange(size) for size in MESSAGE_BYTES],
        "sums": [reduction(size) for size in SIZES_MB],
    }
    if world.rank == 0:
        Path(os.environ[RESULT]).write_text(json.dumps(measured))


def link_of_messages(times_s: Sequence[float]) -> Link:
    """Return alpha and beta from the times of messages of `MESSAGE_BYTES`, exchanged both ways."""
    (short_s, long_s), (short, long) = times_s, MESSAGE_BYTES
    return Link(short_s, (long - short) / max(long_s - short_s, 1e-9))


def table(rate: str, measured: dict[str, Any]) -> str:
    """Return measured and predicted times of sums over two nodes."""
    link = link_of_messages(measured["messages"])
    lines = [
        f"Link of {rate}: alpha {link.alpha_s * 1e6:.0f} us, "
        f"beta {link.bytes_per_s / 1e9:.3g} GB/s",
        "",
        "| sum of | measured | model | difference |",
        "|---|---|---|---|",
    ]
    for size, measured_s in zip(SIZES_MB, measured["sums"], strict=True):
        model_s = link.reduction_s(2, size * 1e6)
        lines.append(
            f"| {size} MB | {measured_s * 1e3:.1f} ms | {model_s * 1e3:.1f} ms | "
            f"{100 * (model_s / measured_s - 1):+.0f} % |"
        )
    lines += ["", f"Sums of {BUCKET_MB} MB, the size of a bucket: {flag_of(measured)}", ""]
    return "\n".join(lines)


def flag_of(measured: dict[str, Any]) -> str:
    """Return the flag --link by which sums of the size of a bucket take as long as measured."""
    alpha_s = measured["messages"][0]
    of_bucket_s = measured["sums"][SIZES_MB.index(BUCKET_MB)]
    beta = BUCKET_MB * 1e6 / (of_bucket_s - 2 * alpha_s) / 1e9
    return f"--link={alpha_s * 1e6:.0f},{beta:.3g}"


if __name__ == "__main__":
    sys.exit(main())
