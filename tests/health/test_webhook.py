"""One message, to receivers that do with it what the test says."""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
import subprocess
import sys
import time
from importlib.resources import files

import pytest
import trustme

from lb.config import Webhook
from lb.health.webhook import Receiver, Refusal
from lb.model import Event
from tests.health.hook import hook
from tests.health.scripted_server import Script, answer, full_queue, refusing_port, scripted

SECRET = "correct-horse-battery"
EVENT = Event("1795354625889-0", 1795354625.889, "down", "a:1", "health-checker", "check: connection refused")
NO_CONTENT = answer("HTTP/1.1 204 No Content\n\n")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def receiver(url: str, **settings: object) -> Receiver:
    return Receiver(url, Webhook(secret=SECRET, **settings), "default", clock=lambda: 1795354626.7)


def test_an_event_is_posted_as_signed_json():
    with hook() as running:
        assert receiver(f"{running.url}?a=b").tell(EVENT) is None
    [message] = running.messages

    assert message.line == "POST /hook?a=b HTTP/1.1"
    assert message.event == {
        "id": "1795354625889-0",
        "at": 1795354625.889,
        "kind": "down",
        "server": "a:1",
        "by": "health-checker",
        "detail": "check: connection refused",
        "pool": "default",
        "host": socket.gethostname(),
    }
    assert message.headers["content-type"] == "application/json"
    assert message.headers["user-agent"].startswith("lb-webhook/")
    assert message.headers["x-lb-timestamp"] == "1795354626"
    expected = hmac.new(SECRET.encode(), b"1795354626." + message.body, hashlib.sha256).hexdigest()
    assert message.headers["x-lb-signature"] == f"sha256={expected}"


def test_without_a_secret_nothing_is_signed():
    with hook() as running:
        assert Receiver(running.url, Webhook(), "default").tell(EVENT) is None
    [message] = running.messages

    assert "x-lb-timestamp" in message.headers
    assert "x-lb-signature" not in message.headers


@pytest.mark.parametrize(
    ("status", "final"),
    [
        ("200 OK", None),
        ("202 Accepted", None),
        ("301 Moved Permanently", True),
        ("400 Bad Request", True),
        ("404 Not Found", True),
        ("408 Request Timeout", False),
        ("429 Too Many Requests", False),
        ("500 Internal Server Error", False),
        ("503 Service Unavailable", False),
    ],
)
def test_the_status_says_whether_it_was_taken_and_whether_to_try_again(status, final):
    with scripted(answer(f"HTTP/1.1 {status}\nContent-Length: 0\n\n")) as running:
        outcome = receiver(f"http://{running.id}/").tell(EVENT)

    assert outcome == (None if final is None else Refusal(f"status {status}", final))


def test_a_redirect_is_not_followed():
    with scripted(NO_CONTENT) as elsewhere:
        moved = answer(f"HTTP/1.1 307 Temporary Redirect\nLocation: http://{elsewhere.id}/\n\n")
        with scripted(moved) as running:
            outcome = receiver(f"http://{running.id}/").tell(EVENT)

        assert outcome == Refusal("status 307 Temporary Redirect", final=True)
        assert elsewhere.requests == []


def test_what_goes_wrong_on_the_way_may_pass():
    with refusing_port() as port:
        assert receiver(f"http://127.0.0.1:{port}/").tell(EVENT) == Refusal("connection refused", False)
    with scripted(answer("what?\n\n")) as running:
        outcome = receiver(f"http://{running.id}/").tell(EVENT)
    assert outcome == Refusal("the answer is not HTTP", False)
    with scripted(lambda _: None) as running:
        outcome = receiver(f"http://{running.id}/").tell(EVENT)
    assert outcome == Refusal("connection closed without an answer", False)


def drip(start: bytes, more: bytes) -> Script:
    """Answer a little at a time, until the other side hangs up."""

    def script(client: socket.socket) -> None:
        client.sendall(start)
        while True:
            client.sendall(more)
            time.sleep(0.01)

    return script


def silence(client: socket.socket) -> None:
    while client.recv(4096):
        """Until the other side hangs up."""


@pytest.mark.parametrize(
    ("scheme", "script"),
    [
        ("http", silence),
        ("http", drip(b"HTTP/1.1 200 OK\r\nX-Words: ", b"x")),
        ("http", drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
        ("https", silence),
        ("https", drip(b"\x16\x03\x03\x40\x00", b"\0")),
    ],
    ids=["silence", "dripping head", "interim answers for ever", "no handshake", "dripping handshake"],
)
def test_a_receiver_has_so_long_for_all_of_its_answer(scheme, script):
    with scripted(script) as running:
        said = told_in_time(f"{scheme}://{running.id}/")
    assert said == f"{Refusal('timed out after 0.2 s', final=False)}\n"


def test_all_addresses_of_a_receiver_together_have_so_long():
    with full_queue() as port:
        found = 3 * [(int(socket.AF_INET), int(socket.SOCK_STREAM), 6, "", ("127.0.0.1", port))]
        said = told_in_time("http://many.example/", f"socket.getaddrinfo = lambda *_, **__: {found}")
    assert said == f"{Refusal('timed out after 0.2 s', final=False)}\n"


def told_in_time(url: str, before: str = "") -> str:
    """Tell a receiver from a process whose sockets are gevent's, as those of the health-checker are."""
    program = (
        "from gevent import monkey; monkey.patch_all()\n"
        "import socket, sys\n"
        f"{before}\n"
        "from lb.health.webhook import Receiver, Webhook\n"
        "from tests.health.test_webhook import EVENT\n"
        "print(Receiver(sys.argv[1], Webhook(timeout='200ms'), 'default').tell(EVENT))\n"
    )
    command = [sys.executable, "-c", program, url]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


@pytest.mark.parametrize(
    ("head", "more", "expected"),
    [
        ("HTTP/1.1 200 OK\n\n", b"body", None),
        ("HTTP/1.1 200 OK\n", b"X-Words: x\r\n", Refusal("the answer is not valid HTTP", final=False)),
        ("HTTP/1.1 200 OK\nX-Words: ", b"x", Refusal("the answer is not valid HTTP", final=False)),
    ],
)
def test_of_an_answer_without_end_only_so_much_is_read(head, more, expected):
    def script(client: socket.socket) -> None:
        client.sendall(head.replace("\n", "\r\n").encode())
        while True:
            client.sendall(1000 * more)

    with scripted(script) as running:
        assert receiver(f"http://{running.id}/").tell(EVENT) == expected


def test_the_certificate_is_verified(tmp_path, monkeypatch):
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")

    def told() -> Refusal | None:
        with socket.create_server(("127.0.0.1", 0)) as plain:
            listener = context.wrap_socket(plain, server_side=True)
        with scripted(NO_CONTENT, listener) as running:
            return receiver(f"https://{running.id}/").tell(EVENT)

    refusal = told()
    assert refusal
    assert (refusal.final, "certificate verify failed" in refusal.reason) == (False, True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert told() is None


def test_the_proxy_of_the_environment_is_gone_by(monkeypatch):
    with hook() as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:pass@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert receiver("http://outside.example/hook").tell(EVENT) is None
        [message] = proxy.messages
        assert message.line == "POST http://outside.example/hook HTTP/1.1"
        assert message.headers["proxy-authorization"] == "Basic bWU6cGFzcw=="

        with refusing_port() as port:
            assert receiver(f"http://127.0.0.1:{port}/").tell(EVENT) == Refusal("connection refused", False)
        assert len(proxy.messages) == 1


def test_nothing_in_a_refusal_tells_the_path():
    """Such a URL is often a secret."""
    with refusing_port() as port:
        running = receiver(f"http://127.0.0.1:{port}/hunter2")
        outcome = running.tell(EVENT)
    assert outcome
    assert "hunter2" not in outcome.reason + running.name


def test_the_documented_receiver_takes_what_is_signed_and_nothing_else(tmp_path):
    guide = (files("lb") / "docs" / "operations.md").read_text()
    _, _, rest = guide.partition("## Webhook")
    block = rest.partition("```python\n")[2].partition("```")[0]
    assert block.count("\n") <= 20
    script = tmp_path / "receiver.py"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    script.write_text(block.replace("9000", str(port)).replace("PUT-A-SECRET-HERE", SECRET))
    with subprocess.Popen([sys.executable, "-u", script], stdout=subprocess.PIPE, text=True) as process:
        try:
            url = f"http://127.0.0.1:{port}/"
            now = receiver_of_now(url, SECRET)
            while (outcome := now.tell(EVENT)) and outcome.reason == "connection refused":
                assert process.poll() is None
            assert outcome is None
            assert receiver_of_now(url, "another-secret-altogether").tell(EVENT) == Refusal(
                "status 403 Forbidden", final=True
            )
            assert receiver(url).tell(EVENT) == Refusal("status 403 Forbidden", final=True)  # an old one
            assert process.stdout
            assert process.stdout.readline() == "down a:1 check: connection refused\n"
        finally:
            process.kill()


def receiver_of_now(url: str, secret: str) -> Receiver:
    return Receiver(url, Webhook(secret=secret), "default")
