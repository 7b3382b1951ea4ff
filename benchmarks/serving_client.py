"""Client of the serving benchmark: requests over connections that are kept open.

Each line of standard input is ``{"port", "clients", "seconds", "shape"}``; the answer has the
seconds of the turn, and those of each request that ended in it. Each client sends its next request
when its answer is complete. Requests and answers have binary tensors.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time

import numpy as np


class Connection:
    """A client: a socket, its request, and what has come of the answer."""

    def __init__(self, port: int, request: bytes) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request, self._answer, self._length = request, bytearray(), 0
        self.began = 0.0

    def send(self) -> None:
        """Send a request; a large one in several parts."""
        self.began = time.perf_counter()
        self.socket.sendall(self._request)

    def receive(self) -> bool:
        """Take what has come; return whether an answer is complete."""
        part = self.socket.recv(1 << 16)
        if not part:
            raise ConnectionError("the server has closed a connection")
        self._answer += part
        if not self._length:
            self._length = _length_of(self._answer)
        if len(self._answer) < self._length or not self._length:
            return False
        self._answer.clear()
        return True


def _length_of(answer: bytearray) -> int:
    """Return the length of an answer with its headers, 0 if they are not complete.

    All answers of a run are equally long.
    """
    head, separator, _ = bytes(answer).partition(b"\r\n\r\n")
    if not separator:
        return 0
    if not head.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(bytes(answer).decode(errors="replace"))
    length = next(
        line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    return len(head) + 4 + int(length.partition(b":")[2])


def request_of(shape: list[int]) -> bytes:
    """Return a request for one sample with random values."""
    values = np.random.default_rng(0).random((1, *shape), np.float32)
    tensor = {"name": "data", "shape": list(values.shape), "datatype": "FP32"}
    tensor["parameters"] = {"binary_data_size": values.nbytes}
    parameters = {"binary_data_output": True}
    text = json.dumps({"inputs": [tensor], "parameters": parameters}).encode()
    head = (
        "POST /v2/models/m/infer HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Inference-Header-Content-Length: {len(text)}\r\n"
        f"Content-Length: {len(text) + values.nbytes}\r\n\r\n"
    )
    return head.encode() + text + values.tobytes()


def run(port: int, clients: int, seconds: float, shape: list[int]) -> dict[str, object]:
    """Return the seconds of the turn and of each request that ended in it.

    A turn is longer than asked for until as many requests have ended as there are clients. Requests
    in flight at its end are waited for.
    """
    request, took = request_of(shape), list[float]()
    last = 0.0
    with selectors.DefaultSelector() as selector:
        connections = [Connection(port, request) for _ in range(clients)]
        for one in connections:
            selector.register(one.socket, selectors.EVENT_READ, one)
            one.send()
        start = time.perf_counter()
        open_ = clients
        while open_:
            for key, _ in selector.select():
                one = key.data
                if not one.receive():
                    continue
                now = time.perf_counter()
                if now < start + seconds or len(took) < clients:
                    last = now
                    took.append(now - one.began)
                    one.send()
                else:
                    selector.unregister(one.socket)
                    one.socket.close()
                    open_ -= 1
    return {"turn": max(last - start, seconds), "requests": took}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)
