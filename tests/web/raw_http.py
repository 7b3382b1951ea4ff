"""HTTP as bytes on a socket: requests that no well-behaved client sends."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit


def connected(url: str) -> socket.socket:
    """Return a connection to a server."""
    parts = urlsplit(url)
    return socket.create_connection((parts.hostname, parts.port), timeout=20)


def received(connection: socket.socket) -> bytes:
    """Return what the server sends until it closes the connection."""
    parts = []
    while True:
        try:
            part = connection.recv(1 << 16)
        except ConnectionResetError:
            part = b""
        if not part:
            return b"".join(parts)
        parts.append(part)


def status(answer: bytes) -> int:
    """Return the status of an answer."""
    return int(answer.split(b" ", 2)[1])
