"""Limits of the service, and its end, with real sockets."""

import asyncio
import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from service_process import wait_until

from image_nets import picture

SLEEPY = """
import os, time
import caffe

class Sleep(caffe.Layer):
    def setup(self, bottom, top):
        self.is_ready = False
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].data.shape)
    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data
        time.sleep(float(bottom[0].data.max()))
"""
SLEEPY_NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 } } }
layer { name: "y" type: "Python" bottom: "x" top: "y"
  python_param { module: "sleepy" layer: "Sleep" } }
layer { name: "z" type: "Scale" bottom: "y" top: "z" scale_param { axis: 0 num_axes: 0
  filler { value: 1 } } }
"""
COMPUTED = 'minicaffe_batch_samples_sum{model="sleepy",version="1"}'


def outcome(name):
    return f'minicaffe_requests_total{{model="sleepy",version="1",outcome="{name}"}}'


@pytest.fixture
def sleepy(start, tmp_path):
    """A function that starts a service of a net that sleeps as many seconds as it gets."""
    from image_nets import save_random_weights

    (tmp_path / "sleepy.py").write_text(SLEEPY)
    (tmp_path / "sleepy.prototxt").write_text(SLEEPY_NET)
    plain = SLEEPY_NET.replace('type: "Python"', 'type: "ReLU"')
    (tmp_path / "plain.prototxt").write_text(plain)
    save_random_weights(tmp_path / "plain.prototxt", tmp_path / "sleepy.caffemodel", 1)
    return lambda *words: start("sleepy.caffemodel", "--net=sleepy.prototxt", *words)


def body(seconds):
    tensor = {"name": "x", "shape": [1], "datatype": "FP32", "data": [seconds]}
    return {"inputs": [tensor]}


def sleep(service, seconds):
    return service.post("/v2/models/sleepy/infer", body(seconds))


def raw_request(content, length=None):
    head = "POST /v2/models/sleepy/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
    return f"{head}{length or len(content)}\r\n\r\n".encode() + content


@pytest.mark.slow
def test_a_request_that_takes_too_long_gets_504(sleepy):
    service = sleepy("--timeout_s=0.3")
    answer = sleep(service, 1.5)
    assert (answer.status, answer.json()["error"]) == (504, "no answer within 0.3 s")
    wait_until(lambda: service.metric(COMPUTED) == 1)
    assert sleep(service, 0).status == 200


@pytest.mark.slow
def test_requests_beyond_the_queue_get_429(sleepy):
    service = sleepy("--queue=2")
    with ThreadPoolExecutor(9) as pool:
        first = pool.submit(sleep, service, 1.5)
        wait_until(lambda: not first.running() or service.metric("minicaffe_queue_length") == 0)
        time.sleep(0.3)
        answers = [one.result() for one in [pool.submit(sleep, service, 0) for _ in range(7)]]
        assert first.result().status == 200
    counts = {status: [one.status for one in answers].count(status) for status in (200, 429)}
    assert counts == {200: 2, 429: 5}
    refused = next(one for one in answers if one.status == 429)
    assert refused.headers["retry-after"] == "1"
    assert "2 requests wait; try again later" in refused.json()["error"]


@pytest.mark.slow
def test_what_nobody_waits_for_is_not_computed(sleepy):
    service = sleepy()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(sleep, service, 1.5)
        time.sleep(0.3)
        content = json.dumps(body(0.5)).encode()
        gone = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(5)]
        for one in gone:
            one.sendall(raw_request(content))
        wait_until(lambda: service.metric('minicaffe_queue_length{model="sleepy"') == 5)
        for one in gone:
            one.close()
        wait_until(lambda: service.metric(outcome("cancelled")) == 5)
        assert first.result().status == 200
    assert sleep(service, 0).status == 200
    assert service.metric(COMPUTED) == 2


@pytest.mark.slow
def test_the_end_answers_what_has_begun(sleepy):
    service = sleepy("--notice_s=1.5")
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(sleep, service, 2.5)]
        time.sleep(0.3)
        answers.append(pool.submit(sleep, service, 0.1))
        wait_until(lambda: service.metric('minicaffe_queue_length{model="sleepy"') == 1)
        assert service.get("/v2/health/ready").status == 200
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: service.get("/v2/health/ready").status == 503)
        assert service.get("/v2/health/live").status == 200
        assert [one.result().status for one in answers] == [200, 200]
        assert answers[0].result().json()["outputs"][0]["data"] == [2.5]
    assert service.process.wait(20) == 0
    with pytest.raises(ConnectionRefusedError):
        service.get("/v2/health/live")
    assert "Traceback" not in service.log()


def test_bodies_have_a_size(service):
    limit = 4 << 20
    accepted = service.post("/v2/models/classes/classify", bytes(limit), content_type="image/png")
    assert accepted.status == 400
    refused = service.post(
        "/v2/models/classes/classify", bytes(limit + 1), content_type="image/png"
    )
    assert refused.status == 413
    assert refused.json() == {"error": f"The body is larger than {limit} bytes."}


@pytest.mark.parametrize("is_chunked", [False, True])
def test_an_upload_of_a_gigabyte_is_ended(service, is_chunked):
    memory = resident_bytes(service)
    block = bytes(1 << 20)
    how = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {1 << 30}"
    head = f"POST /v2/models/classes/infer HTTP/1.1\r\nHost: localhost\r\n{how}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        connection.sendall(head.encode())
        n_sent = 0
        try:
            for _ in range(1 << 10):
                connection.sendall(b"100000\r\n" + block + b"\r\n" if is_chunked else block)
                n_sent += len(block)
        except OSError:
            pass
    assert n_sent < 1 << 28
    assert resident_bytes(service) < memory + (64 << 20)
    assert service.get("/v2/health/ready").status == 200


def resident_bytes(service):
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return 1024 * int(status.partition("VmRSS:")[2].split()[0])


@pytest.mark.slow
def test_slow_clients_hold_up_nobody_and_are_ended(start):
    service = start("classes.caffemodel", "--net=classes.prototxt", "--receive_s=1.5")
    head = b"POST /v2/models/classes/classify HTTP/1.1\r\nHost: localhost\r\nContent-Le"
    slow = [socket.create_connection(("127.0.0.1", service.port), timeout=30) for _ in range(100)]
    for k, one in enumerate(slow):
        one.sendall(head if k % 2 else head + b"ngth: 1000\r\n\r\nabc")
    assert service.post("/v2/models/classes/classify", picture()).status == 200
    for one in slow[::2]:
        assert one.recv(4096).startswith(b"HTTP/1.1 408 ")
        assert one.recv(4096) in (b"", b'{"error":"The body has not arrived in 1.5 s."}')
    assert service.post("/v2/models/classes/classify", picture()).status == 200
    # Those without complete headers do not keep the process from ending.
    assert service.end() == 0
    for one in slow:
        one.close()


@pytest.mark.slow
def test_a_thousand_requests_at_once_are_answered(service):
    x = np.random.default_rng(5).normal(0, 9, (1000, 1, 3, 6, 9)).astype(np.float32)
    tensor = {"name": "data", "shape": [1, 3, 6, 9], "datatype": "FP32"}
    tensor["parameters"] = {"binary_data_size": x[0].nbytes}
    text = json.dumps({"inputs": [tensor]}).encode()
    head = (
        "POST /v2/models/classes/infer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Inference-Header-Content-Length: {len(text)}\r\n"
        f"Content-Length: {len(text) + x[0].nbytes}\r\n\r\n"
    ).encode()

    async def request(values):
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        writer.write(head + text + values.tobytes())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        status, _, content = answer.partition(b"\r\n\r\n")
        assert status.startswith(b"HTTP/1.1 200")
        return json.loads(content)["outputs"][0]["data"]

    async def all_requests():
        return await asyncio.gather(*(request(values) for values in x))

    found = np.array(asyncio.run(asyncio.wait_for(all_requests(), 60)))
    whole = {
        "name": "data",
        "shape": [1000, 3, 6, 9],
        "datatype": "FP32",
        "data": x.ravel().tolist(),
    }
    expected = service.post("/v2/models/classes/infer", {"inputs": [whole]}).json()
    expected = np.reshape(expected["outputs"][0]["data"], (1000, 3))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_loaded_versions_answer_while_another_is_loaded(start):
    service = start("models.json", "--notice_s=0")

    def load(name):
        return service.post(f"/v2/repository/models/{name}/load").status

    with ThreadPoolExecutor(6) as pool:
        loads = [pool.submit(load, name) for name in ("classes", "objects", "pixels") * 3]
        images = [
            pool.submit(service.post, "/v2/models/classes/classify", picture(seed=k))
            for k in range(20)
        ]
        assert {one.result() for one in loads} == {200}
        assert {one.result().status for one in images} == {200}
