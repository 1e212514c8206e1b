"""The lease line's connection: commands as the store reads them, replies as they come."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import gevent
import hiredis
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from lb.errors import StoreError, StoreUnavailableError
from lb.model import ServerId, WorkerId
from lb.store import scripts
from lb.store.client import connect
from lb.store.keys import Keys
from lb.store.lease_wire import LeaseProtocol, LeaseWire, dial, reply_error
from tests.proxy.rig import sockets, until

A, B = ServerId("a:1"), ServerId("b\u00e9:2")
KEYS = Keys(prefix="t")
PROTOCOL = LeaseProtocol(WorkerId("w"), KEYS, host="here", pid=7, started=1.5)


def read(command: bytes) -> list[list[str]]:
    """Read commands as a store does."""
    reader = hiredis.Reader(encoding="utf-8")
    reader.feed(command)
    found = []
    while (words := reader.gets()) is not False:
        found.append(words)
    return found


def arguments(command: list[str], script: str) -> list[str]:
    """Return what a command passes to a script, behind the keys."""
    name, sha, count, *words = command
    assert (name, sha) == ("EVALSHA", scripts.load(script).sha)
    own = {"worker_connections": KEYS.worker_connections(WorkerId("w")), "worker": KEYS.worker(WorkerId("w"))}
    keys, rest = words[: int(count)], words[int(count) :]
    assert keys == list(scripts.load(script).keys(KEYS, **own))
    return rest


ids = st.text(min_size=1, max_size=8).map(ServerId)
outcomes = st.just([1, 1, 0]) | st.lists(st.integers(0, 99), min_size=3, max_size=3)


@given(st.dictionaries(ids, outcomes, max_size=4), st.integers(0, 99), st.lists(st.lists(ids, max_size=3)))
def test_a_batch_is_what_the_script_expects(
    releases: dict[ServerId, list[int]], picks: int, exclusions: list[list[ServerId]]
) -> None:
    [command] = read(PROTOCOL.lease(99, releases, picks, exclusions))
    usual = [server for server, outcome in releases.items() if outcome == [1, 1, 0]]
    words = [
        *(99, 0, len(usual), *usual, len(releases) - len(usual)),
        *(word for server in releases if server not in usual for word in (server, *releases[server])),
        *(picks, len(exclusions)),
        *(word for excluded in exclusions for word in (len(excluded), *excluded)),
    ]
    assert arguments(command, "lease") == [str(word) for word in words]


def test_registering_names_only_what_is_held() -> None:
    protocol = LeaseProtocol(WorkerId("w"), KEYS, host="here", pid=7, started=1.5)
    for generation in "12":
        [command] = read(protocol.register({A: 2, B: 0}))
        assert arguments(command, "register") == ["w", "here", "7", "1.500", generation, A, "2"]
    [command] = read(protocol.lease(99, {}, 1, ()))
    assert arguments(command, "lease")[:2] == ["99", "2"]


def test_giving_back_alone_asks_for_no_reply(connection: redis.Redis) -> None:
    silence, command = read(PROTOCOL.release({A: [1, 1, 0], B: [2, 1, 0]}))
    assert silence == ["CLIENT", "REPLY", "SKIP"]
    assert arguments(command, "lease")[2:] == ["1", A, "1", B, "2", "1", "0", "0", "0"]


# --- the wire itself


class Ends:
    """What a wire called back with."""

    def __init__(self, sock: Any) -> None:
        self.replies: list[object] = []
        self.losses: list[str] = []
        self.wire = LeaseWire(sock, self.replies.append, self._lost)

    def _lost(self, reason: str) -> None:
        self.losses.append(reason)
        self.wire.close()


@pytest.fixture
def ends() -> Iterator[tuple[Ends, Any]]:
    with sockets() as (ours, theirs):
        made = Ends(ours)
        yield made, theirs
        if not made.losses:
            made.wire.close()


def test_replies_come_in_order_however_they_are_cut(ends: tuple[Ends, Any]) -> None:
    here, there = ends
    for byte in b"*2\r\n:1\r\n*0\r\n:5\r\n-NOSCRIPT none\r\n":
        there.send(bytes([byte]))
        gevent.sleep(0)
    until(lambda: len(here.replies) == 3)
    assert here.replies[:2] == [[1, []], 5]
    assert isinstance(reply_error(here.replies[2]), StoreError)
    assert reply_error(5) is None


def test_more_than_the_socket_takes_goes_out_whole_and_in_order(ends: tuple[Ends, Any]) -> None:
    here, there = ends
    commands = [bytes([65 + number]) * 1_000_000 for number in range(4)]
    for command in commands:
        here.wire.send(command)
    received = b""
    while len(received) < 4_000_000:
        received += there.recv(65536)
    assert received == b"".join(commands)


@pytest.mark.parametrize("said", [b"", b"*2\r\n:1\r\n", b"HTTP/1.1 400 Bad Request\r\n"])
def test_an_end_or_nonsense_is_told_once(ends: tuple[Ends, Any], said: bytes) -> None:
    here, there = ends
    there.sendall(said)
    there.close()
    until(lambda: here.losses)
    gevent.sleep(0.01)
    assert len(here.losses) == 1
    assert here.replies == []


def test_a_peer_that_goes_while_much_is_unsent_is_told(ends: tuple[Ends, Any]) -> None:
    here, there = ends
    here.wire.send(b"x" * 4_000_000)
    there.close()
    until(lambda: here.losses)


def test_a_late_reply_can_be_asked_for(ends: tuple[Ends, Any]) -> None:
    here, there = ends
    there.send(b":1\r\n")
    here.wire.poll()
    assert here.replies == [1]
    here.wire.poll()
    assert here.replies == [1]


# --- dialing


def test_a_line_may_connect_as_often_as_it_has_to(store_url: str) -> None:
    """redis-py's pool counts what it makes, and stops at a hundred."""
    with connect(store_url) as client:
        for _ in range(120):
            dial(client).close()
    with connect("redis://127.0.0.1:1") as client:
        for _ in range(120):
            with pytest.raises(StoreUnavailableError, match="Connection refused"):
                dial(client)


def test_a_dialed_connection_knows_the_scripts(store_url: str, keys: Keys) -> None:
    with connect(store_url) as client:
        client.script_flush()
        made = Ends(dial(client))
        made.wire.send(LeaseProtocol(WorkerId("w"), keys, host="h", pid=1, started=1.0).register({}))
        until(lambda: made.replies == [0])  # no pool there
        made.wire.close()


def test_a_store_that_is_not_there_is_told_with_the_reason() -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{unheard.getsockname()[1]}"
        with (
            connect(url) as client,
            pytest.raises(StoreUnavailableError, match="cannot be reached"),
        ):
            dial(client)
