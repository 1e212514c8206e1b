"""Any sequence of acts by operators, health-checker and three workers, on the real store against a model.

`pytest tests/store/test_state_machine.py --hypothesis-seed=N` plays the same sequences again.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field, replace

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lb.errors import ConflictError, StoreError, UnknownServerError
from lb.model import Admin, Health, ServerId, Snapshot, Source, WorkerId
from lb.store.client import connect
from lb.store.fleet import Fleet
from lb.store.keys import Keys
from lb.store.pool import BackendPool
from lb.strategies import STRATEGIES
from lb.strategies.base import weighted_cycle
from tests.store.acts import Worker, spec

_NUMBERS = itertools.count()

TRAFFIC = {"{default}:cursor", "{default}:failures"}
REMOVED = "{default}:removed"
TOLD = {"{default}:events", "{default}:fail_open:since"}

servers = st.sampled_from([ServerId(f"{name}:1") for name in "abcde"])
workers = st.sampled_from([WorkerId(f"w{number}") for number in range(3)])
weights = st.integers(1, 5)


@dataclass
class Member:
    """What the model keeps of a server."""

    weight: int
    admin: Admin = Admin.READY
    health: Health = Health.UP
    reason: str = ""

    @property
    def eligible(self) -> bool:
        return self.admin is Admin.READY and self.health is Health.UP


@dataclass
class Model:
    """The whole contract, in one process and without a store."""

    members: dict[ServerId, Member] = field(default_factory=dict)  # in pool order
    removed: dict[ServerId, int] = field(default_factory=dict)  # id → weight
    awaited: set[ServerId] = field(default_factory=set)  # of those, the ones that come back by themselves
    strategy: str = "round-robin"
    version: int = 0
    held: dict[WorkerId, Counter[ServerId]] = field(default_factory=dict)  # of the workers that are known

    @property
    def cycle(self) -> list[ServerId]:
        ready = {one: member for one, member in self.members.items() if member.admin is Admin.READY}
        up = {one: member for one, member in ready.items() if member.eligible}
        return weighted_cycle({one: member.weight for one, member in (up or ready).items()})

    def connections(self) -> dict[ServerId, int]:
        return dict(+sum(self.held.values(), Counter()))

    def load(self, server: ServerId) -> float:
        return self.connections().get(server, 0) / self.members[server].weight


class StoreMachine(RuleBasedStateMachine):
    """Does each act on both, and compares."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.keys = Keys(prefix=f"m{next(_NUMBERS)}")
        self.connection: redis.Redis = connect(url)
        self.connection.delete(*self.connection.keys(f"{self.keys.prefix}:*"), "none")
        self.pool = BackendPool(self.connection, self.keys)
        self.fleet = Fleet(self.connection, self.keys)
        self.pool.reconcile([], "round-robin", "test")
        self.model = Model(version=1)
        self.workers: dict[WorkerId, Worker] = {}
        self.kept: tuple[Snapshot, Model] | None = None
        self.told_whole = True  # whether the events are all that there were

    def teardown(self) -> None:
        self.connection.close()

    # --- operators

    def _changed(self, *, changed: bool = True) -> None:
        self.model.version += changed

    @rule(server=servers, weight=weights)
    def add(self, server: ServerId, weight: int) -> None:
        try:
            self.pool.add(spec(server, weight), Source.ADMIN, "test")
        except ConflictError:
            assert server in self.model.members
            return
        assert server not in self.model.members
        self.model.members[server] = Member(weight)
        self.model.removed.pop(server, None)
        self.model.awaited.discard(server)
        self._changed()

    @rule(server=servers)
    def remove(self, server: ServerId) -> None:
        try:
            self.pool.remove(server, "test")
        except UnknownServerError:
            assert server not in self.model.members
            assert server not in self.model.awaited
            return
        if server in self.model.awaited:
            self.model.awaited.remove(server)
            return
        self.model.removed[server] = self.model.members.pop(server).weight
        self._changed()

    @rule(server=servers)
    def restore(self, server: ServerId) -> None:
        try:
            self.pool.restore(server, "test")
        except UnknownServerError:
            assert server not in self.model.removed
            return
        if server in self.model.members:
            return  # it had just come back by itself
        self.model.awaited.discard(server)
        self.model.members[server] = Member(self.model.removed.pop(server))
        self._changed()

    @rule(server=servers, admin=st.sampled_from(Admin))
    def drain_undrain_maint(self, server: ServerId, admin: Admin) -> None:
        if (member := self.model.members.get(server)) is None:
            return
        self.pool.set_admin(server, admin, "test")
        self._changed(changed=member.admin is not admin)
        member.admin = admin

    @rule(server=servers, weight=weights)
    def weigh(self, server: ServerId, weight: int) -> None:
        if (member := self.model.members.get(server)) is None:
            return
        self.pool.set_weight(server, weight, "test")
        self._changed(changed=member.weight != weight)
        member.weight = weight

    @rule(name=st.sampled_from(sorted(STRATEGIES)))
    def choose_strategy(self, name: str) -> None:
        self.pool.set_strategy(name, "test")
        self._changed(changed=self.model.strategy != name)
        self.model.strategy = name

    # --- health

    @rule(server=servers, health=st.sampled_from(Health))
    def flip(self, server: ServerId, health: Health) -> None:
        member = self.model.members.get(server)
        flips = member is not None and member.health is not health
        assert self.pool.set_health(server, health, "check", "test") is flips
        if member and flips:
            member.health, member.reason = health, "check"
            self._changed()

    @rule(server=servers)
    def fall_silent(self, server: ServerId) -> None:
        """It leaves its checks unanswered for longer than the threshold; half of the pool stays."""
        member = self.model.members.get(server)
        self.connection.hset(self.keys.unanswered, server, "1.5")
        gone, total = len(self.model.awaited), len(self.model.members) + len(self.model.awaited)
        leaves = (
            member is not None
            and member.health is Health.DOWN
            and member.admin is Admin.READY
            and gone + 1 <= total // 2
        )
        assert self.pool.remove_unanswered(server, 60, "test") is leaves
        self.connection.hdel(self.keys.unanswered, server)
        if leaves:
            self.model.removed[server] = self.model.members.pop(server).weight
            self.model.awaited.add(server)
            self._changed()

    @rule(server=servers)
    def answer_again(self, server: ServerId) -> None:
        """Only what was removed for its silence comes back by itself."""
        assert self.pool.bring_back(server, "test") is (server in self.model.awaited)
        if server in self.model.awaited:
            self.model.awaited.remove(server)
            self.model.members[server] = Member(self.model.removed.pop(server))
            self._changed()

    @rule(server=servers)
    def mark_failed(self, server: ServerId) -> None:
        members = self.model.members
        marked = [one for one in members.values() if one.health is Health.DOWN and one.reason == "failures"]
        up = server in members and members[server].health is Health.UP
        allowed = up and len(marked) + 1 <= len(members) // 2
        assert self.pool.mark_failed(server, 5, "test") is allowed
        if allowed:
            members[server].health, members[server].reason = Health.DOWN, "failures"
            self._changed()

    # --- workers

    @rule(worker=workers, held=st.dictionaries(servers, st.integers(1, 5), max_size=3))
    def register(self, worker: WorkerId, held: dict[ServerId, int]) -> None:
        """It is counted for what it says, be it new or known; its servers may have left the pool."""
        if worker not in self.workers:
            self.workers[worker] = Worker(self.connection, self.keys, worker)
        self.workers[worker].register(held)
        self.model.held[worker] = Counter(held)

    @rule(worker=workers)
    def reap(self, worker: WorkerId) -> None:
        held = self.model.held.pop(worker, None)
        taken = self.fleet.reap(worker, "test", 0)
        assert taken == (-1 if held is None else held.total())
        self.workers.pop(worker, None)

    @precondition(lambda self: self.model.held)
    @rule(data=st.data(), picks=st.integers(1, 12), seed=st.integers(1, 2**31 - 2))
    def lease(self, data: st.DataObject, picks: int, seed: int) -> None:
        worker = data.draw(st.sampled_from(sorted(self.model.held)))
        cursor = int(self.connection.get(self.keys.cursor) or 0)
        picked = self.workers[worker].lease(picks, seed=seed)
        assert len(picked) == picks
        cycle = self.model.cycle
        if self.model.strategy == "round-robin" and cycle:
            assert picked == [cycle[(cursor + turn) % len(cycle)] for turn in range(picks)]
        for server in picked:
            self._granted(worker, server, cycle)

    @precondition(lambda self: self.model.held)
    @rule(data=st.data(), excluded=st.lists(servers, min_size=1, max_size=4, unique=True))
    def retry(self, data: st.DataObject, excluded: list[ServerId]) -> None:
        worker = data.draw(st.sampled_from(sorted(self.model.held)))
        [server] = self.workers[worker].lease(excluding=[excluded])
        self._granted(worker, server, [one for one in self.model.cycle if one not in excluded])

    def _granted(self, worker: WorkerId, server: ServerId, allowed: list[ServerId]) -> None:
        """Check one pick, and count it."""
        if not allowed:
            assert server == ""
            return
        assert server in allowed
        if self.model.strategy == "least-connections":
            assert self.model.load(server) == min(self.model.load(one) for one in allowed)
        self.model.held[worker][server] += 1

    @precondition(lambda self: any(held.total() for held in self.model.held.values()))
    @rule(data=st.data(), share=st.integers(1, 8))
    def release(self, data: st.DataObject, share: int) -> None:
        busy = sorted(worker for worker, held in self.model.held.items() if held.total())
        worker = data.draw(st.sampled_from(busy))
        held = self.model.held[worker]
        server = data.draw(st.sampled_from(sorted(+held)))
        ended = min(share, held[server])
        self.workers[worker].lease(releases=[(server, ended, 1, 0)])
        held[server] -= ended

    @rule(worker=workers, server=servers)
    def release_too_much(self, worker: WorkerId, server: ServerId) -> None:
        """What a worker does not hold it cannot give back."""
        if worker not in self.model.held:
            return
        self.workers[worker].lease(releases=[(server, 100, 1, 0)])
        del self.model.held[worker][server]

    # --- the store itself

    @rule()
    def keep(self) -> None:
        members = {one: replace(member) for one, member in self.model.members.items()}
        self.kept = self.pool.snapshot(), replace(self.model, members=members)

    @precondition(lambda self: self.kept)
    @rule()
    def flush_and_refill(self) -> None:
        """All is lost; what a worker remembers comes back, and no worker is known."""
        assert self.kept
        snapshot, then = self.kept
        self.connection.delete(*self.connection.keys(f"{self.keys.prefix}:*"))
        assert self.pool.refill(snapshot, "test")
        members = {one: replace(member) for one, member in then.members.items()}
        self.model = Model(members=members, strategy=then.strategy, version=then.version)
        self.told_whole = True
        self.workers.clear()
        assert self.pool.snapshot() == snapshot

    @rule(data=st.data())
    def lose_and_repair(self, data: st.DataObject) -> None:
        """Any keys are lost, or become keys of another type; workers repair it by their snapshot."""
        snapshot, prefix = self.pool.snapshot(), f"{self.keys.prefix}:"
        names = sorted(key.removeprefix(prefix) for key in self.connection.keys(f"{prefix}*"))
        lost = data.draw(
            st.dictionaries(st.sampled_from(names), st.sampled_from(["", "set", "sadd"]), min_size=1)
        )
        for name, command in sorted(lost.items()):
            self.connection.delete(prefix + name)
            if command and not name.endswith(":schema"):
                self.connection.execute_command(command, prefix + name, "odd")
        if any(
            name.startswith(REMOVED) for name in lost
        ):  # what is gone of one leads to nothing in the others
            self.connection.delete("none", *(prefix + name for name in names if name.startswith(REMOVED)))
            self.model.removed, self.model.awaited = {}, set()
        self.told_whole = self.told_whole and not lost.keys() & TOLD
        if self.model.held:
            self._lease_from_what_is_left(sorted(self.model.held)[0])

        self.pool.refill(snapshot, "test", gaps=True)
        for worker, held in self.model.held.items():
            known, _, _ = self.fleet.heartbeat(worker, snapshot.version, 60, busy=bool(held.total()))
            # A batch may have begun the counts again: what they lack is told when the worker reaffirms them.
            counts_lost = any(name.endswith(f":worker:{worker}:connections") for name in lost)
            if not known or counts_lost or lost.keys() & TRAFFIC:  # of which the worker's next batch learns
                self.workers[worker].register(dict(held))
        self.fleet.recount()
        repaired = self.pool.snapshot()
        assert not repaired.damage
        assert repaired.servers == snapshot.servers
        self.model.version = repaired.version

    def _lease_from_what_is_left(self, worker: WorkerId) -> None:
        """Either a server that may be picked, or the worker learns that it has to pick for itself."""
        try:
            [server] = self.workers[worker].lease(1)
        except StoreError:
            return
        assert server in self.model.cycle or not self.model.cycle
        if server:
            self.model.held[worker][server] += 1

    # --- what always holds

    @invariant()
    def sums_are_those_of_the_workers(self) -> None:
        counts = self.connection.hgetall(self.keys.connections)
        assert all(int(count) >= 0 for count in counts.values())
        assert {one: int(count) for one, count in counts.items() if int(count)} == self.model.connections()
        assert {one.id: one.connections for one in self.fleet.workers()} == {
            worker: held.total() for worker, held in self.model.held.items()
        }

    @invariant()
    def the_pool_is_the_models(self) -> None:
        snapshot = self.pool.snapshot()
        assert snapshot.version == self.model.version
        assert snapshot.strategy == self.model.strategy
        assert [(one.id, one.weight, one.admin, one.health) for one in snapshot.servers] == [
            (one, member.weight, member.admin, member.health) for one, member in self.model.members.items()
        ]

    @invariant()
    def the_awaited_are_the_models(self) -> None:
        assert {one.id: (one.weight, one.returns) for one in self.pool.removed()} == {
            server: (weight, server in self.model.awaited) for server, weight in self.model.removed.items()
        }

    @invariant()
    def the_cycle_is_made_of_the_eligible(self) -> None:
        assert self.connection.lrange(self.keys.cycle, 0, -1) == self.model.cycle

    @invariant()
    def it_is_known_whether_the_pool_fails_open(self) -> None:
        """Each beginning is followed by an end, unless the store lost some of that in between."""
        open_now = any(not self.model.members[server].eligible for server in self.model.cycle)
        assert self.pool.snapshot().fails_open is open_now
        assert bool(self.connection.exists(self.keys.fail_open_since)) is open_now
        if not self.told_whole:
            return
        told = [event.kind for event in self.pool.events(1000) if event.kind.startswith("fail-open")]
        assert told == [("fail-open", "fail-open-ended")[turn % 2] for turn in range(len(told))]
        assert len(told) % 2 == open_now

    @invariant()
    def the_load_is_what_least_connections_needs(self) -> None:
        if self.model.strategy == "least-connections":
            load = dict(self.connection.zrange(self.keys.load, 0, -1, withscores=True))
            assert load == {server: self.model.load(server) for server in set(self.model.cycle)}


def test_whatever_is_done_the_store_does_as_the_model(store_url: str) -> None:
    run_state_machine_as_test(
        lambda: StoreMachine(store_url),
        settings=settings(
            max_examples=60,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )
