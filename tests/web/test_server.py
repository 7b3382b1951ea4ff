"""The server in a process: where it listens, and how signals end it."""

import json
import re
import shutil
import signal
import socket
import time

import pytest
from processes import served
from raw_http import connected, received, status
from run_folders import add_metrics, write_run

from minicaffe.errors import MinicaffeError, UsageError
from minicaffe.web.server import listening_socket, server_url

STREAM = b"GET /api/%s HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_a_port_in_use():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            MinicaffeError, match=rf"port {port}: .* Choose another one with --port"
        ):
            listening_socket("127.0.0.1", port, 1)
        with listening_socket("127.0.0.1", None, port) as free:  # the next one
            assert port < free.getsockname()[1] < port + 10


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_number_that_is_no_port(port):
    with pytest.raises(UsageError, match=f"--port={port}: must be 0 to 65535"):
        listening_socket("127.0.0.1", port, 1)


def test_an_address_of_another_computer():
    with pytest.raises(MinicaffeError, match="--host is an address of this computer"):
        listening_socket("192.0.2.1", 0, 1)


@pytest.mark.parametrize(
    ("host", "token", "expected"),
    [
        ("127.0.0.1", "", "http://127.0.0.1:PORT/"),
        ("127.0.0.1", "abc", "http://127.0.0.1:PORT/?token=abc"),
        ("0.0.0.0", "abc", f"http://{socket.gethostname()}:PORT/?token=abc"),
    ],
)
def test_the_url_that_is_printed(host, token, expected):
    with listening_socket(host, 0, 1) as listening:
        port = str(listening.getsockname()[1])
        assert server_url(listening, host, token) == expected.replace("PORT", port)


def test_the_port_is_named_if_it_is_in_use(tmp_path):
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(AssertionError, match=r"Address already in use\. Choose another one"),
        served("board", tmp_path, port=other.getsockname()[1]),
    ):
        pass


def test_a_folder_that_is_none(tmp_path):
    with (
        pytest.raises(AssertionError, match="no: no such folder"),
        served("board", tmp_path / "no"),
    ):
        pass


def test_only_this_computer_is_answered_by_default(tmp_path):
    with served("board", tmp_path) as (_, url):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", url)
        port = int(url.rpartition(":")[2])
        # 127.0.0.2 stands for another address of the computer.
        with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port)):
            pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_board(tmp_path, number):
    """Streams, which have no end, end as well."""
    write_run(tmp_path / "a")
    with served("board", tmp_path) as (process, url), connected(url) as stream:
        stream.sendall(STREAM % b"runs/events")
        assert status(stream.recv(1 << 16)) == 200
        process.send_signal(number)
        assert received(stream)  # to its end
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def events(connection):
    """Yield the events of a stream: name and JSON, also the number of those that have one."""
    data = b""
    while True:
        data += connection.recv(1 << 16)
        data = data.replace(b"\r\n", b"\n")
        while b"\n\n" in data:
            block, data = data.split(b"\n\n", 1)
            fields = dict(one.split(": ", 1) for one in block.decode().split("\n") if ": " in one)
            if "event" in fields:
                yield fields["event"], json.loads(fields["data"]), fields.get("id")


def test_metrics_are_streamed(tmp_path):
    folder = write_run(tmp_path / "a", 20, state="running", max_iter=400)
    with served("board", tmp_path) as (_, url), connected(url) as stream:
        stream.sendall(STREAM % b"metrics/events?run=a&after=0")
        found = events(stream)
        name, rows, number = next(found)
        assert (name, rows["run"], len(rows["train"]["loss"])) == ("rows", "a", 20)
        assert int(number) == rows["next"] == (folder / "metrics.jsonl").stat().st_size
        name, summary, _ = next(found)
        assert (name, summary["name"], summary["state"]) == ("summary", "a", "running")
        add_metrics(folder, 20, 22)
        name, rows, number = next(found)
        assert rows["train"]["iteration"] == [200, 210]
        assert rows["tests"][0]["iteration"] == [200]
        assert next(found)[1]["iteration"] == 210
    add_metrics(folder, 22, 23)
    head = (STREAM % b"metrics/events?run=a").replace(b"\r\n\r\n", b"\r\nLast-Event-ID: ")
    with served("board", tmp_path) as (_, url), connected(url) as stream:
        stream.sendall(head + number.encode() + b"\r\n\r\n")
        assert next(events(stream))[1]["train"]["iteration"] == [220]


def test_runs_are_streamed(tmp_path):
    folder = write_run(tmp_path / "a", 20, state="running", max_iter=400)
    with served("board", tmp_path) as (_, url), connected(url) as stream:
        stream.sendall(STREAM % b"runs/events")
        found = events(stream)
        name, news, _ = next(found)
        assert (name, [run["name"] for run in news["runs"]], news["is_all"]) == (
            "runs",
            ["a"],
            True,
        )
        add_metrics(folder, 20, 21)
        name, news, _ = next(found)
        assert (news["runs"][0]["iteration"], news["is_all"]) == (200, False)
        write_run(tmp_path / "b")
        assert [run["name"] for run in next(found)[1]["runs"]] == ["b"]
        shutil.rmtree(tmp_path / "b")
        assert next(found)[1] == {"runs": [], "removed": ["b"], "is_all": False}


def test_without_listeners_nothing_is_looked_at(tmp_path):
    """The processor time of a board at rest is that of an event loop."""
    write_run(tmp_path / "a", state="running")
    with served("board", tmp_path) as (process, url):
        with connected(url) as stream:
            stream.sendall(STREAM % b"runs/events")
            next(events(stream))
        time.sleep(0.5)  # until the server notices that the client has gone
        folder = tmp_path / "a"
        before = folder.stat().st_atime_ns, n_reads(process)
        time.sleep(2.5)
        assert (folder.stat().st_atime_ns, n_reads(process)) == before


def n_reads(process):
    """Return how many bytes a process has read from files, sockets and pipes."""
    with open(f"/proc/{process.pid}/io", encoding="ascii") as file:  # noqa: PTH123
        return int(file.readline().split()[1])
