"""Who may send requests: Host, Origin, token."""

import re
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import minicaffe.web
from minicaffe.errors import UsageError
from minicaffe.web.access import Access, access_for
from minicaffe.web.application import web_application
from minicaffe.web.request_limits import RequestLimits

LOOPBACK = access_for("127.0.0.1", None)
TOKEN = "s3cret"


def client(access, host="127.0.0.1:6006"):
    def reply(request: Request):
        return PlainTextResponse(f"{request.method} {request.url.query}")

    routes = [Route("/a", reply, methods=["GET", "POST"]), Route("/", reply)]
    application = web_application(routes, access, RequestLimits())
    return TestClient(application, base_url=f"http://{host}", follow_redirects=False)


@pytest.mark.parametrize("host", ["127.0.0.1:6006", "localhost", "LOCALHOST:1", "[::1]:6006"])
def test_names_of_this_computer(host):
    assert client(LOOPBACK, host).get("/a").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.", "[::1"])
def test_other_names_are_refused(host):
    """The name of an attacker's page may have been set to this address (DNS rebinding)."""
    answer = client(LOOPBACK).get("/a", headers={"host": host})
    assert answer.status_code == 421
    assert answer.text.startswith("Host '")


def test_a_further_name_is_allowed():
    access = access_for("127.0.0.1", None, ["Board.example"])
    assert client(access, "board.example").get("/a").status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        *(({}, 200), ({"origin": "http://127.0.0.1:6006"}, 200)),
        *(({"origin": "http://evil.example"}, 403), ({"origin": "null"}, 403)),
        ({"origin": "http://127.0.0.1:7777"}, 403),  # another program of this computer
        *(({"sec-fetch-site": "same-origin"}, 200), ({"sec-fetch-site": "none"}, 200)),
        *(({"sec-fetch-site": "cross-site"}, 403), ({"sec-fetch-site": "same-site"}, 403)),
    ],
)
def test_changes_of_pages_of_other_sites_are_refused(headers, status):
    assert client(LOOPBACK).post("/a", headers=headers).status_code == status
    assert client(LOOPBACK).get("/a", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        *({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}),
        *({"cookie": "minicaffe_token=a"}, {"cookie": b"=;=;\x80"}, {"authorization": "Bearer"}),
    ],
)
def test_requests_without_the_token_are_refused(headers):
    access = access_for("127.0.0.1", "s3cret")
    answer = client(access).get("/a", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_the_token_of_programs():
    headers = {"authorization": b"bearer s3cret"}
    access = access_for("127.0.0.1", "s3cret")
    assert client(access).post("/a", headers=headers).status_code == 200


def test_the_token_in_the_address_becomes_a_cookie():
    access = access_for("127.0.0.1", TOKEN)
    browser = client(access)
    answer = browser.get("/a", params={"x": "1 2", "token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/a?x=1+2")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert browser.get("/a").status_code == 200
    assert client(access).get("/a", params={"token": "wrong"}).status_code == 401


def test_a_redirect_stays_at_this_server():
    answer = client(access_for("127.0.0.1", "t")).get("http://127.0.0.1//evil.example?token=t")
    assert answer.headers["location"] == "/evil.example"


def test_a_changing_request_needs_more_than_the_address():
    """A form of another site could have the token in its address only if it knew it; still."""
    assert client(access_for("127.0.0.1", "t")).post("/a?token=t").status_code == 401


def test_servers_of_one_computer_have_cookies_of_their_own():
    assert Access(frozenset(), "a").cookie != Access(frozenset(), "b").cookie


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "workstation.example"])
def test_other_computers_need_a_token(host):
    access = access_for(host, None)
    assert len(access.token) >= 32
    assert access.token != access_for(host, None).token
    assert host in access.hosts
    with pytest.raises(UsageError, match="so --token must not be empty"):
        access_for(host, "")


@pytest.mark.parametrize("token", ["a b", "비밀", "a+b", 'a"b', "a;b", "a\n"])
def test_a_token_that_urls_would_quote(token):
    with pytest.raises(UsageError, match="--token may have letters, digits"):
        access_for("127.0.0.1", token)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.5.5.5", "::1", "localhost"])
def test_this_computer_needs_none(host):
    assert access_for(host, None).token == ""


def test_security_headers_are_in_all_answers():
    for answer in (
        client(LOOPBACK).get("/a"),
        client(LOOPBACK).get("/no"),
        client(LOOPBACK).get("/a", headers={"host": "evil.example"}),
    ):
        policy = dict(
            one.strip().split(" ", 1)
            for one in answer.headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == "'self'"  # and so no inline scripts and styles
        assert policy["frame-ancestors"] == "'none'"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


def test_nothing_is_unpickled():
    """A pickle of a request or of a run folder could execute code."""
    package = Path(minicaffe.web.__file__).parent
    modules = list(package.rglob("*.py"))
    assert len(modules) > 10
    for path in modules:
        assert not re.search(r"pickle|marshal|shelve", path.read_text(encoding="utf-8")), path
