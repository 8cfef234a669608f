"""The provider `http`: a request, and what came back.

{"type": "http", "url": "http://…", "method": "GET", "headers": {}, "arguments": {}, "timeout": 3, "verify_tls": true,
"max_retries": 0} answers {"status", "headers", "body"}; every status is an answer. Arguments of a GET go into the URL, of
the others into the body: as JSON if `Content-Type` says so, else as a form. `timeout` is seconds for each wait, or a pair,
[to connect, for data]; without it 30 s. A body of type application/json is read as such.
"""

from __future__ import annotations

import contextlib
import json
import urllib.parse
from typing import TYPE_CHECKING, Any

from supervisor.chaos.reading import is_number, named

if TYPE_CHECKING:
    import http.client
    import urllib.request  # noqa: TC004 - at run time where it is needed: 30 ms most experiments have no use for

    from supervisor.chaos.reading import Spot
    from supervisor.chaos.variables import Variables

PATIENCE_S = 30.0
_SCHEMES = ("http", "https")
_KEYS = ("type", "url", "method", "headers", "arguments", "timeout", "verify_tls", "max_retries")
_IDLE = {
    "expected_status": "has no effect (the format has given it up); a tolerance says what is expected",
    "secrets": "has no effect here; name them where they are wanted, as ${name}",
}


def check(provider: dict[str, Any], spot: Spot, variables: Variables) -> None:
    """Tell `spot` all that is wrong with such a provider."""
    spot.keys(provider, _KEYS, _IDLE)
    for key in ("method", "headers", "arguments"):
        variables.check(provider.get(key), spot.at(key))
    for key in spot.needs(provider, ("url",)):
        url = spot.at(key).text(provider[key])
        if url is not None and variables.settled(url, spot.at(key)):
            try:
                address(str(variables.fill(url)), None)
            except ValueError as error:
                spot.at(key).wrong(str(error))
    spot.at("method").text(provider.get("method", "GET"))
    spot.at("headers").table(provider.get("headers", {}))
    spot.at("arguments").table(provider.get("arguments", {}))
    spot.at("verify_tls").flag(provider.get("verify_tls", True))
    retries = provider.get("max_retries", 0)
    if not isinstance(retries, int) or isinstance(retries, bool) or not 0 <= retries <= 100:
        spot.at("max_retries").wrong(f"must be a whole number up to 100, not {named(retries)}")
    if provider.get("timeout") is not None and variables.settled(provider["timeout"], spot.at("timeout")):
        _check_timeout(variables.fill(provider["timeout"]), spot.at("timeout"))


def call(provider: dict[str, Any], variables: Variables) -> dict[str, Any]:
    """Send the request; OSError (urllib's errors are), ValueError."""
    asked = variables.fill(provider)
    opener = _opener(asked.get("timeout", PATIENCE_S), verify=asked.get("verify_tls", True))
    request = _request(asked)
    tries = asked.get("max_retries", 0)
    while True:
        try:
            with opener.open(request) as response:
                return _answer(response)
        except OSError as error:  # never for a status, which is an answer: no connection, or none in time
            if hasattr(error, "close"):  # moved to where nobody goes: urllib's error holds the connection
                error.close()
            if not tries:
                raise
            tries -= 1


def address(url: str, arguments: dict[str, Any] | None) -> str:
    """Return the URL with the arguments as its query; ValueError for one that is not of the web."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise ValueError(f"must be a URL that begins with http:// or https://, not {named(url)}")
    if arguments:
        query = "&".join(filter(None, (parts.query, urllib.parse.urlencode(arguments, doseq=True))))
        parts = parts._replace(query=query)
    return parts.geturl()


def _check_timeout(timeout: Any, spot: Spot) -> None:
    waits = timeout if isinstance(timeout, list) else [timeout]
    if len(waits) not in (1, 2) or not all(is_number(wait) and 0 < wait < float("inf") for wait in waits):
        spot.wrong("must be a number of seconds above 0, or two: [to connect, for data]")


def _request(asked: dict[str, Any]) -> urllib.request.Request:
    import urllib.request  # noqa: PLC0415

    method, arguments = str(asked.get("method", "GET")).upper(), asked.get("arguments") or {}
    headers = {str(key): str(value) for key, value in asked.get("headers", {}).items()}
    if method == "GET":
        return urllib.request.Request(address(asked["url"], arguments), headers=headers, method=method)  # noqa: S310 - checked
    kind = next((value for key, value in headers.items() if key.lower() == "content-type"), "")
    body = json.dumps(arguments) if kind == "application/json" else urllib.parse.urlencode(arguments, doseq=True)
    data = body.encode() if arguments else None
    return urllib.request.Request(address(asked["url"], None), data=data, headers=headers, method=method)  # noqa: S310 - checked


def _opener(timeout: Any, *, verify: bool) -> urllib.request.OpenerDirector:
    # Put together by hand: the usual one opens files and FTP too, and raises for a status.
    import http.client  # noqa: PLC0415
    import ssl  # noqa: PLC0415
    import urllib.request  # noqa: PLC0415

    to_connect, for_data = timeout if isinstance(timeout, list) and len(timeout) == 2 else [_first(timeout)] * 2

    class Plain(http.client.HTTPConnection):
        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(for_data)

    class Secure(http.client.HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            self.sock.settimeout(for_data)

    context = ssl.create_default_context()
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    class Http(urllib.request.HTTPHandler):
        def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            req.timeout = to_connect
            return self.do_open(Plain, req)

    class Https(urllib.request.HTTPSHandler):
        def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
            req.timeout = to_connect
            return self.do_open(Secure, req, context=context)

    class Statuses(urllib.request.HTTPErrorProcessor):
        def http_response(self, request, response):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
            moved = response.status in (301, 302, 303, 307, 308)
            return super().http_response(request, response) if moved else response

        https_response = http_response

    opener = urllib.request.OpenerDirector()
    for handler in (urllib.request.ProxyHandler(), Http(), Https(), urllib.request.HTTPRedirectHandler(), Statuses()):
        opener.add_handler(handler)
    return opener


def _first(timeout: Any) -> Any:
    return timeout[0] if isinstance(timeout, list) else timeout


def _answer(response: Any) -> dict[str, Any]:
    data, kind = response.read(), response.headers.get("Content-Type", "")
    body: Any = data.decode(response.headers.get_content_charset() or "utf-8", errors="replace")
    if kind.partition(";")[0].strip() == "application/json":
        with contextlib.suppress(ValueError):  # it may say so and be something else: the text is what came
            body = json.loads(body)
    return {"status": response.status, "headers": dict(response.headers), "body": body}
