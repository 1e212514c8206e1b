"""The lease line on the real store: exact while it answers, local while it does not, exact again after that.

A gate stands between line and store, in the test's own hub: connections can be cut, held up and let go. The
line dials in gevent's thread pool, as a dial to a frozen store would block the hub.
"""

from __future__ import annotations

import itertools
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import gevent
import gevent.event
import gevent.socket
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lb.errors import StoreError
from lb.model import Admin, ServerId, ServerSpec, WorkerId
from lb.store.client import connect
from lb.store.fleet import Fleet
from lb.store.keys import Keys
from lb.store.lease import Lease
from lb.store.lease_line import LeaseLine
from lb.store.lease_wire import LeaseProtocol, dial
from lb.store.pool import BackendPool
from tests.proxy.rig import Events, until
from tests.support import Valkey

pytestmark = pytest.mark.alone  # its store has 50 ms to answer

A, B, C = (ServerId(f"{name}:1") for name in "abc")
PATIENCE_SECONDS = 0.05
T = TypeVar("T")
_NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def _in_time() -> Iterator[None]:
    with gevent.Timeout(20):
        yield


class Gate:
    """A relay to the store. What a connection carries when it is frozen arrives once it is thawed."""

    def __init__(self, store: Path) -> None:
        self._store = str(store)
        self._listener = gevent.socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self.refusing = False
        self.delay_seconds = 0.0  # of each reply
        self._requests_flow = self._flowing()
        self._replies_flow = self._flowing()
        self._ends: list[Any] = []
        self._greenlets = [gevent.spawn(self._accept)]

    def cut(self) -> None:
        """End all connections; what was said before is lost or not, as it happens."""
        ends, self._ends = self._ends, []
        for end in ends:
            end.close()

    def freeze(self, *, requests: bool = True, replies: bool = True) -> None:
        """Hold up what comes on any connection."""
        if requests:
            self._requests_flow.clear()
        if replies:
            self._replies_flow.clear()

    def thaw(self) -> None:
        self._requests_flow.set()
        self._replies_flow.set()

    def strand(self) -> gevent.event.Event:
        """Hold up what comes on the connections of now, not on new ones, until the event is set."""
        stranded, self._requests_flow = self._requests_flow, self._flowing()
        stranded.clear()
        return stranded

    def close(self) -> None:
        gevent.killall(self._greenlets)
        self._listener.close()
        self.cut()

    @staticmethod
    def _flowing() -> gevent.event.Event:
        event = gevent.event.Event()
        event.set()
        return event

    def _accept(self) -> None:
        while True:
            line, _ = self._listener.accept()
            if self.refusing:
                line.close()
                continue
            store = gevent.socket.socket(gevent.socket.AF_UNIX)
            if store.connect_ex(self._store):
                line.close()
                store.close()
                continue
            self._ends += (line, store)
            self._greenlets.append(gevent.spawn(self._pass, line, store, self._requests_flow))
            self._greenlets.append(gevent.spawn(self._pass, store, line, self._replies_flow))

    def _pass(self, source: Any, target: Any, flow: gevent.event.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                flow.wait()
                if flow is self._replies_flow and self.delay_seconds:
                    gevent.sleep(self.delay_seconds)
                target.sendall(data)
        target.close()


def in_thread(act: Callable[[], T]) -> T:
    """Act in gevent's thread pool, which would print what is raised in it."""

    def caught() -> T | StoreError:
        try:
            return act()
        except StoreError as error:
            return error

    result = gevent.get_hub().threadpool.apply(caught)
    if isinstance(result, StoreError):
        raise result
    return result


class Fixture:
    """A pool in the store, and a line to it through a gate."""

    def __init__(
        self,
        store: Valkey,
        connection: redis.Redis,
        strategy: str = "round-robin",
        *servers: ServerId,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.keys = Keys(prefix=f"line{next(_NUMBERS)}")
        self.connection = connection
        self.pool = BackendPool(connection, self.keys)
        self.fleet = Fleet(connection, self.keys)
        self.pool.reconcile([ServerSpec(s, f"http://{s}") for s in servers or (A, B, C)], strategy, "")
        self.gate = Gate(store.data_dir / "store.sock")
        self.client = connect(self.gate.url, timeout_seconds=1)
        self.events = Events()
        self.worker = WorkerId("w")
        self.dials = 0
        protocol = LeaseProtocol(self.worker, self.keys, host="here", pid=1, started=1.0)
        self.line = LeaseLine(
            self._dial, protocol, self.events, patience_seconds=patience_seconds, failures=3
        )
        self.snapshot = self.pool.snapshot()
        self.line.start()
        until(lambda: self.events.versions)  # nothing may hold up the hub before
        self.line.update(self.snapshot)
        until(self.agrees)

    def _dial(self) -> Any:
        self.dials += 1
        return in_thread(lambda: dial(self.client))

    def leases(self, count: int, excluded: tuple[ServerId, ...] = ()) -> list[Lease]:
        """Lease so many at once; each in a greenlet of its own."""
        greenlets = [gevent.spawn(self.line.lease, excluded) for _ in range(count)]
        return [greenlet.get() for greenlet in greenlets]

    def release(self, leases: list[Lease], **outcome: bool) -> None:
        for lease in leases:
            for name, value in outcome.items():
                setattr(lease, name, value)
            self.line.release(lease)

    def counts(self) -> dict[ServerId, int]:
        """The worker's requests in flight as the store has them."""
        counts = self.connection.hgetall(self.keys.worker_connections(self.worker))
        return {ServerId(server): int(count) for server, count in counts.items() if int(count)}

    def held(self) -> dict[ServerId, int]:
        return {server: count for server, count in self.line.held.items() if count}

    def agrees(self) -> bool:
        """Whether store and worker tell the same."""
        totals = {s.server.id: s.connections for s in self.pool.list() if s.connections}
        return self.line.degraded_since is None and self.counts() == self.held() == totals

    def close(self) -> None:
        self.line._redial.delay_seconds = 3600.0  # comes back no more
        self.line.reconnect("the test is over")
        self.line._timer.close()
        self.gate.close()
        self.client.close()


@contextmanager
def made(store: Valkey, *arguments: Any, **traits: Any) -> Iterator[Fixture]:
    with connect(store.url) as connection:
        fixture = Fixture(store, connection, *arguments, **traits)
        try:
            yield fixture
        finally:
            fixture.close()


@pytest.fixture
def fixture(valkey: Valkey) -> Iterator[Fixture]:
    with made(valkey) as fixture:
        yield fixture


@pytest.fixture
def own_store() -> Iterator[Valkey]:
    with tempfile.TemporaryDirectory(prefix="lb-") as directory, Valkey(Path(directory)) as store:
        yield store


def answers_in(seconds: float, act: Callable[[], object]) -> bool:
    began = time.monotonic()
    act()
    return time.monotonic() - began < seconds


def at_once(act: Callable[[], object]) -> bool:
    """Whether it is done without waiting for anything."""
    acting = gevent.spawn(act)
    gevent.sleep(0)
    return acting.successful()


# --- while the store answers


def test_a_batch_is_exact_and_counted(fixture: Fixture) -> None:
    leases = fixture.leases(30)
    assert Counter(lease.server for lease in leases) == {A: 10, B: 10, C: 10}
    assert fixture.counts() == fixture.held() == {A: 10, B: 10, C: 10}
    fixture.release(leases[:15])
    until(fixture.agrees)
    fixture.release(leases[15:])
    until(fixture.agrees)
    assert not fixture.held()


def test_requests_that_come_together_share_one_batch(fixture: Fixture) -> None:
    def batches() -> int:
        return fixture.connection.info("commandstats")["cmdstat_evalsha"]["calls"]

    fixture.leases(1)
    before = batches()
    fixture.leases(100)
    assert batches() - before == 1
    assert fixture.events.batches[-1] == 100


def test_a_retry_never_gets_what_it_tried(fixture: Fixture) -> None:
    plain, retries = [], []
    for _ in range(3):  # in one batch, whose script serves those that exclude nobody first
        retries.append(gevent.spawn(fixture.line.lease, (A, B)))
        plain += [gevent.spawn(fixture.line.lease) for _ in range(2)]
    assert {greenlet.get().server for greenlet in retries} == {C}
    assert Counter(greenlet.get().server for greenlet in plain) == {A: 2, B: 2, C: 2}
    assert fixture.line.lease((A, B, C)) is None
    assert fixture.counts() == fixture.held()


def test_no_eligible_server_is_none(fixture: Fixture) -> None:
    for server in (A, B, C):
        fixture.pool.set_admin(server, Admin.DRAIN, "test")
    assert fixture.line.lease() is None
    assert not fixture.held()


def test_outcomes_are_carried_in_order(fixture: Fixture) -> None:
    """Failures in a row count up; a success between them starts anew."""

    def failures() -> int:
        return next(s.failures for s in fixture.pool.list() if s.server.id == A)

    tried = (B, C)
    fixture.release(fixture.leases(2, tried), failed=True)
    until(lambda: fixture.events.failures == [(A, 2)])
    fixture.release(fixture.leases(1, tried), failed=True)
    until(lambda: failures() == 3)
    failed, succeeded, failed_again = fixture.leases(3, tried)
    fixture.release([failed], failed=True)
    fixture.release([succeeded], succeeded=True)
    fixture.release([failed_again], failed=True)
    until(lambda: failures() == 1)
    fixture.release(fixture.leases(1, tried), succeeded=True)
    until(lambda: failures() == 0)
    fixture.release(fixture.leases(1, tried))  # the client left
    until(fixture.agrees)
    assert failures() == 0


def test_chance_begins_anew_with_each_batch(valkey: Valkey) -> None:
    """The script draws a series from the seed; batches whose seeds were of one series would pick alike."""
    servers = [ServerId(f"{number}:1") for number in range(97)]
    with made(valkey, "random", *servers) as fixture:
        leases = fixture.leases(20), fixture.leases(20)
        first, second = ([lease.server for lease in batch] for batch in leases)
        assert second[:-1] != first[1:]
        fixture.release([*leases[0], *leases[1]])


def test_each_server_that_failed_is_told(fixture: Fixture) -> None:
    fixture.release(fixture.leases(6), failed=True)
    until(lambda: sorted(fixture.events.failures) == [(A, 2), (B, 2), (C, 2)])


def test_whether_servers_answer_is_known_from_the_last_releases(fixture: Fixture) -> None:
    assert not fixture.line.take_answered()
    failed, succeeded = fixture.leases(2)
    fixture.release([failed], failed=True)
    until(fixture.agrees)
    assert not fixture.line.take_answered()
    fixture.release([succeeded], succeeded=True)
    until(fixture.agrees)
    fixture.leases(1)  # a batch without any
    assert fixture.line.take_answered()
    assert not fixture.line.take_answered()


def test_a_change_of_the_pool_is_told_with_the_next_reply(fixture: Fixture) -> None:
    fixture.pool.set_admin(A, Admin.DRAIN, "test")
    assert {lease.server for lease in fixture.leases(10)} == {B, C}
    assert fixture.events.versions[-1] == fixture.pool.version()


# --- when the store forgets


def test_a_worker_that_was_taken_for_dead_registers_its_counts_again(fixture: Fixture) -> None:
    leases = fixture.leases(9)
    assert fixture.fleet.reap(fixture.worker, "test", 0) == 9
    assert not fixture.counts()
    leases += fixture.leases(3)
    until(fixture.agrees)
    assert sum(fixture.counts().values()) == 12
    fixture.release(leases)
    until(fixture.agrees)
    assert fixture.events.store == []


def test_a_store_without_our_scripts_gets_them(fixture: Fixture) -> None:
    leases = fixture.leases(3)
    fixture.connection.script_flush()
    assert len(fixture.leases(3)) == 3
    fixture.connection.script_flush()
    fixture.release(leases)
    fixture.leases(1)
    until(fixture.agrees)
    assert fixture.events.store == []


def test_an_empty_store_is_told_and_requests_go_on(own_store: Valkey) -> None:
    with made(own_store) as fixture:
        leases = fixture.leases(3)
        snapshot = fixture.pool.snapshot()
        fixture.connection.flushall()
        assert {lease.server for lease in fixture.leases(3)} == {A, B, C}
        until(lambda: "empty" in fixture.events.store)
        assert fixture.line.degraded_since
        fixture.pool.refill(snapshot, "test")
        until(fixture.agrees)
        fixture.release(leases)
        until(fixture.agrees)


def test_a_store_that_registers_but_never_picks_holds_nobody_up(fixture: Fixture) -> None:
    """Each batch ends in an error: the line must neither wait for ever nor dial without a pause."""
    fixture.connection.delete(fixture.keys.cycle)
    fixture.connection.set(fixture.keys.cycle, "no list")
    for _ in range(3):
        assert answers_in(1, lambda: fixture.leases(5))
        gevent.sleep(0.05)
    assert fixture.dials < 20
    fixture.pool.set_weight(A, 2, "test")  # writes the cycle anew
    until(fixture.agrees)


def test_a_pool_whose_version_was_lost_holds_nobody_up(fixture: Fixture) -> None:
    """A store that may evict keys can lose any of them: such a pool is put back, like one that is gone."""
    fixture.connection.delete(fixture.keys.version)
    assert answers_in(1, lambda: fixture.leases(3))
    until(lambda: "empty" in fixture.events.store)
    fixture.pool.refill(fixture.snapshot, "test")
    until(fixture.agrees)


def test_what_a_full_store_refused_without_a_word_is_put_right(own_store: Valkey) -> None:
    """Releases alone ask for no reply: nothing tells the line that they were not taken."""
    with made(own_store) as fixture:
        leases = fixture.leases(1)
        until(fixture.agrees)
        fixture.connection.config_set("maxmemory", 1)
        fixture.release(leases)
        until(lambda: "errorstat_OOM" in fixture.connection.info("errorstats"))
        fixture.connection.config_set("maxmemory", 0)
        assert not fixture.agrees()
        fixture.line.reaffirm()
        fixture.leases(1)
        assert not fixture.agrees()  # too early
        fixture.line._reaffirm_due = 0.0
        fixture.line.reaffirm()
        until(fixture.agrees)


def test_counts_are_not_reaffirmed_over_a_batch_that_changes_them(fixture: Fixture) -> None:
    fixture.line._reaffirm_due = 0.0
    waiting = gevent.spawn(fixture.line.lease)
    gevent.sleep(0)
    gevent.sleep(0)  # it is on its way
    fixture.line.reaffirm()
    assert waiting.get()
    until(fixture.agrees)


# --- when the connection breaks


def test_a_change_of_the_pool_during_a_short_break_is_told(fixture: Fixture) -> None:
    fixture.leases(3)
    fixture.gate.freeze()
    fixture.gate.cut()
    fixture.pool.set_admin(A, Admin.DRAIN, "test")
    fixture.gate.thaw()
    until(lambda: fixture.events.versions[-1] == fixture.pool.version())
    assert fixture.events.store == []


@pytest.mark.parametrize("direction", ["requests", "replies"])
def test_a_batch_cut_in_the_middle_is_neither_leaked_nor_counted_twice(
    fixture: Fixture, direction: str
) -> None:
    held = fixture.leases(3)
    fixture.gate.freeze(requests=direction == "requests", replies=direction == "replies")
    waiting = [gevent.spawn(fixture.line.lease) for _ in range(9)]
    fixture.release(held[:2])
    gevent.sleep(0.01)  # the batch is on its way
    fixture.gate.cut()
    fixture.gate.thaw()
    leases = [greenlet.get() for greenlet in waiting]
    assert all(leases)
    until(fixture.agrees)
    assert sum(fixture.counts().values()) == 10
    fixture.release([*held[2:], *leases])
    until(fixture.agrees)
    assert not fixture.counts()


def test_what_ends_during_a_short_break_is_given_back_once(fixture: Fixture) -> None:
    leases = fixture.leases(9)
    fixture.line.reconnect("a break")
    fixture.release(leases[:3])
    until(fixture.agrees)
    fixture.leases(1)  # what was still to be told would be by now
    assert fixture.agrees()
    assert sum(fixture.counts().values()) == 7


def test_a_batch_that_arrives_after_the_worker_registered_anew_changes_nothing(fixture: Fixture) -> None:
    """The worker has given up its connection; something on the way delivers what it carried all the same."""

    def refused() -> int:
        return fixture.connection.info("errorstats").get("errorstat_OUTDATED", {"count": 0})["count"]

    held, before = fixture.leases(3), refused()
    arrival = fixture.gate.strand()
    waiting = [gevent.spawn(fixture.line.lease) for _ in range(9)]
    fixture.release(held[:2])
    leases = [greenlet.get() for greenlet in waiting]  # locally
    until(fixture.agrees)
    arrival.set()
    until(lambda: refused() == before + 1)
    assert fixture.agrees()
    fixture.release([*held[2:], *leases])
    until(fixture.agrees)
    assert not fixture.counts()


def test_a_frozen_store_costs_one_patience_and_then_nothing(fixture: Fixture) -> None:
    fixture.leases(3)
    fixture.gate.freeze()
    assert answers_in(6 * PATIENCE_SECONDS, lambda: fixture.leases(9))
    assert fixture.events.store == ["lost"]
    assert fixture.line.degraded_since
    assert at_once(lambda: [fixture.line.lease() for _ in range(9)])
    assert fixture.held() == {A: 7, B: 7, C: 7}
    fixture.gate.cut()
    fixture.gate.thaw()
    until(fixture.agrees)
    assert fixture.events.store == ["lost", "back"]


def test_a_stopped_store_is_waited_for_once_and_resumed(own_store: Valkey) -> None:
    """SIGSTOP: connections stand, the kernel even accepts new ones, nothing answers."""
    with made(own_store) as fixture:
        leases = fixture.leases(6)
        assert own_store._process
        os.kill(own_store._process.pid, signal.SIGSTOP)
        try:
            waiting = [gevent.spawn(fixture.line.lease) for _ in range(9)]
            gevent.sleep(0)
            fixture.release(leases[:3])
            assert answers_in(6 * PATIENCE_SECONDS, lambda: gevent.joinall(waiting, raise_error=True))
            assert at_once(lambda: [fixture.line.lease() for _ in range(9)])
        finally:
            os.kill(own_store._process.pid, signal.SIGCONT)
        until(fixture.agrees)
        assert sum(fixture.counts().values()) == 21


def test_a_killed_store_costs_no_request(own_store: Valkey) -> None:
    with made(own_store) as fixture:
        fixture.leases(3)
        own_store.kill()
        assert all(fixture.leases(9))
        assert all(fixture.leases(9))
        own_store.start()
        until(fixture.agrees)


def test_while_degraded_the_strategy_goes_on_locally(valkey: Valkey) -> None:
    with made(valkey, "least-connections") as fixture:
        fixture.leases(3)
        fixture.gate.refusing = True
        fixture.gate.cut()
        until(lambda: fixture.line.degraded_since)
        assert Counter(lease.server for lease in fixture.leases(30)) == {A: 10, B: 10, C: 10}
        assert fixture.line.lease((A, B, C)) is None


def test_a_loop_that_was_busy_itself_does_not_blame_the_store(fixture: Fixture, valkey: Valkey) -> None:
    fixture.leases(1)
    fixture.client.close()
    fixture.client = connect(valkey.url)  # the gate would be as busy
    fixture.line.reconnect("another way")
    until(fixture.agrees)
    fixture.leases(1)
    waiting = gevent.spawn(fixture.line.lease)
    gevent.sleep(0)
    gevent.sleep(0)
    time.sleep(3 * PATIENCE_SECONDS)  # the reply comes meanwhile
    assert waiting.get()
    gevent.sleep(2 * PATIENCE_SECONDS)
    assert fixture.events.store == []


def test_starting_without_a_store_is_an_error(keys: Keys) -> None:
    events = Events()
    protocol = LeaseProtocol(WorkerId("w"), keys, host="here", pid=1, started=1.0)
    line = LeaseLine(lambda: dial(connect("redis://127.0.0.1:1")), protocol, events, patience_seconds=0.05)
    with pytest.raises(StoreError, match="cannot be reached"):
        line.start()
    line._timer.close()


def test_a_line_can_start_degraded_and_joins_when_the_store_is_there(own_store: Valkey) -> None:
    with made(own_store) as fixture:
        events = Events()
        own_store.kill()
        protocol = LeaseProtocol(WorkerId("late"), fixture.keys, host="here", pid=1, started=1.0)
        line = LeaseLine(fixture._dial, protocol, events, patience_seconds=PATIENCE_SECONDS)
        line.update(fixture.snapshot)
        with pytest.raises(StoreError):
            line.start()
        line.start_degraded("it is away")
        leases = [line.lease() for _ in range(6)]
        assert Counter(lease.server for lease in leases if lease) == {A: 2, B: 2, C: 2}
        own_store.start()
        until(lambda: events.store == ["lost", "back"])
        assert fixture.connection.hgetall(fixture.keys.worker_connections(WorkerId("late"))) == {
            A: "2",
            B: "2",
            C: "2",
        }
        line._redial.delay_seconds = 3600.0
        line.reconnect("the test is over")
        line._timer.close()


def test_a_store_that_answers_within_patience_is_not_given_up(valkey: Valkey) -> None:
    with made(valkey, patience_seconds=0.5) as fixture:
        fixture.gate.delay_seconds = 0.3
        assert all(fixture.leases(3))
        assert fixture.events.store == []
        assert fixture.dials == 1


def test_a_store_that_stays_slow_holds_up_requests_once(fixture: Fixture) -> None:
    """Every answer comes too late: the line tries again and again, but nobody waits for it."""
    fixture.gate.delay_seconds = 2 * PATIENCE_SECONDS
    assert answers_in(6 * PATIENCE_SECONDS, lambda: fixture.leases(3))
    dials = fixture.dials
    while fixture.dials < dials + 3:
        assert at_once(fixture.line.lease)
        gevent.sleep(0.005)
    fixture.gate.delay_seconds = 0.0
    until(fixture.agrees)
    assert fixture.events.store == ["lost", "back"]


@pytest.mark.parametrize(
    ("refuse", "resume"),
    [
        (("CONFIG", "SET", "maxmemory", 1), ("CONFIG", "SET", "maxmemory", 0)),
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE")),
    ],
    ids=["full", "a replica"],
)
def test_a_store_that_takes_no_writes_holds_up_requests_once(
    own_store: Valkey, refuse: tuple[Any, ...], resume: tuple[Any, ...]
) -> None:
    """It answers at once, but with a refusal: degraded until it does not."""
    with made(own_store) as fixture:
        fixture.connection.execute_command(*refuse)
        assert answers_in(6 * PATIENCE_SECONDS, lambda: fixture.leases(3))
        until(lambda: fixture.line.degraded_since)
        dials = fixture.dials
        while fixture.dials < dials + 3:
            assert at_once(fixture.line.lease)
            gevent.sleep(0.005)
        fixture.connection.execute_command(*resume)
        until(fixture.agrees)
        assert fixture.events.store == ["lost", "back"]


def test_while_degraded_a_server_that_fails_is_barred_until_the_store_is_back(fixture: Fixture) -> None:
    fixture.gate.refusing = True
    fixture.gate.cut()
    until(lambda: fixture.line.degraded_since)
    while len(fixture.line._local._barred()) < 1:
        for lease in fixture.leases(3):
            fixture.release([lease], failed=lease.server == A, succeeded=lease.server != A)
    assert {lease.server for lease in fixture.leases(6)} == {B, C}
    fixture.gate.refusing = False
    until(fixture.agrees)
    assert {lease.server for lease in fixture.leases(3)} == {A, B, C}


acts = st.lists(
    st.one_of(
        st.tuples(st.just("lease"), st.integers(1, 5)),
        st.tuples(st.just("release"), st.integers(1, 5)),
        st.tuples(st.sampled_from(["cut", "freeze", "thaw", "reap", "turn", "wait", "forget"]), st.just(0)),
    ),
    max_size=25,
)


Waiting = list["gevent.Greenlet[[], Lease | None]"]


def perform(act: str, number: int, fixture: Fixture, waiting: Waiting) -> None:
    match act:
        case "lease":
            waiting += [gevent.spawn(fixture.line.lease) for _ in range(number)]
        case "release":
            done = [greenlet for greenlet in waiting if greenlet.ready()][:number]
            waiting[:] = [greenlet for greenlet in waiting if greenlet not in done]
            fixture.release([greenlet.get() for greenlet in done])
        case "cut":
            fixture.gate.cut()
        case "freeze":
            fixture.gate.freeze()
        case "thaw":
            fixture.gate.cut()  # what was held up is lost
            fixture.gate.thaw()
        case "reap":
            fixture.fleet.reap(fixture.worker, "test", 0)
        case "forget":
            fixture.connection.script_flush()
        case "turn":
            gevent.sleep(0)
        case "wait":
            gevent.sleep(0.002)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=acts, strategy=st.sampled_from(["round-robin", "least-connections", "random"]))
def test_counts_never_drift_whatever_breaks(
    valkey: Valkey, acts: list[tuple[str, int]], strategy: str
) -> None:
    """After all that breaks has healed, the store counts what the worker holds, and everybody was served."""
    with made(valkey, strategy) as fixture:
        waiting: Waiting = []
        for act, number in acts:
            perform(act, number, fixture, waiting)
            assert all(count >= 0 for count in fixture.line.held.values())
        fixture.gate.cut()
        fixture.gate.thaw()
        gevent.joinall(waiting, timeout=5, raise_error=True)
        leases = [greenlet.get(block=False) for greenlet in waiting]
        assert all(leases)
        assert sum(fixture.held().values()) == len(leases)
        fixture.leases(1)  # a worker that was reaped learns of it with its next batch
        until(fixture.agrees)
        fixture.release(leases)
        until(lambda: fixture.agrees() and sum(fixture.counts().values()) == 1)
