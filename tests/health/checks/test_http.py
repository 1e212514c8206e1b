import errno
import socket
import struct
import threading
import time

import gevent.event
import pytest

from lb import __version__
from lb.config import HealthCheck
from lb.health.checks.http import HttpCheck
from tests.health.scripted_server import answer, full_queue, refusing_port, scripted, server

PATIENT = HealthCheck()
HASTY = HealthCheck(timeout="500ms")


def check(of, settings):
    return HttpCheck()(of, settings)


def outcome(script, settings=PATIENT):
    with scripted(script) as running:
        result = check(running.server, settings)
    return result.passed, result.answered, result.detail


def silence(client):
    client.recv(1)  # until the other side hangs up


def drip(head):
    def script(client):
        client.sendall(head)
        while True:
            client.sendall(b"x")
            time.sleep(0.01)

    return script


def reset(client):
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (answer("HTTP/1.1 200 OK\n\n"), (True, True, "200 OK")),
        (answer("HTTP/1.0 204 No Content\n\n"), (True, True, "204 No Content")),
        (answer("HTTP/1.1 302 Found\nLocation: http://127.0.0.1:1/\n\n"), (True, True, "302 Found")),
        (answer("HTTP/1.1 299 Whatever\n\n"), (True, True, "299")),
        (answer("HTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 200 OK\n\n"), (True, True, "200 OK")),
        (
            answer("HTTP/1.1 100 Continue\n\nHTTP/1.1 102 Wait\n\nHTTP/1.1 503 No\n\n"),
            (False, True, "status 503 (expected 200-499)"),
        ),
        (
            answer("HTTP/1.1 103 Early Hints\nLink: </a>\n\n"),
            (False, False, "connection closed without an answer"),
        ),
        (answer("HTTP/1.1 404 Not Found\n\n"), (True, True, "404 Not Found")),
        (answer("HTTP/1.1 500 Oops\n\n"), (False, True, "status 500 (expected 200-499)")),
        (answer("SSH-2.0-OpenSSH\n"), (False, False, "the answer is not HTTP")),
        (answer("HTTP/1.1 abc\n\n"), (False, False, "the answer is not HTTP")),
        (answer("HTTP/1.1 200 OK\n" + "X: y\n" * 200 + "\n"), (False, False, "the answer is not valid HTTP")),
        (lambda client: None, (False, False, "connection closed without an answer")),
        (reset, (False, False, "connection reset")),
    ],
)
def test_outcome_of_what_a_server_does(script, expected):
    assert outcome(script) == expected


@pytest.mark.parametrize(("method", "first"), [
    ("HEAD", "200 OK"), ("GET", "204 No Content"), ("GET", "304 Not Modified"), ("GET", "103 Hints"),
])  # fmt: skip
@pytest.mark.parametrize("framing", [
    "Content-Length: 0\nTransfer-Encoding: chunked\n", "Transfer-Encoding: chunked\n", "Content-Length: 5\n",
    "Content-Length: 5\nContent-Length: 6\n", "Content-Length: x\n", "Transfer-Encoding: gzip, chunked\n",
])  # fmt: skip
def test_a_message_without_a_body_ends_at_its_empty_line(method, first, framing):
    """RFC 9112 §6.3, 1: whatever its fields say. The connection stays open, so a wait for more fails."""
    final = "HTTP/1.1 200 OK\nContent-Length: 0\n\n" if first.startswith("1") else ""

    def script(client):
        answer(f"HTTP/1.1 {first}\n{framing}\n{final}")(client)
        silence(client)

    expected = (True, True, "200 OK" if final else first)
    assert outcome(script, HealthCheck(method=method, timeout="2s")) == expected


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(silence, (False, False, "timed out after 0.5 s"), id="silent"),
        pytest.param(drip(b"HTTP/1"), (False, False, "timed out after 0.5 s"), id="drips its first line"),
        pytest.param(
            drip(b"HTTP/1.1 200 OK\r\nX: "),
            (False, True, "status 200, then timed out after 0.5 s"),
            id="drips its header",
        ),
    ],
)
def test_a_server_that_takes_too_long_fails(script, expected):
    started = time.monotonic()
    assert outcome(script, HASTY) == expected
    assert time.monotonic() - started < 5


def test_refused_connection():
    with refusing_port() as port:
        result = check(server(f"127.0.0.1:{port}"), PATIENT)
    assert (result.passed, result.answered, result.detail) == (False, False, "connection refused")


def test_unknown_host():
    result = check(server("nowhere.invalid:80"), PATIENT)
    assert (result.passed, result.answered, result.detail) == (False, False, "host name not found")


def test_connecting_is_bounded():
    with full_queue() as port:
        result = check(server(f"127.0.0.1:{port}"), HASTY)
    assert (result.passed, result.answered, result.detail) == (False, False, "timed out after 0.5 s")


def resolve(monkeypatch, *addresses):
    """Have every name lead to these addresses."""
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)


def test_all_addresses_together_have_one_time_out(monkeypatch):
    with full_queue() as port:
        resolve(monkeypatch, *5 * [("127.0.0.1", port)])
        result = check(server("many.example:80"), HASTY)
    assert (result.passed, result.answered, result.detail) == (False, False, "timed out after 0.5 s")
    assert result.duration_seconds < 1


def test_a_server_is_reached_at_any_of_its_addresses(monkeypatch):
    ok = answer("HTTP/1.1 200 OK\n\n")
    with full_queue() as silent, refusing_port() as refusing, scripted(ok) as running:
        ports = (refusing, silent, int(running.id.rpartition(":")[2]))
        resolve(monkeypatch, *(("127.0.0.1", port) for port in ports))
        assert check(server("many.example:80"), HASTY).passed
        assert b"\r\nHost: many.example\r\n" in running.requests[0]


OK = answer("HTTP/1.1 200 OK\n\n")
SICK = answer("HTTP/1.1 500 Oops\n\n")


def address(running):
    return ("127.0.0.1", int(running.id.rpartition(":")[2]))


def name(running):
    return f"127.0.0.1:{address(running)[1]}"


def test_each_address_is_checked_by_itself(monkeypatch):
    with scripted(SICK) as sick, scripted(OK) as well, refusing_port() as refusing:
        resolve(monkeypatch, address(sick), address(well), ("127.0.0.1", refusing))
        result = check(server("many.example:80"), PATIENT)
    assert (result.passed, result.answered) == (True, True)
    assert result.detail == f"200 OK, but {name(sick)}: status 500 (expected 200-499)"
    assert result.addresses == {name(sick): "status 500 (expected 200-499)", name(well): ""}


def test_all_addresses_are_asked_at_the_same_time(monkeypatch):
    """So one that hangs takes no time from the others: each of these answers once the other was asked."""
    both = threading.Barrier(2)

    def together(client):
        both.wait(5)
        OK(client)

    with scripted(together) as one, scripted(together) as another:
        resolve(monkeypatch, address(one), address(another))
        assert check(server("many.example:80"), PATIENT).addresses == {name(one): "", name(another): ""}


def test_an_address_that_hangs_is_told_beside_one_that_passes(monkeypatch):
    with scripted(silence) as silent, scripted(OK) as well, full_queue() as full:
        resolve(monkeypatch, address(silent), ("127.0.0.1", full), address(well))
        result = check(server("many.example:80"), HASTY)
    assert result.passed
    assert result.addresses[name(silent)] == result.addresses[f"127.0.0.1:{full}"] == "timed out after 0.5 s"
    assert result.detail.endswith("timed out after 0.5 s, and 1 more")


def test_if_all_addresses_fail_it_is_an_answer_that_is_told(monkeypatch):
    with scripted(silence) as silent, scripted(SICK) as sick:
        resolve(monkeypatch, address(silent), address(sick))
        result = check(server("many.example:80"), HASTY)
    assert (result.passed, result.answered, result.detail) == (False, True, "status 500 (expected 200-499)")


def test_what_we_lack_is_no_fault_of_the_server(monkeypatch):
    def exhausted(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    with scripted(OK) as running:
        monkeypatch.setattr(socket.socket, "connect", exhausted)
        result = check(running.server, PATIENT)
        monkeypatch.undo()
    assert (result.passed, result.not_made, result.detail) == (False, True, "too many open files")
    with refusing_port() as port:
        assert not check(server(f"127.0.0.1:{port}"), PATIENT).not_made


def test_an_address_in_place_of_a_name_is_the_server_itself():
    with scripted(SICK) as running:
        assert check(running.server, PATIENT).addresses == {}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (
            socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"),
            (True, "200 OK, but its name cannot be looked up: name server does not answer"),
        ),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), (False, "host name not found")),
    ],
    ids=["no answer", "gone"],
)
def test_the_last_addresses_serve_while_no_name_server_answers(monkeypatch, error, expected):
    one = HttpCheck()

    def fail(*_, **__):
        raise error

    with scripted(OK) as running:
        resolve(monkeypatch, address(running))
        assert one(server("many.example:80"), PATIENT).name_problem == ""
        monkeypatch.setattr("socket.getaddrinfo", fail)
        result = one(server("many.example:80"), PATIENT)
    assert (result.passed, result.detail) == expected
    assert result.name_problem in result.detail
    assert result.name_problem


def test_a_name_server_that_hangs_leaves_time_for_the_last_addresses(monkeypatch):
    one, answers = HttpCheck(), gevent.event.Event()
    with scripted(OK) as running:
        resolve(monkeypatch, address(running))
        one(server("many.example:80"), HASTY)
        monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: answers.wait(10) and [])
        result = one(server("many.example:80"), HASTY)
        answers.set()
    assert result.passed
    assert result.detail == "200 OK, but its name cannot be looked up: timed out after 0.25 s"


def test_looking_up_a_name_is_bounded(monkeypatch):
    answers = gevent.event.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: answers.wait(10) and [])
    result = check(server("slow.example:80"), HASTY)
    answers.set()
    assert (result.passed, result.answered, result.detail) == (False, False, "timed out after 0.5 s")


# --- servers that do not know HEAD


def by_method(head, get):
    """Answer with a status, or as a script does, by the request's method."""
    return {
        method: answer(f"HTTP/1.1 {given} Some\nContent-Length: 2\n\n") if isinstance(given, int) else given
        for method, given in (("HEAD", head), ("GET", get))
    }


@pytest.mark.parametrize(
    ("head", "get", "settings", "expected"),
    [
        pytest.param(405, 200, {}, (True, "200 OK"), id="FastAPI"),
        pytest.param(405, 401, {}, (True, "401 Unauthorized"), id="with a login"),
        pytest.param(501, 403, {}, (True, "403 Forbidden"), id="http.server"),
        pytest.param(405, 404, {}, (True, "404 Not Found"), id="without a front page"),
        pytest.param(405, 500, {}, (False, "status 500 (expected 200-499)"), id="broken"),
        pytest.param(500, 200, {}, (True, "200 OK"), id="breaks on HEAD"),
        pytest.param(lambda _: None, 200, {}, (True, "200 OK"), id="hangs up on HEAD"),
        pytest.param(405, 200, {"path": "/health"}, (True, "200 OK"), id="with a path"),
        pytest.param(404, 200, {"path": "/health"}, (True, "200 OK"), id="404 for HEAD"),
        pytest.param(405, 404, {"path": "/h"}, (False, "status 404 (expected 200-399)"), id="wrong path"),
        pytest.param(405, 200, {"expect": [405]}, (True, "405 Method Not Allowed"), id="405 as expected"),
        pytest.param(405, 200, {"method": "HEAD"}, (True, "200 OK"), id="HEAD by name"),
    ],
)
def test_what_head_does_not_tell_get_does(head, get, settings, expected):
    result = outcome(by_method(head, get), HealthCheck(**settings))
    assert result == (expected[0], True, expected[1])


@pytest.mark.parametrize("head", [405, 501])
def test_what_answers_get_with_nothing_fails_whatever_it_says_of_head(head):
    one = HttpCheck()
    with scripted(by_method(head, 200)) as running:
        assert one(running.server, HASTY).passed
        running.script = by_method(head, silence)
        results = [one(running.server, HASTY) for _ in range(3)]
        assert {(result.passed, result.answered, result.detail) for result in results} == {
            (False, False, "timed out after 0.5 s")
        }


def methods(running):
    return [request.partition(b" ")[0].decode() for request in running.requests]


@pytest.mark.parametrize("head", [405, 501, 500, lambda _: None], ids=["405", "501", "500", "hangs up"])
def test_a_server_that_needs_get_is_remembered(head):
    one = HttpCheck()
    with scripted(by_method(head, 200)) as running, scripted(by_method(200, 200)) as another:
        assert [one(running.server, PATIENT).passed for _ in range(3)] == [True] * 3
        assert methods(running) == ["HEAD", "GET", "GET", "GET"]
        assert one(another.server, PATIENT).passed
        assert methods(another) == ["HEAD"]


def test_so_is_one_whose_answer_to_get_comes_too_late():
    """Slow as it is, GET alone may be in time."""
    one, in_time = HttpCheck(), threading.Event()
    with scripted(by_method(405, lambda client: in_time.wait(10) and page(client))) as running:
        page = answer("HTTP/1.1 200 OK\n\n")
        assert not one(running.server, HASTY).passed
        in_time.set()
        assert one(running.server, PATIENT).passed
        assert methods(running) == ["HEAD", "GET", "GET"]


def test_a_server_that_fails_either_way_is_not_remembered():
    one = HttpCheck()
    with scripted(by_method(500, 500)) as running:
        assert not any(one(running.server, PATIENT).passed for _ in range(2))
        assert methods(running) == ["HEAD", "GET", "HEAD", "GET"]
        running.script = by_method(200, 500)
        assert one(running.server, PATIENT).passed


def test_a_server_that_leaves_head_without_an_answer_is_asked_with_get_the_next_time():
    one = HttpCheck()
    with scripted(by_method(silence, 200)) as running:
        assert [one(running.server, HASTY).passed for _ in range(3)] == [False, True, True]
        assert methods(running) == ["HEAD", "GET", "GET"]
        running.script = by_method(200, silence)
        assert [one(running.server, HASTY).passed for _ in range(2)] == [False, True]


def test_of_a_long_page_that_get_asks_for_nothing_is_awaited():
    page = drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    with scripted(by_method(405, page)) as running:
        assert check(running.server, HASTY).passed


@pytest.mark.parametrize(
    ("script", "settings", "advice"),
    [
        (by_method(500, 500), {}, "healthCheck.path (/) and healthCheck.expect (200-499)"),
        (by_method(404, 404), {"path": "/h"}, "healthCheck.path (/h) and healthCheck.expect (200-399)"),
        (by_method(silence, silence), {"timeout": "500ms"}, "healthCheck.timeout (500ms)"),
        (by_method(reset, reset), {}, "its URL in `servers` ({})"),
    ],
)
def test_a_check_that_fails_says_where_to_look(script, settings, advice):
    with scripted(script) as running:
        result = check(running.server, HealthCheck(**settings))
        assert result.where_to_look == advice.format(running.server.url)


def test_a_server_that_speaks_tls_is_recognised():
    alert = b"\x15\x03\x01\x00\x02\x02\x46"
    assert outcome(lambda client: client.sendall(alert)) == (
        False,
        False,
        "the answer is TLS, not plain HTTP",
    )


GET = HealthCheck(method="GET")
HASTY_GET = HealthCheck(method="GET", timeout="500ms")


@pytest.mark.parametrize(
    ("script", "settings", "expected"),
    [
        (answer("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"), GET, (True, True, "200 OK")),
        (
            answer("HTTP/1.1 200 OK\nContent-Length: 9\n\nok"),
            GET,
            (False, True, "status 200, then the body was cut off"),
        ),
        (answer("HTTP/1.1 200 OK\nContent-Length: 9000000\n\n" + 70_000 * "x"), GET, (True, True, "200 OK")),
        (
            answer("HTTP/1.1 500 Oops\nContent-Length: 9\n\nok"),
            GET,
            (False, True, "status 500 (expected 200-499)"),
        ),
        (
            drip(b"HTTP/1.1 200 OK\r\n\r\n"),
            HASTY_GET,
            (False, True, "status 200, then timed out after 0.5 s"),
        ),
    ],
)
def test_body_must_come_whole_or_far_enough(script, settings, expected):
    assert outcome(script, settings) == expected


def test_expected_statuses_are_those_of_the_settings():
    settings = HealthCheck(expect=(200, 401))
    assert outcome(answer("HTTP/1.1 401 Who\n\n"), settings) == (True, True, "401 Unauthorized")
    assert outcome(answer("HTTP/1.1 204 Gone\n\n"), settings) == (
        False,
        True,
        "status 204 (expected 200, 401)",
    )


def test_request_is_what_the_settings_say():
    with scripted(answer("HTTP/1.1 200 OK\n\n")) as running:
        check(running.server, HealthCheck(method="GET", path="/health?deep=1"))
    (request,) = running.requests
    head, *fields = request.decode().removesuffix("\r\n\r\n").split("\r\n")
    assert head == "GET /health?deep=1 HTTP/1.1"
    assert set(fields) >= {
        f"Host: {running.id}",
        f"User-Agent: lb-health-checker/{__version__}",
        "Connection: close",
    }


def test_an_ipv6_server_is_named_in_brackets_once():
    """Most servers answer a malformed Host with 400, so it would be down for ever."""
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    place = f"[::1]:{listener.getsockname()[1]}"
    with scripted(answer("HTTP/1.1 200 OK\n\n"), listener) as running:
        assert check(server(place), PATIENT).passed
        assert f"\r\nHost: {place}\r\n".encode() in running.requests[0]


def test_duration_is_measured():
    with scripted(silence) as running:
        result = check(running.server, HASTY)
    assert 0.19 < result.duration_seconds < 2


def test_a_server_on_a_unix_socket(tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        with scripted(answer("HTTP/1.1 200 OK\n\n"), listener) as running:
            assert running.id == f"unix:{path}"
            assert check(running.server, PATIENT).detail == "200 OK"
            assert b"\r\nHost: localhost\r\n" in running.requests[0]
        assert check(server(f"unix:{path}"), PATIENT).detail == "connection refused"
    path.unlink()
    assert check(server(f"unix:{path}"), PATIENT).detail == "no such file or directory"


def test_a_silent_server_on_a_unix_socket(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        with scripted(silence, listener) as running:
            assert check(running.server, HASTY).detail == "timed out after 0.5 s"
