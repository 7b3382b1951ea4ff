"""The server: a socket, uvicorn, an orderly end on SIGINT and SIGTERM."""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

import uvicorn
from starlette.applications import Starlette

from minicaffe.errors import MinicaffeError, UsageError
from minicaffe.log import logger
from minicaffe.web.request_limits import TimedProtocol

_PORTS_TRIED = 10
_BACKLOG = 2048
_LAST_PORT = 65535


def listening_socket(host: str, port: int | None, first: int) -> socket.socket:
    """Return a socket that listens.

    Parameters
    ----------
    host : str
    port : int or None
        None: the first free one of ten from `first` on.
    first : int

    Raises
    ------
    MinicaffeError
        If the port is in use or not allowed, or the address is not of this computer.
    UsageError
        If it is no port.
    """
    if port is not None and not 0 <= port <= _LAST_PORT:
        raise UsageError(f"--port={port}: must be 0 to {_LAST_PORT}; 0 is any free one")
    ports = [port] if port is not None else list(range(first, first + _PORTS_TRIED))
    for tried in ports:
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            return socket.create_server((host, tried), family=family, backlog=_BACKLOG)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and tried != ports[-1]:
                continue
            advice = {
                errno.EADDRINUSE: " Choose another one with --port=N.",
                errno.EACCES: " Ports below 1024 are for the administrator: choose --port=N.",
                errno.EADDRNOTAVAIL: " --host is an address of this computer, or 0.0.0.0 for all.",
            }.get(error.errno or 0, "")
            # socket appends the address, which stands before.
            reason = (error.strerror or str(error)).partition(" (while")[0]
            raise MinicaffeError(
                f"cannot listen at {host}, port {tried}: {reason}.{advice}"
            ) from error
    raise AssertionError  # the last port has raised


def server_url(listening: socket.socket, host: str, token: str) -> str:
    """Return the URL of a socket that listens, with the token if there is one."""
    port = listening.getsockname()[1]
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}/" + (
        f"?token={token}" if token else ""
    )


def run_server(
    application: Starlette,
    listening: socket.socket,
    *,
    drain_s: float,
    notice_s: float = 0.0,
    at_stop: Callable[[], None] = lambda: None,
) -> None:
    """Answer requests until SIGINT or SIGTERM.

    Parameters
    ----------
    application : Starlette
    listening : socket
        Is closed.
    drain_s : float
        Seconds that requests in progress have to end after the signal; then they are cancelled.
    at_stop : callable
        Called at the signal, in the main thread, so that streams without an end can end.
    notice_s : float
        Seconds after SIGTERM in which requests are still accepted, so that a load balancer sees
        that the service is not ready any more.
    """
    _allow_many_connections()
    _forward_warnings()
    config = uvicorn.Config(
        application,
        http=TimedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, round(drain_s)),
    )
    with listening:
        _Server(config, at_stop, notice_s).run([listening])


class _Server(uvicorn.Server):
    """uvicorn's server; a signal ends it and not the process."""

    def __init__(
        self, config: uvicorn.Config, at_stop: Callable[[], None], notice_s: float
    ) -> None:
        super().__init__(config)
        self._at_stop, self._notice_s = at_stop, notice_s
        self._end = math.inf

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals during the block."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        former = {number: signal.signal(number, self._stop) for number in numbers}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: object) -> None:
        if self.should_exit:
            self.force_exit = True
            return
        is_first = self._end == math.inf
        self._end = time.monotonic() + (self._notice_s if number == signal.SIGTERM else 0)
        if is_first:
            self._at_stop()
        self.should_exit = not self._notice_s or number != signal.SIGTERM

    async def on_tick(self, counter: int) -> bool:
        """Return whether to end; uvicorn asks ten times a second."""
        self.should_exit = self.should_exit or time.monotonic() >= self._end
        return await super().on_tick(counter)


class _Forwarding(logging.Handler):
    """Passes lines of uvicorn to the log; errors of the application are there already."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info is None:
            logger.handle(record)


def _forward_warnings() -> None:
    log = logging.getLogger("uvicorn.error")
    log.handlers, log.propagate = [_Forwarding()], False
    log.setLevel(logging.WARNING)


def _allow_many_connections() -> None:
    """Raise the number of files that the process may open to what it may raise it to."""
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft < most:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
