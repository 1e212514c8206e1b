"""The acts of a schedule: each breaks or changes something, and may say when and how it is mended."""

from __future__ import annotations

import itertools
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from lb.errors import StoreError, UnknownServerError
from lb.model import Admin, Health, ServerId
from tests.chaos.schedule import Step
from tests.chaos.subject import Host, Subject, added, send_signal, spare
from tests.chaos.watch import Watch
from tests.support import eventually

T = TypeVar("T")

_MOST_DEAD_SERVERS = 2
_STRATEGIES = ("round-robin", "round-robin", "least-connections", "random")
#: What the operator did so shortly before a FLUSHALL, no worker may have seen yet; so it is not flushed then.
_SEEN_SECONDS = 1.5


@dataclass
class Wish:
    """What the operator wants of a server that is in the pool."""

    admin: Admin = Admin.READY
    weight: int = 1


@dataclass
class Ban:
    """A time in which a server may get no request: monotonic seconds; without an end while it lasts."""

    server: ServerId
    begin: float
    end: float | None = None


@dataclass(order=True)
class Mending:
    """Something to be mended at a time."""

    at: float
    number: int
    mend: Callable[[], None] = field(compare=False)


class Acts:
    """Does each step to the subject, and remembers what must be true after it."""

    def __init__(self, subject: Subject, watch: Watch) -> None:
        self.subject = subject
        self.wishes = {server: Wish() for server in subject.servers if server not in _ids(spare(subject))}
        self.strategy = "round-robin"
        self.bans = [Ban(server, 0.0) for server in _ids(spare(subject))]
        self.fresh_workers: list[float] = []  # when one began: it may know no more than the config
        self.lost_clients: dict[tuple[int, int], float] = {}  # (host, port) → when its worker was killed
        self.stalled_clients: set[tuple[int, int]] = set()  # those whose worker was frozen
        self.mendings: list[Mending] = []
        self._watch = watch
        self._numbers = itertools.count()
        self._changed = 0.0
        self._frozen: dict[int, float] = {}  # pid of a worker → when it was stopped

    def do(self, step: Step) -> str:
        """Do a step; return what was done to whom."""
        return getattr(self, f"_{step.act}")(step) or "nothing"

    def mend_due(self) -> float:
        """Mend what is due; return the seconds until the next is."""
        now = time.monotonic()
        for due in sorted(one for one in self.mendings if one.at <= now):
            self.mendings.remove(due)
            due.mend()
        return min((one.at - now for one in self.mendings), default=60.0)

    def mend_all(self) -> None:
        """Mend all that is broken."""
        while self.mendings:  # a host puts its return off until the store is back
            due, self.mendings = sorted(self.mendings), []
            for one in due:
                one.mend()

    def _later(self, seconds: float, mend: Callable[[], None]) -> None:
        self.mendings.append(Mending(time.monotonic() + seconds, next(self._numbers), mend))

    # --- processes

    def _kill_worker(self, step: Step) -> str | None:
        if (found := self._child("worker", step)) is None:
            return None
        host, pid = found
        self._expect_lost(host, pid)
        send_signal(pid, signal.SIGKILL)
        self._watch.killed(pid)
        return f"worker {pid}"

    def _freeze_worker(self, step: Step) -> str | None:
        if (found := self._child("worker", step)) is None:
            return None
        host, pid = found
        self._expect_lost(host, pid)  # if it is taken for hung
        self._later(12.0 if step.chance > 0.9 else 4 * step.chance, lambda: self._thaw_worker(host, pid))
        return f"worker {pid}"

    def _thaw_worker(self, host: Host, pid: int) -> None:
        if pid in host.balancer.worker_pids():
            number = self.subject.hosts.index(host)
            for port in [port for at, port in self.lost_clients if at == number]:
                if self.lost_clients[number, port] == self._frozen.get(pid):
                    del self.lost_clients[number, port]
                    self.stalled_clients.add((number, port))
        else:
            self.fresh_workers.append(time.monotonic())
        send_signal(pid, signal.SIGCONT)

    def _expect_lost(self, host: Host, pid: int) -> None:
        """Stop a worker, and note whose connections end with it."""
        send_signal(pid, signal.SIGSTOP)
        now = time.monotonic()
        self._frozen[pid] = now
        number = self.subject.hosts.index(host)
        for port in host.ports_of(pid):
            self.lost_clients[number, port] = now
        self.fresh_workers.append(now)

    def _kill_checker(self, step: Step) -> str | None:
        if (found := self._child("health-checker", step)) is None:
            return None
        self._watch.leaderless(found[1])
        send_signal(found[1], signal.SIGKILL)
        return f"health-checker {found[1]}"

    def _freeze_checker(self, step: Step) -> str | None:
        if (found := self._child("health-checker", step)) is None:
            return None
        pid = found[1]
        self._watch.leaderless(pid)
        send_signal(pid, signal.SIGSTOP)
        self._later(1 + 7 * step.chance, lambda: send_signal(pid, signal.SIGCONT))
        return f"health-checker {pid}"

    def _kill_api(self, step: Step) -> str | None:
        if (found := self._child("api", step)) is None:
            return None
        send_signal(found[1], signal.SIGKILL)
        return f"api {found[1]}"

    def _kill_host(self, step: Step) -> str | None:
        if self.subject.store_is_away or not all(host.up for host in self.subject.hosts):
            return None
        host = self._one(self.subject.hosts, step)
        for pid in host.balancer.worker_pids():
            self._watch.killed(pid, stopped=True)
        host.kill()
        self._later(2 * step.chance, lambda: self._restart(host))
        return f"host {self.subject.hosts.index(host)}"

    def _restart(self, host: Host) -> None:
        if self.subject.store_is_away:  # `lb run` would rightly refuse
            self._later(0.5, lambda: self._restart(host))
            return
        host.restart()
        self.fresh_workers.append(time.monotonic())

    def _child(self, role: str, step: Step) -> tuple[Host, int] | None:
        children = [(h, pid) for h in self.subject.hosts if h.up for pid in sorted(h.balancer.pids(role))]
        return self._one(children, step) if children else None

    # --- the store

    def _kill_store(self, step: Step) -> str | None:
        return self._break_store(self.subject.store.kill, self.subject.store.start, 4 * step.chance)

    def _restart_store(self, step: Step) -> str | None:
        return self._break_store(self.subject.store.stop, self.subject.store.start, 0.0)

    def _freeze_store(self, step: Step) -> str | None:
        return self._break_store(
            lambda: self.subject.signal_store(signal.SIGSTOP),
            lambda: self.subject.signal_store(signal.SIGCONT),
            4 * step.chance,
        )

    def _break_store(self, begin: Callable[[], None], end: Callable[[], None], seconds: float) -> str | None:
        if self.subject.store_is_away:
            return None

        def mend() -> None:
            end()
            self.subject.regain_store()

        self.subject.lose_store()
        begin()
        self._later(seconds, mend)
        return f"for {seconds:.1f} s"

    def _flush(self, step: Step) -> str | None:
        if not self.subject.store_is_well:
            return None
        time.sleep(max(0.0, self._changed + _SEEN_SECONDS - time.monotonic()))
        self.subject.lose_store()
        self.subject.flush_store()
        done = self._weigh_at_once(step)
        self.subject.regain_store()
        return f"all, and {done} at once"

    def _weigh_at_once(self, step: Step) -> str:
        """Act on a store that has just lost its pool: that holds, or is refused."""
        server, weight = self._one(list(self.wishes), step), 1 + int(3 * step.chance)
        try:
            self.subject.pool.set_weight(server, weight, "chaos")
        except UnknownServerError:  # no worker had the time to put the pool back
            return "nothing"
        self.wishes[server].weight = weight
        return self._did(f"{server} {weight}")

    # --- servers

    def _kill_server(self, step: Step) -> str | None:
        alive = [server for server in self.subject.servers.values() if server.alive]
        if len(alive) <= len(self.subject.servers) - _MOST_DEAD_SERVERS:
            return None
        server = self._one(alive, step)
        server.kill()
        self._later(6 * step.chance, server.restart)
        return server.id

    def _slow_server(self, step: Step) -> str:
        server = self._one(list(self.subject.servers.values()), step)
        server.delay_seconds = 0.2 * step.chance

        def mend() -> None:
            server.delay_seconds = 0.0

        self._later(3.0, mend)
        return server.id

    # --- operators

    def _add(self, step: Step) -> str | None:
        absent = [server for server in self.subject.servers.values() if server.id not in self.wishes]
        if not absent or not self.subject.store_is_well:
            return None
        server = self._one(absent, step)
        self._unban(server.id)
        added(server, self.subject)
        self.wishes[server.id] = Wish()
        return self._did(server.id)

    def _remove(self, step: Step) -> str | None:
        removable = [server for server in _ids(spare(self.subject)) if server in self.wishes]
        if not removable or not self.subject.store_is_well:
            return None
        server = self._one(removable, step)
        self.subject.pool.remove(server, "chaos")
        self._ban(server)
        del self.wishes[server]
        return self._did(server)

    def _drain(self, step: Step) -> str | None:
        return self._stop_server(step, Admin.DRAIN)

    def _maint(self, step: Step) -> str | None:
        return self._stop_server(step, Admin.MAINT)

    def _stop_server(self, step: Step, admin: Admin) -> str | None:
        ready = [server for server, wish in self.wishes.items() if wish.admin is Admin.READY]
        if len(ready) <= 3 or not self.subject.store_is_well:
            return None
        server = self._one(ready, step)
        self.subject.pool.set_admin(server, admin, "chaos")
        self._ban(server)
        self.wishes[server].admin = admin
        return self._did(server)

    def _undrain(self, step: Step) -> str | None:
        stopped = [server for server, wish in self.wishes.items() if wish.admin is not Admin.READY]
        if not stopped or not self.subject.store_is_well:
            return None
        server = self._one(stopped, step)
        self._unban(server)
        self.subject.pool.set_admin(server, Admin.READY, "chaos")
        self.wishes[server].admin = Admin.READY
        return self._did(server)

    def _weigh(self, step: Step) -> str | None:
        if not self.subject.store_is_well:
            return None
        server = self._one(list(self.wishes), step)
        weight = 1 + int(3 * step.chance)
        self.subject.pool.set_weight(server, weight, "chaos")
        self.wishes[server].weight = weight
        return self._did(f"{server} {weight}")

    def _choose_strategy(self, step: Step) -> str | None:
        if not self.subject.store_is_well:
            return None
        return self.choose(self._one(_STRATEGIES, step))

    def choose(self, name: str) -> str:
        """Choose a strategy."""
        self.subject.pool.set_strategy(name, "chaos")
        self.strategy = name
        return self._did(name)

    def _did(self, what: str) -> str:
        self._changed = time.monotonic()
        return what

    def _ban(self, server: ServerId) -> None:
        self.bans.append(Ban(server, time.monotonic()))

    def _unban(self, server: ServerId) -> None:
        for ban in self.bans:
            if ban.server == server and ban.end is None:
                ban.end = time.monotonic()

    @staticmethod
    def _one(choice: Iterable[T], step: Step) -> T:
        choice = list(choice)
        return choice[int(step.target * len(choice))]

    # --- when all is mended

    def wait_settled(self) -> None:
        """Wait until every worker is at work with the newest pool, and every server is up."""
        eventually(self._settled, seconds=30, what=f"a fleet that is well again: {self.state()}")

    def _settled(self) -> bool:
        try:
            version, workers = self.subject.pool.version(), self.subject.fleet.workers()
            health = {
                status.server.health for status in self.subject.pool.list() if self._checked(status.server.id)
            }
        except StoreError:
            return False
        return (
            self.subject.store_is_well
            and {worker.pid for worker in workers} == self.subject.worker_pids()
            and len(workers) == self._workers
            and all(worker.version == version for worker in workers)
            and not any(worker.degraded_since and not worker.degraded_until for worker in workers)
            and health <= {Health.UP}
        )

    def _checked(self, server: ServerId) -> bool:
        return server not in self.wishes or self.wishes[server].admin is not Admin.MAINT

    @property
    def _workers(self) -> int:
        return sum(host.workers for host in self.subject.hosts)

    def state(self) -> str:
        """Return what the store says of pool and workers, in a line."""
        try:
            return f"{self.subject.pool.list()} {self.subject.fleet.workers()}"
        except StoreError as error:
            return str(error)


def _ids(servers: Iterable) -> list[ServerId]:
    return [server.id for server in servers]
