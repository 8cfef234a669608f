"""The provider `http`, against a server of the standard library."""

from __future__ import annotations

import contextlib
import http.server
import json
import ssl
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from supervisor.chaos.activities import Activity
from supervisor.chaos.providers import Failed, Providers
from supervisor.chaos.variables import Variables
from tests.unit.chaos_files import trying, wrong

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOTHING = Variables()


def call(provider: dict[str, Any], variables: Variables = NOTHING) -> Any:
    return Providers().call(Activity({"type": "probe", "name": "x", "provider": provider}), variables)


class Page(http.server.BaseHTTPRequestHandler):
    """Answers with what it was asked, as JSON; some paths are odd."""

    seen: ClassVar[list[str]] = []

    def answer(self) -> None:
        path = self.path.partition("?")[0]
        Page.seen.append(path)
        length = int(self.headers.get("Content-Length") or 0)
        body = {
            "method": self.command,
            "path": self.path,
            "body": self.rfile.read(length).decode(),
            "x": self.headers.get("X"),
        }
        if path == "/slow":
            time.sleep(1)
        if path == "/cut" and Page.seen.count("/cut") < 3:
            self.close_connection = True
            return
        status = {"/gone": 404, "/bad": 500, "/moved": 302, "/file": 302}.get(path, 200)
        data = b"{half" if path == "/broken" else b"plain \xe9" if path == "/plain" else json.dumps(body).encode()
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/here" if path == "/moved" else "file:///etc/passwd")
        self.send_header("Content-Type", "text/plain; charset=latin-1" if path == "/plain" else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(data)

    do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the library's names

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[str]:
    Page.seen.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def web(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "http", "url": url, **more}


def test_a_request_answers_status_headers_and_body(site: str) -> None:
    """GET unless it says otherwise, its arguments in the query; JSON is read as such."""
    output = call(web(f"{site}/a?z=0", arguments={"q": "x y", "l": [1, 2]}, headers={"X": "${v}"}),
                  Variables(configuration={"v": 7}))  # fmt: skip
    assert output["status"] == 200
    assert output["headers"]["Content-Type"] == "application/json"
    assert output["body"] == {"method": "GET", "path": "/a?z=0&q=x+y&l=1&l=2", "body": "", "x": "7"}


@pytest.mark.parametrize(
    ("headers", "body"), [({}, "a=1&b=x+y"), ({"Content-Type": "application/json"}, '{"a": 1, "b": "x y"}')]
)
def test_arguments_of_the_other_methods_are_the_body(site: str, headers: dict[str, str], body: str) -> None:
    """A form, or JSON if the header says so."""
    output = call(web(f"{site}/a", method="post", headers=headers, arguments={"a": 1, "b": "x y"}))
    assert (output["body"]["method"], output["body"]["body"]) == ("POST", body)
    assert call(web(f"{site}/a", method="DELETE"))["body"]["method"] == "DELETE"


@pytest.mark.parametrize(("path", "status"), [("/gone", 404), ("/bad", 500), ("/moved", 200)])
def test_every_status_is_an_answer_and_what_moved_is_followed(site: str, path: str, status: int) -> None:
    """Whether it is the right one is for a tolerance to say."""
    assert call(web(site + path))["status"] == status


def test_a_page_that_leads_out_of_the_web_is_not_followed(site: str) -> None:
    """A file of this machine is no answer."""
    with pytest.raises(Failed, match="Redirection to url 'file:///etc/passwd' is not allowed"):
        call(web(f"{site}/file"))


def test_a_body_is_text_where_it_is_no_json(site: str) -> None:
    """In the encoding it names; broken JSON is what came, as text."""
    assert call(web(f"{site}/plain"))["body"] == "plain é"
    assert call(web(f"{site}/broken"))["body"] == "{half"


@pytest.mark.parametrize("timeout", [0.1, [5, 0.1]])
def test_a_page_that_takes_too_long_fails_the_activity(site: str, timeout: Any) -> None:
    """One time for every wait, or one to connect and one for data."""
    began = time.monotonic()
    with pytest.raises(Failed, match="timed out"):
        call(web(f"{site}/slow", timeout=timeout))
    assert time.monotonic() - began < 0.9


def test_a_connection_that_fails_is_tried_again_as_often_as_the_experiment_says(site: str) -> None:
    """Not once more."""
    with pytest.raises(Failed):
        call(web(f"{site}/cut", max_retries=1))
    assert Page.seen == ["/cut"] * 2
    assert call(web(f"{site}/cut", max_retries=1))["status"] == 200


def test_nobody_there_is_a_failure_with_the_reason() -> None:
    """Not an exception of the run."""
    with pytest.raises(Failed, match="Connection refused"):
        call(web("http://127.0.0.1:1/"))


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/", "x", "http://", "//x/"])
def test_only_the_web_is_asked(url: str) -> None:
    """Refused when the experiment is read, or, if a variable had it, at the call."""
    tree = trying({"type": "probe", "name": "x", "provider": web(url)})
    (said,) = wrong(tree, Providers())
    assert said.startswith("method[0].provider.url: must be a URL that begins with http:// or https://")
    with pytest.raises(Failed, match="must be a URL that begins with"):
        call(web("${url}"), Variables(configuration={"url": url}))


def test_what_a_request_cannot_have_is_refused_at_its_place() -> None:
    """Before the run."""
    provider = web(
        "http://x/", timeout=[1, 2, 3], headers=[], arguments="", verify_tls="no", max_retries=-1, methd="GET"
    )
    tree = trying({"type": "probe", "name": "x", "provider": provider})
    assert [one.removeprefix("method[0].provider.") for one in wrong(tree, Providers())] == [
        'methd: is no key of this part of an experiment; did you mean "method"?',
        "headers: must be an object, not a list",
        'arguments: must be an object, not ""',
        'verify_tls: must be true or false, not "no"',
        "max_retries: must be a whole number up to 100, not -1",
        "timeout: must be a number of seconds above 0, or two: [to connect, for data]",
    ]


def test_a_certificate_is_checked_unless_the_experiment_says_not_to(tmp_path: Path) -> None:
    """A name that is not the certificate's is no answer."""
    pem = tmp_path / "pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", "/CN=elsewhere", "-keyout", str(pem), "-out", f"{pem}.crt"], check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{pem}.crt", pem)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign] # a client that hangs up is what is tested
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        url = f"https://127.0.0.1:{server.server_address[1]}/a"
        try:
            with pytest.raises(Failed, match="CERTIFICATE_VERIFY_FAILED"):
                call(web(url))
            assert call(web(url, verify_tls=False))["status"] == 200
        finally:
            server.shutdown()
            thread.join()
