"""Limits of the size of requests and of the time that they take."""

import asyncio
import socket
import threading
from contextlib import contextmanager

import pytest
import uvicorn
from raw_http import connected, received, status
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from minicaffe.web import request_limits
from minicaffe.web.access import access_for
from minicaffe.web.application import web_application
from minicaffe.web.request_limits import RequestLimits, TimedProtocol

HEAD = b"POST /echo HTTP/1.1\r\nHost: localhost\r\n"


async def echo(request: Request):
    return PlainTextResponse(str(len(await request.body())))


def application(**limits):
    routes = [Route("/echo", echo, methods=["GET", "POST"])]
    return web_application(routes, access_for("127.0.0.1", None), RequestLimits(**limits))


@contextmanager
def running(app):
    """Run a server in a thread; yield its URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=TimedProtocol, ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.mark.parametrize(("size", "code"), [(10, 200), (11, 413), (10**6, 413)])
def test_a_large_body_is_refused(size, code):
    client = TestClient(application(body_bytes=10), base_url="http://localhost")
    assert client.post("/echo", content=b"x" * size).status_code == code


def test_a_large_body_is_refused_before_it_is_sent():
    with running(application(body_bytes=1000)) as url, connected(url) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000000000\r\n\r\n")
        answer = received(connection)
    assert status(answer) == 413
    assert answer.endswith(b'{"error":"The body is larger than 1000 bytes."}')


def test_a_large_body_in_chunks_is_refused():
    """Its length is not known before."""
    chunk = b"400\r\n" + b"x" * 0x400 + b"\r\n"
    with running(application(body_bytes=10_000)) as url, connected(url) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + 20 * chunk)
        assert status(received(connection)) == 413


@pytest.mark.parametrize("length", [b"-5", b"ten", b"5, 6"])
def test_a_length_that_is_none_is_refused(length):
    with running(application()) as url, connected(url) as connection:
        connection.sendall(HEAD + b"Content-Length: " + length + b"\r\n\r\n")
        assert status(received(connection)) == 400


def test_a_slow_body_is_refused():
    with running(application(body_s=0.2)) as url, connected(url) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\nx")
        answer = received(connection)
    assert status(answer) == 408
    assert answer.endswith(b'{"error":"The body has not arrived in 0.2 s."}')


@pytest.mark.parametrize("sent", [b"", b"GET / HT", HEAD])
def test_slow_headers_end_the_connection(monkeypatch, sent):
    monkeypatch.setattr(request_limits, "_HEADERS_S", 0.2)
    with running(application()) as url, connected(url) as connection:
        connection.sendall(sent)
        assert received(connection) == b""


def test_a_slow_answer_is_not_cut(monkeypatch):
    monkeypatch.setattr(request_limits, "_HEADERS_S", 0.1)

    async def slow(request: Request):
        await asyncio.sleep(0.4)
        return PlainTextResponse("done")

    app = web_application(
        [Route("/", slow)], access_for("127.0.0.1", None), RequestLimits(body_s=0.1)
    )
    with running(app) as url, connected(url) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert received(connection).endswith(b"done")


def test_a_client_that_goes_away_harms_nobody():
    with running(application()) as url:
        for sent in (b"", b"GET", HEAD + b"Content-Length: 1000\r\n\r\nx"):
            with connected(url) as connection:
                connection.sendall(sent)
        with connected(url) as connection:
            connection.sendall(HEAD + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc")
            assert received(connection).endswith(b"3")
