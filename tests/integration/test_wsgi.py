"""The balancer as a WSGI application, in real servers: what clients see, and that it is one of the fleet."""

from __future__ import annotations

import os
import secrets
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from lb.model import Admin, Health, ServerId, ServerSpec, Source
from lb.store.client import connect, open_fleet, open_pool
from lb.store.keys import Keys
from lb.store.metrics import Metrics
from tests.integration.balancer import Balancer
from tests.integration.flood import CLIENTS as FLOODS_OF_CLIENTS
from tests.integration.flood import SERVERS as FLOODS_OF_SERVERS
from tests.integration.flood import Flood, peer_of, served_beside
from tests.integration.load import Client, CutError, Load, Response, shares
from tests.integration.raw import Connection, RawServer
from tests.integration.servers import Behaviour, HttpServer, Request, ResetError, response, servers
from tests.support import Valkey, eventually
from tests.wsgi.hosting import SERVERS, Host

MEBIBYTE = 1 << 20

#: Nothing takes a server down, so that tests can ill-treat theirs.
HARSH: dict[str, Any] = {
    "passiveHealth": {"failures": 0},
    "timeouts": dict.fromkeys(("connect", "responseHead", "idle", "clientBody"), "2s"),
    "requestIdInResponse": True,
    "trustedProxies": ["127.0.0.2/32"],
}


class Site:
    """A server with the application, and the pool that it forwards to."""

    def __init__(self, host: Host, store_url: str, keys: Keys) -> None:
        self.host = host
        self.pool = open_pool(store_url, keys)
        self.fleet = open_fleet(store_url, keys)
        self.metrics = Metrics(connect(store_url, keys), keys)

    @property
    def url(self) -> str:
        return self.host.url

    def ask(self, method: str = "GET", target: str = "/", *lines: str, body: bytes | None = None) -> Response:
        """Send one request on a connection of its own."""
        with Client(self.url) as client:
            return client.ask(method, target, *lines, body=body)

    def add(self, *there: HttpServer | RawServer) -> None:
        for server in there:
            address = server_id(server)
            self.pool.add(ServerSpec(address, f"http://{address}"), Source.ADMIN, "test")

    def clear(self) -> None:
        for status in self.pool.list():
            self.pool.remove(status.server.id, "test")

    def in_flight(self) -> int:
        return sum(status.connections for status in self.pool.list())

    def wait_idle(self) -> None:
        eventually(lambda: self.in_flight() == 0, seconds=10, what="no request in flight")

    def wait_workers(self, count: int) -> None:
        eventually(lambda: len(self.fleet.workers()) == count, seconds=30, what=f"{count} workers")


def server_id(server: HttpServer | RawServer) -> ServerId:
    return ServerId(f"127.0.0.1:{server.port}")


def settings(valkey: Valkey, keys: Keys, **others: Any) -> dict[str, Any]:
    return {"redis": valkey.url, "keyPrefix": keys.prefix, **others}


@pytest.fixture(scope="module", params=SERVERS)
def any_site(request: pytest.FixtureRequest, valkey: Valkey) -> Iterator[Site]:
    keys = Keys(prefix=f"t{secrets.token_hex(4)}")
    open_pool(valkey.url, keys).reconcile([], "round-robin", "test")
    with Host(SERVERS[request.param], settings(valkey, keys, **HARSH)) as host:
        site = Site(host, valkey.url, keys)
        site.wait_workers(2 if request.param.startswith("gunicorn") else 1)
        yield site


@pytest.fixture
def site(any_site: Site) -> Iterator[Site]:
    """Each kind of server with an empty pool."""
    yield any_site
    any_site.wait_idle()
    any_site.clear()


@pytest.fixture
def serve(site: Site) -> Iterator[Callable[..., list[HttpServer]]]:
    """Start servers of such behaviours and put them into the pool."""
    with ExitStack() as stack:

        def start(*behaviours: Behaviour | None) -> list[HttpServer]:
            started = [stack.enter_context(HttpServer(behaviour)) for behaviour in behaviours or (None,)]
            site.add(*started)
            return started

        yield start
        site.wait_idle()


Serve = Callable[..., list[HttpServer]]


# --- what clients see, in every server


def test_servers_take_turns_and_are_named(site: Site, serve: Serve) -> None:
    three = serve(None, None, None)
    answers = [site.ask("GET", f"/{turn}") for turn in range(9)]
    assert [answer.status for answer in answers] == [200] * 9
    assert [answer.server for answer in answers] == [answer.body.decode() for answer in answers]
    order = [three[n].id for n in range(3)]
    first = order.index(answers[0].server)
    assert [answer.server for answer in answers] == [order[(first + turn) % 3] for turn in range(9)]


@pytest.mark.parametrize(("setting", "names"), [("X-Served-By", ["X-Served-By"]), (False, [])])
def test_they_are_named_as_it_is_set(valkey: Valkey, keys: Keys, setting: Any, names: list[str]) -> None:
    with HttpServer(lambda _: response(200, b"", ("X-Served-By", "app"))) as server:
        config = settings(valkey, keys, serverHeader=setting, servers=[f"http://{server.id}"])
        with Host(SERVERS["waitress-validated"], config) as host, Client(host.url) as client:
            answer = client.ask()
    assert answer.all("X-Served-By") == [f"http://{server.id}" if names else "app"]
    assert answer.all("X-Forwarded-Server") == []


def test_a_request_arrives_as_it_was_sent(site: Site, serve: Serve) -> None:
    [server] = serve()
    answer = site.ask(
        "PUT", "/a%2Fb%20c;d?q=%C3%A4&q=2", "X-One: 1", "Content-Type: text/x", "Accept: a, b", body=b"hello"
    )
    assert answer.status == 200
    [request] = server.requests
    assert (request.method, request.body) == ("PUT", b"hello")
    assert request.header("Host") == site.url.removeprefix("http://")
    assert request.header("X-One") == "1"
    assert request.header("Content-Type") == "text/x"
    assert request.header("Content-Length") == "5"
    assert request.header("X-Forwarded-For") == "127.0.0.1"
    assert request.header("X-Forwarded-Proto") == "http"
    assert request.header("X-Forwarded-Host") == request.header("Host")
    assert request.header("X-Request-Id") == answer.header("X-Request-Id")
    assert request.header("User-Agent") is request.header("Accept-Encoding") is None
    assert request.header("Connection") is None
    # a server that tells the target only unquoted has it quoted again
    assert request.target in ("/a%2Fb%20c;d?q=%C3%A4&q=2", "/a/b%20c;d?q=%C3%A4&q=2")


def test_what_strangers_claim_goes_no_further(site: Site, serve: Serve) -> None:
    [server] = serve()
    site.ask("GET", "/", "X-Forwarded-For: 9.9.9.9", "X-Real-IP: 9.9.9.9", "Connection: x-mine", "X-Mine: 1")
    [request] = server.requests
    assert request.header("X-Forwarded-For") == "127.0.0.1"
    assert request.header("X-Real-IP") is request.header("X-Mine") is None


def test_an_answer_arrives_as_it_was_sent(site: Site, serve: Serve) -> None:
    headers = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Connection", "x-hop"), ("X-Hop", "1")]
    serve(lambda _: response(404, b"no such thing", *headers, ("Content-Encoding", "gzip")))
    answer = site.ask()
    assert (answer.status, answer.body) == (404, b"no such thing")
    assert answer.all("Set-Cookie") == ["a=1", "b=2"]
    assert answer.header("Content-Encoding") == "gzip"
    assert answer.header("X-Hop") is None


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_a_body_have_none(site: Site, serve: Serve, status: int) -> None:
    serve(lambda _: f"HTTP/1.1 {status} So\r\nETag: x\r\n\r\n".encode())
    with Client(site.url) as client:
        assert client.ask().status == status
    assert site.ask().status == status


def test_the_length_that_head_tells_is_kept(site: Site, serve: Serve) -> None:
    serve(lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
    for _ in range(2):
        assert site.ask("HEAD").header("Content-Length") == "1234"


def test_a_chunked_answer_comes_piece_by_piece(site: Site, serve: Serve) -> None:
    """The second piece is sent only after the client had the first."""
    go_on = threading.Event()

    def pieces(_request: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
        go_on.wait(20)
        yield b"3\r\ntwo\r\n0\r\n\r\n"

    serve(pieces)
    with Client(site.url) as client:
        client.send(client.head())
        got = b""
        while b"one" not in got:
            got += client.socket.recv(4096)
        assert site.in_flight() == 1
        go_on.set()
        while b"two" not in got:
            got += client.socket.recv(4096)


def test_a_large_answer_is_streamed(site: Site, serve: Serve) -> None:
    """Waitress itself holds up to 16 MiB for a client that is slower."""
    pieces, size = [bytes(MEBIBYTE)] * 64, 64 * MEBIBYTE
    serve(lambda _: [f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode(), *pieces])
    before = memory(site)
    assert len(site.ask().body) == size
    assert memory(site) - before < 32 * MEBIBYTE


def test_a_large_request_is_streamed(site: Site, serve: Serve) -> None:
    [server] = serve(lambda request: response(200, str(len(request.body)).encode()))
    assert site.ask("POST", body=bytes(8 * MEBIBYTE)).body == str(8 * MEBIBYTE).encode()
    assert server.requests[0].header("Transfer-Encoding") is None


def test_a_chunked_request_arrives_whole(site: Site, serve: Serve) -> None:
    serve(lambda request: response(200, request.body))
    with Client(site.url) as client:
        client.send(
            client.head("POST", "/", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
        assert client.receive().body == b"abcde"


def test_a_connection_to_a_server_is_used_again(site: Site, serve: Serve) -> None:
    [server] = serve()
    for _ in range(6):
        assert site.ask().status == 200
    assert server.connections <= 2  # one for each process


def test_a_server_that_closes_kept_connections_is_asked_anew(site: Site, serve: Serve) -> None:
    [server] = serve()
    for _ in range(3):
        assert site.ask("POST", body=b"x").status == 200
        server.stop()
        server.start()
    assert len(server.requests) == 3


def test_a_server_that_refuses_costs_nobody_an_answer(site: Site, serve: Serve) -> None:
    good, bad = serve(None, None)
    bad.stop()
    answers = [site.ask("POST", body=b"x") for _ in range(4)]
    assert [answer.server for answer in answers] == [good.id] * 4
    assert [request.body for request in good.requests] == [b"x"] * 4


def reset(_request: Request) -> bytes:
    raise ResetError


def test_what_may_be_repeated_is_and_the_rest_is_not(site: Site, serve: Serve) -> None:
    good, bad = serve(None, reset)
    assert {site.ask("PUT", body=b"x").server for _ in range(4)} == {good.id}
    assert sorted(site.ask("POST", body=b"x").status for _ in range(2)) == [200, 502]
    assert bad.requests


def test_an_unavailable_server_is_passed_over(site: Site, serve: Serve) -> None:
    good, _bad = serve(None, lambda _: response(503, b"busy"))
    assert {site.ask().server for _ in range(4)} == {good.id}
    assert sorted(site.ask("POST", body=b"").status for _ in range(2)) == [200, 503]


def test_if_all_are_unavailable_the_last_says_so(site: Site, serve: Serve) -> None:
    serve(*[lambda _: response(503, b"busy")] * 2)
    answer = site.ask()
    assert (answer.status, answer.body) == (503, b"busy")


def test_without_a_server_it_is_503_and_when_to_come_again(site: Site) -> None:
    answer = site.ask()
    assert answer.status == 503
    assert answer.header("Retry-After") == "2"
    assert b"no server is available now" in answer.body


def test_without_a_server_that_answers_it_is_502(site: Site, serve: Serve) -> None:
    for server in serve(None, None):
        server.stop()
    assert site.ask().status == 502


def test_a_silent_server_is_504(site: Site, serve: Serve) -> None:
    silent = threading.Event()
    serve(lambda _: silent.wait(10) and None)
    assert site.ask().status == 504
    silent.set()


def test_an_answer_that_breaks_off_does_so_for_the_client(site: Site, serve: Serve) -> None:
    """Be it that the server leaves, or that it falls silent."""
    serve(
        lambda _: Broken([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"]),
        lambda _: [b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"abc"],
    )
    for _each in range(2):
        with pytest.raises(CutError):
            site.ask("GET", "/", "Connection: close")


def test_a_short_answer_that_breaks_off_was_never_one(site: Site, serve: Serve) -> None:
    half = Broken([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"])
    good, _bad = serve(None, lambda request: None if request.method == "HEAD" else half)
    assert {site.ask().server for _ in range(4)} == {good.id}


class Broken(list[bytes]):
    """Pieces, then the end of the connection."""

    def __iter__(self) -> Iterator[bytes]:
        yield from super().__iter__()
        raise ResetError


def test_garbage_and_ambiguous_framing_are_502(site: Site) -> None:
    def play(connection: Connection) -> None:
        while head := connection.read_head():
            connection.send(
                b"SSH-2.0-x\r\n\r\n"
                if b"/garbage" in head
                else b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            )

    with RawServer(play) as server:
        site.add(server)
        assert site.ask("GET", "/garbage").status == 502
        assert site.ask("GET", "/both").status == 502


def test_interim_answers_are_not_taken_for_the_answer(site: Site) -> None:
    def play(connection: Connection) -> None:
        while connection.read_head():
            connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n")
            connection.send(b"Content-Length: 2\r\n\r\nok")

    with RawServer(play) as server:
        site.add(server)
        assert site.ask().body == b"ok"


def test_upgrades_are_refused_with_the_reason(site: Site, serve: Serve) -> None:
    [server] = serve()
    answer = site.ask("GET", "/", "Connection: upgrade", "Upgrade: websocket")
    assert answer.status == 501
    assert b"WSGI" in answer.body
    assert not server.requests


def test_a_client_that_leaves_frees_the_server(site: Site, serve: Serve) -> None:
    left = threading.Event()

    def endless(_request: Request) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        try:
            while True:
                yield b"10000\r\n" + bytes(65536) + b"\r\n"
        finally:
            left.set()

    serve(endless)
    with Client(site.url) as client:
        client.send(client.head())
        assert client.socket.recv(10)
        assert site.in_flight() == 1
    site.wait_idle()
    assert left.wait(10)


def memory(site: Site) -> int:
    """Bytes of memory that the server's processes have, those shared counted for each."""
    pids = [site.host.process.pid, *site.host.worker_pids()]
    return 4096 * sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids)


# --- one of the fleet


GEVENT, THREADS = SERVERS["gunicorn-gevent"], SERVERS["gunicorn-gthread"]


def workers(command: list[str], count: int, *options: str) -> list[str]:
    """Return the command with another number of workers."""
    at = command.index("-w") + 1
    return [command[0], *options, *command[1:at], str(count), *command[at + 1 :]]


@contextmanager
def hosted(
    command: list[str], valkey: Valkey, keys: Keys, there: list[HttpServer], **others: Any
) -> Iterator[Site]:
    """A server with the application over a pool of its config."""
    config = settings(valkey, keys, servers=[server.url for server in there], **others)
    with Host(command, config) as host:
        yield Site(host, valkey.url, keys)


@pytest.mark.alone
@pytest.mark.parametrize(
    ("command", "count", "connections", "each"),
    [(workers(GEVENT, 4), 4, 40, 200), (THREADS, 2, 12, 100)],
    ids=["gevent", "gthread"],
)
def test_processes_and_their_threads_pick_as_one(
    valkey: Valkey, keys: Keys, command: list[str], count: int, connections: int, each: int
) -> None:
    with servers(5) as five, hosted(command, valkey, keys, five) as site:
        site.wait_workers(count)
        rotates_exactly(site, five, connections, each)
        site.wait_idle()
        site.host.stop()
        assert site.fleet.workers() == []
        assert counted(site) == 5 * each


def rotates_exactly(site: Site, there: list[HttpServer], connections: int, each: int) -> None:
    """Send so many requests for each server, and check that each gets its exact share."""
    with Load(site.url, connections, total=each * len(there)) as load:
        load.join()
    assert load.errors == []
    assert shares(load.outcomes) == {server.id: each for server in there}


def counted(site: Site) -> float:
    """The requests that the fleet's metrics have as answered well."""
    totals = site.metrics.figures().totals
    return sum(count for one in totals.values() for name, count in one.items() if name.startswith("2xx/"))


@pytest.mark.alone
@pytest.mark.slow
def test_they_share_the_pool_with_ordinary_workers(valkey: Valkey, keys: Keys) -> None:
    with servers(4) as four, hosted(GEVENT, valkey, keys, four) as site:
        config = settings(valkey, keys, servers=[server.url for server in four])
        with Balancer(config, workers=2) as balancer:
            site.wait_workers(4)
            here, there = Load(site.url, 10, total=301), Load(balancer.url, 10, total=299)
            with here, there:
                here.join()
                there.join()
            assert here.errors == there.errors == []
            assert shares(here.outcomes + there.outcomes) == {server.id: 150 for server in four}


@pytest.mark.parametrize("command", [GEVENT, THREADS], ids=["gevent", "gthread"])
def test_what_operators_and_failures_say_of_a_server_holds_for_all(
    valkey: Valkey, keys: Keys, command: list[str]
) -> None:
    """One that is drained gets nothing from then on; one that fails is down for everyone."""
    with servers(3) as three, hosted(command, valkey, keys, three) as site:
        site.wait_workers(2)
        drained, failing, good = three
        with Load(site.url, 8) as load:
            eventually(lambda: len(load.outcomes) > 100, seconds=30)
            site.pool.set_admin(server_id(drained), Admin.DRAIN, "test")
            since = time.monotonic()
            eventually(lambda: len(load.since(since)) > 100, seconds=30)
        assert load.errors == []
        assert drained.id not in shares(load.since(since))

        failing.behaviour = reset
        answers = [site.ask() for _ in range(20)]
        assert {answer.status for answer in answers} == {200}
        down = [Health.UP, Health.DOWN, Health.UP]
        eventually(lambda: [one.server.health for one in site.pool.list()] == down)
        asked = len(failing.requests)
        assert {site.ask("POST", body=b"x").server for _ in range(6)} == {good.id}
        assert len(failing.requests) == asked


def test_a_pool_that_the_store_lost_is_put_back(valkey: Valkey, keys: Keys) -> None:
    with servers(2) as two, hosted(THREADS, valkey, keys, two[:1]) as site:
        site.wait_workers(2)
        site.add(two[1])
        newest = site.pool.version()
        eventually(lambda: all(one.version == newest for one in site.fleet.workers()), seconds=10)
        with connect(valkey.url, keys) as store:
            store.delete(*store.scan_iter(f"{keys.prefix}:*"))
        eventually(lambda: {one.server.id for one in site.pool.list()} == {server_id(one) for one in two})
        site.wait_workers(2)
        assert {site.ask().server for _ in range(4)} == {server.id for server in two}


def test_what_a_killed_process_held_is_taken_back(valkey: Valkey, keys: Keys) -> None:
    with servers(2) as two, hosted(GEVENT, valkey, keys, two) as site, ExitStack() as stack:
        site.wait_workers(2)
        go_on = threading.Event()
        stack.callback(go_on.set)
        for server in two:
            server.behaviour = lambda _: go_on.wait(60) and response()
        clients = [stack.enter_context(Client(site.url)) for _ in range(8)]
        for client in clients:
            client.send(client.head())
        eventually(lambda: site.in_flight() == 8, seconds=20, what="requests in flight")
        for pid in site.host.worker_pids():
            os.kill(pid, signal.SIGKILL)
        eventually(lambda: site.in_flight() == 0, seconds=6, what="counts taken back")
        site.wait_workers(2)


@pytest.mark.slow
def test_the_next_start_takes_back_what_the_last_left(valkey: Valkey, keys: Keys) -> None:
    """There is no other worker and no health-checker."""
    with servers(2) as two, ExitStack() as stack:
        go_on = threading.Event()
        stack.callback(go_on.set)
        two[0].behaviour = two[1].behaviour = lambda _: go_on.wait(60) and response()
        with hosted(SERVERS["waitress-validated"], valkey, keys, two) as site:
            client = stack.enter_context(Client(site.url))
            client.send(client.head())
            eventually(lambda: site.in_flight() == 1, seconds=20)
            site.host.process.kill()
            site.host.process.wait()
        assert site.in_flight() == 1
        with hosted(workers(THREADS, 1), valkey, keys, two) as site:
            eventually(lambda: site.in_flight() == 0, seconds=15, what="counts taken back")
            site.wait_workers(1)


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("command", [GEVENT, THREADS], ids=["gevent", "gthread"])
def test_no_request_fails_because_the_store_stands_still(keys: Keys, command: list[str]) -> None:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lb-")))
        store = stack.enter_context(Valkey(home))
        three = stack.enter_context(servers(3))
        site = stack.enter_context(hosted(command, store, keys, three))
        site.wait_workers(2)
        load = stack.enter_context(Load(site.url, 8))
        eventually(lambda: len(load.outcomes) > 100, seconds=30)
        pid = store._process.pid
        os.kill(pid, signal.SIGSTOP)
        stack.callback(os.kill, pid, signal.SIGCONT)
        stopped = time.monotonic()
        eventually(lambda: len(load.since(stopped)) > 200, seconds=30, what="answers without a store")
        eventually(lambda: "degraded" in site.host.log, seconds=10, what="a word in the log")
        os.kill(pid, signal.SIGCONT)
        eventually(lambda: over(site), seconds=30, what="picks from the store")
        load.stop()
        assert load.errors == []
        site.wait_idle()
        rotates_exactly(site, three, 8, 100)


def over(site: Site) -> bool:
    """Whether the workers that picked without the store have said that they no longer do."""
    were = [worker for worker in site.fleet.workers() if worker.degraded_since]
    return bool(were) and all(worker.degraded_until for worker in were)


def test_it_starts_without_a_store(keys: Keys) -> None:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lb-")))
        store = Valkey(home)
        two = stack.enter_context(servers(2))
        site = stack.enter_context(hosted(workers(THREADS, 1), store, keys, two))
        assert {site.ask().server for _ in range(4)} == {server.id for server in two}
        stack.enter_context(store)
        site.wait_workers(1)
        eventually(lambda: [one.server.id for one in site.pool.list()] == [server_id(one) for one in two])


@pytest.mark.alone
def test_each_process_joins_after_the_fork(valkey: Valkey, keys: Keys) -> None:
    """With --preload the application is loaded once, before gevent patches and before the workers are."""
    with servers(2) as two, hosted(workers(GEVENT, 3, "--preload"), valkey, keys, two) as site:
        site.wait_workers(3)
        rotates_exactly(site, two, 20, 100)
        site.wait_idle()
        known = {worker.pid for worker in site.fleet.workers()}
        assert known == set(site.host.worker_pids())


def test_a_wrong_config_ends_the_start_with_what_is_wrong(valkey: Valkey, keys: Keys) -> None:
    host = Host(GEVENT, settings(valkey, keys, lbAlgo="round-robbin"))
    host.start()
    assert host.wait() != 0
    assert 'did you mean "round-robin"' in host.log
    assert "Worker failed to boot" in host.log
    host.__exit__(None, None, None)


@pytest.mark.parametrize("kind", ["tiny chunks", "chunk extensions"])
@pytest.mark.parametrize("command", [workers(GEVENT, 1), SERVERS["pywsgi"]], ids=["gunicorn", "pywsgi"])
def test_peers_that_flood_hold_no_greenlet_up(
    valkey: Valkey, keys: Keys, command: list[str], kind: str
) -> None:
    with RawServer(peer_of(*FLOODS_OF_SERVERS[kind])) as server, hosted(command, valkey, keys, []) as site:
        site.add(server)
        eventually(lambda: site.ask().status == 200, what="the server to be known")
        with Flood(site.url, *FLOODS_OF_CLIENTS[kind]) as flood:
            served_beside(site.url, flood, requests=20)
        with Flood(site.url, b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n", b"") as flood:
            served_beside(site.url, flood, requests=20)
