"""One attempt through urllib3: what it came to, and what the lease and the connection tell afterwards."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from lb.config import Config
from lb.errors import ClientError, ServerConnectError, ServerError, ServerTimeoutError
from lb.model import ServerId
from lb.proxy.headers import header_settings
from lb.proxy.http1 import HeadParser
from lb.proxy.servers import Servers
from lb.store.lease import Lease
from lb.wsgi.attempt import Answer, Attempts
from lb.wsgi.call import Call, Calls
from lb.wsgi.connections import Connections, ConnectionSettings
from tests.integration.raw import Connection, RawServer
from tests.wsgi.test_environ import environ

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SETTINGS = ConnectionSettings(
    connect_seconds=2.0, response_head_seconds=0.5, idle_seconds=0.5, max_idle=8, head_bytes=1000
)


class Released:
    """Notes what is given back."""

    def __init__(self) -> None:
        self.leases: list[Lease] = []

    def lease(self, excluded: Collection[ServerId] = ()) -> Lease | None:
        raise NotImplementedError

    def release(self, lease: Lease) -> None:
        self.leases.append(lease)


class Asker:
    """Asks one server."""

    def __init__(self, port: int) -> None:
        self.id = ServerId(f"127.0.0.1:{port}")
        self.released = Released()
        heads = HeadParser(100)
        self.servers = Servers(lambda server: Connections(server, heads, SETTINGS))
        self._attempts = Attempts(
            self.released, self.servers, retry_on=frozenset({502, 503}), failure_statuses=frozenset({503})
        )

    def ask(self, call: Call) -> Answer | ServerError:
        return self._attempts.attempt(None, call, Lease(self.id, 0.0))

    def answer(self, call: Call) -> Answer:
        answer = self.ask(call)
        assert isinstance(answer, Answer)
        return answer

    @property
    def outcome(self) -> tuple[bool, bool]:
        """Whether the one lease that was given back succeeded, and whether it failed."""
        [lease] = self.released.leases
        return lease.succeeded, lease.failed


Play = Callable[[Callable[[Connection], None]], Asker]


@pytest.fixture
def play() -> Iterator[Play]:
    with ExitStack() as stack:

        def start(script: Callable[[Connection], None]) -> Asker:
            asker = Asker(stack.enter_context(RawServer(script)).port)
            stack.callback(asker.servers.keep_only, ())
            return asker

        yield start


def call(method: str = "GET", body: bytes = b"", **more: Any) -> Call:
    config = Config()
    wsgi = environ(REQUEST_METHOD=method, CONTENT_LENGTH=str(len(body) or ""), **more)
    wsgi["wsgi.input"] = io.BytesIO(body)
    return Calls(config, header_settings(config)).read(wsgi)


def always(answer: bytes) -> Callable[[Connection], None]:
    def script(connection: Connection) -> None:
        while connection.read_head():
            connection.send(answer)

    return script


def once(connection: Connection) -> None:
    connection.read_head()
    connection.send(OK)


def test_a_short_body_comes_with_the_answer_and_the_connection_is_kept(play: Play) -> None:
    asker = play(always(OK))
    answer = asker.answer(call())
    assert (answer.head.status, answer.body) == (200, b"ok")
    assert (answer.lease.succeeded, answer.lease.failed) == (True, False)
    assert asker.released.leases == []  # it is the answer's
    answer.part()
    assert asker.answer(call()).connection is answer.connection
    answer.drop()


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(b"500", (True, False)), (b"502", (False, False)), (b"503", (False, True))],
    ids=["answered", "may be retried", "said to be a failure"],
)
def test_a_status_may_be_a_success_a_failure_or_neither(
    play: Play, status: bytes, outcome: tuple[bool, bool]
) -> None:
    answer = play(always(OK.replace(b"200", status))).answer(call())
    assert (answer.lease.succeeded, answer.lease.failed) == outcome
    answer.drop()


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_kept_connection_that_dies_is_replaced_for_what_may_be_repeated(play: Play, method: str) -> None:
    asker = play(once)
    for _ in range(3):
        answer = asker.answer(call(method, b"x"))
        assert answer.body == b"ok"
        answer.part()
    assert asker.released.leases == []


def test_for_the_rest_it_is_a_failure(play: Play) -> None:
    """If the server ends it after the last look at it."""

    def die_on_the_second(connection: Connection) -> None:
        once(connection)
        connection.read_head()

    asker = play(die_on_the_second)
    asker.answer(call("POST")).part()
    assert isinstance(asker.ask(call("POST")), ServerError)
    assert asker.outcome == (False, True)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"", ServerError),
        (b"HTTP/1.1 200", ServerError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", ServerError),
    ],
)
def test_an_answer_that_breaks_off_is_a_failure(play: Play, answer: bytes, error: type[Exception]) -> None:
    def script(connection: Connection) -> None:
        connection.read_head()
        connection.send(answer)

    asker = play(script)
    assert type(asker.ask(call())) is error
    assert asker.outcome == (False, True)


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"])
def test_silence_is_a_time_out(play: Play, begun: bytes) -> None:
    go_on = threading.Event()

    def script(connection: Connection) -> None:
        connection.read_head()
        connection.send(begun)
        go_on.wait(10)

    asker = play(script)
    assert isinstance(asker.ask(call()), ServerTimeoutError)
    assert asker.outcome == (False, True)
    go_on.set()


def test_a_server_that_refuses_is_a_failure_of_connecting() -> None:
    asker = Asker(1)
    assert isinstance(asker.ask(call()), ServerConnectError)
    assert asker.outcome == (False, True)


@pytest.mark.parametrize("after", [0, 1, 5_000_000])
def test_an_answer_that_comes_before_the_whole_request_is_one(play: Play, after: int) -> None:
    """Though the server takes no more of it, and neither closes."""
    left = threading.Event()

    def refuse(connection: Connection) -> None:
        connection.read_head()
        connection.read(after)
        connection.send(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno")
        left.wait(10)

    asker = play(refuse)
    answer = asker.answer(call("POST", bytes(32 << 20)))
    assert (answer.head.status, answer.body) == (413, b"no")
    answer.drop()
    left.set()


def test_an_upload_may_be_acknowledged_piece_by_piece(play: Play) -> None:
    """More than a server may send ahead of its response to a request without a body."""
    pieces = 400

    def acknowledge(connection: Connection) -> None:
        connection.read_head()
        for _ in range(pieces):
            connection.read(1000)
            connection.send(b"HTTP/1.1 104 Upload Resumption Supported\r\nX: %b\r\n\r\n" % (b"x" * 900))
        connection.send(OK)

    answer = play(acknowledge).answer(call("POST", bytes(pieces * 1000)))
    assert answer.body == b"ok"
    answer.drop()


def test_a_client_that_breaks_off_is_no_failure_of_the_server(play: Play) -> None:
    asker = play(lambda connection: connection.read(10**6) and None)
    broken = call("POST", b"x" * 9)
    assert broken.body is not None
    broken.body._source = io.BytesIO(b"x")
    with pytest.raises(ClientError, match="broke off"):
        asker.ask(broken)
    assert asker.outcome == (False, False)


def test_a_long_body_is_the_callers_to_read(play: Play) -> None:
    asker = play(always(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000)))
    answer = asker.answer(call())
    assert answer.body is None
    with closing(answer.response):
        assert len(answer.response.read(decode_content=False)) == 100_000
    answer.part()


def test_fields_of_a_client_mean_nothing_to_urllib3(play: Play) -> None:
    heads: list[bytes] = []

    def script(connection: Connection) -> None:
        while head := connection.read_head():
            heads.append(head)
            connection.send(OK)

    asker = play(script)
    asker.answer(call(HTTP_X="@@@SKIP_HEADER@@@", HTTP_USER_AGENT="@@@SKIP_HEADER@@@")).part()
    assert b"X: @@@SKIP_HEADER@@@" in heads[0]
    assert b"User-Agent: @@@SKIP_HEADER@@@" in heads[0]
    asker.answer(call()).part()
    assert b"User-Agent" not in heads[1]
    assert b"Accept-Encoding" not in heads[1]
