"""Who may send requests: checks of Host, Origin and token before an application sees a request.

| check | refuses |
|---|---|
| Host | names of other servers: a page of another site may resolve its name to this address |
| Origin | changes that a page of another site asks for, with which a browser sends the cookie |
| token | requests without it, if there is one: other computers, other users of this one |
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from minicaffe.errors import UsageError

_TOKEN = re.compile(r"[A-Za-z0-9._~-]*")
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_SECURITY_HEADERS = {
    b"content-security-policy": (
        b"default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        b"form-action 'self'; frame-ancestors 'none'"
    ),
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"referrer-policy": b"no-referrer",
    b"x-content-type-options": b"nosniff",
}


@dataclass(frozen=True)
class Access:
    """Conditions for requests.

    Parameters
    ----------
    hosts : frozenset of str
        Names and addresses that the Host header may have, in lower case, without port.
    token : str
        What requests have to give; empty: nothing.
    """

    hosts: frozenset[str]
    token: str = ""

    @property
    def cookie(self) -> str:
        """Name of the cookie: one for each token, since a browser shares cookies between ports."""
        return "minicaffe_" + hashlib.sha256(self.token.encode()).hexdigest()[:8]


def access_for(host: str, token: str | None, names: Sequence[str] = ()) -> Access:
    """Return the conditions for a server that listens at an address.

    Parameters
    ----------
    host : str
        The address or name.
    token : str or None
        The token; None: a random one if the address can be reached from other computers.
    names : sequence of str
        Further names under which clients reach the server, as that of a proxy.

    Raises
    ------
    UsageError
        If the token is empty at such an address, or has characters that URLs and cookies quote.
    """
    is_public = not is_loopback(host)
    if token is None:
        token = secrets.token_urlsafe(24) if is_public else ""
    if is_public and not token:
        raise UsageError(
            f"--host={host} can be reached from other computers, so --token must not be empty"
        )
    if not _TOKEN.fullmatch(token):
        raise UsageError("--token may have letters, digits and the characters - . _ ~")
    known = {*_LOOPBACK_NAMES, host, *names}
    if is_public:
        known |= {socket.gethostname(), socket.getfqdn(), *_own_addresses(host)}
    return Access(frozenset(name.lower() for name in known), token)


def is_loopback(host: str) -> bool:
    """Return whether an address or name is reached from this computer only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _own_addresses(host: str) -> set[str]:
    """Return the addresses of this computer, if a server listens at all of them."""
    try:
        if not ipaddress.ip_address(host).is_unspecified:
            return set()
        return {str(found[4][0]) for found in socket.getaddrinfo(socket.gethostname(), None)}
    except (OSError, ValueError):
        return set()


class AccessCheck:
    """ASGI middleware that refuses requests which `access` does not allow.

    Parameters
    ----------
    app : ASGI application
    access : Access
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it to the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                more = [one for one in _SECURITY_HEADERS.items() if one[0] not in given]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        answer = self._refusal(scope)
        await (answer or self._app)(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = _host_name(headers.get("host", ""))
        if host not in self._access.hosts:
            return PlainTextResponse(
                f"Host {host!r} is not a name of this server. Start it with --allow_host={host} if "
                "it should be.\n",
                421,
            )
        is_foreign = not _is_same_origin(headers)
        if is_foreign and scope["method"] not in _READING:
            return PlainTextResponse("A page of another site may change nothing here.\n", 403)
        return self._without_token(scope, headers) if self._access.token else None

    def _without_token(self, scope: Scope, headers: Headers) -> Response | None:
        """Return None for a request that has the token, by header or cookie."""
        kind, _, value = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self._is_token(value.strip()):
            return None
        if self._is_token(_cookie(headers, self._access.cookie)):
            return None
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if scope["method"] == "GET" and self._is_token(dict(query).get("token", "")):
            rest = urlencode([pair for pair in query if pair[0] != "token"])
            # An address that begins with // would be another server.
            path = "/" + scope["path"].lstrip("/\\")
            answer = RedirectResponse(f"{path}{'?' if rest else ''}{rest}", 303)
            answer.set_cookie(
                self._access.cookie, self._access.token, httponly=True, samesite="strict"
            )
            return answer
        return PlainTextResponse(
            "Open the address that the command has printed, which contains the token; programs "
            "send it as 'Authorization: Bearer TOKEN'.\n",
            401,
            {"www-authenticate": "Bearer"},
        )

    def _is_token(self, text: str) -> bool:
        return secrets.compare_digest(text.encode(), self._access.token.encode())


def _host_name(text: str) -> str:
    """Return the name in a Host header, without port and brackets, in lower case."""
    try:
        return (urlsplit(f"//{text}").hostname or "").lower()
    except ValueError:
        return ""


def _is_same_origin(headers: Headers) -> bool:
    """Return whether a request is of a page of this server, or of no page."""
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def _cookie(headers: Headers, name: str) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return found.value if found is not None else ""
