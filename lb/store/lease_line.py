"""The lease line: how a worker picks servers in the store without a round trip per request.

It works by group commit. At most one batch is in flight; requests that arrive meanwhile wait for the next
one, a single script call that picks for all of them and carries every release since. An idle line sends at
the end of the event loop's turn.

If the store does not answer within `patience_seconds`, the waiting requests get a local pick and later ones
get theirs at once (the worker is degraded), while the line reconnects in the background. Before its next
batch it registers the worker's live counts as absolute numbers, so a batch whose reply was lost is neither
leaked nor counted twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from random import getrandbits
from typing import Any

from gevent import get_hub
from greenlet import getcurrent, greenlet

from lb.limited_log import LimitedLog
from lb.model import ServerId, Snapshot
from lb.store.lease import Lease, LeaseEvents, Phase
from lb.store.lease_wire import LeaseProtocol, LeaseSocket, LeaseWire, reply_error
from lb.store.local_picks import LocalPicks
from lb.store.redial import Redial

_limited = LimitedLog(__name__)

_REAFFIRM_SECONDS = 60.0

# Reading a member through the class costs 50 ns more, five times per request.
_IDLE, _SCHEDULED, _IN_FLIGHT, _AWAY = Phase


class LeaseLine:
    """The leases of one worker. It belongs to one gevent hub; only that hub's greenlets may call it."""

    def __init__(
        self,
        dial: Callable[[], LeaseSocket],
        protocol: LeaseProtocol,
        events: LeaseEvents,
        *,
        patience_seconds: float,
        failures: int = 0,
    ) -> None:
        hub = get_hub()
        self._dial = dial
        self._redial = Redial(dial, self._connected, self._still_away)
        self._protocol = protocol
        self._events = events
        self._patience_seconds = patience_seconds
        self._run_callback = hub.loop.run_callback
        # greenlet's own switch: gevent's Hub.switch looks for hooks first.
        self._to_hub: Callable[[], ServerId | None] = greenlet.switch.__get__(hub)
        self._timer: Any = hub.loop.timer(patience_seconds / 2, repeat=patience_seconds / 2)
        self._phase = _AWAY
        self._wire: LeaseWire | None = None
        self._busy_since = 0.0  # monotonic seconds since when a reply is owed; 0.0 if none is
        self._picked = 0.0  # when the last picks were there
        self._waiting: list[tuple[greenlet, Collection[ServerId]]] = []
        self._granting: list[tuple[greenlet, Collection[ServerId]]] = []  # in the order of the batch's picks
        self._releases: dict[ServerId, list[int]] = {}
        self._sent: dict[ServerId, list[int]] = {}  # the releases of the last batch that had any
        self._version = 0
        self._reason = "not connected yet"  # why there is no connection
        self._local = LocalPicks(failures)
        self._picks_are_local = False
        self._reaffirm_due = 0.0  # monotonic seconds
        self.held: dict[ServerId, int] = {}  # this worker's requests in flight, by server
        self.degraded_since: float | None = None  # unix seconds; None while picks are shared

    # --- the hot path

    def lease(self, excluded: Collection[ServerId] = ()) -> Lease | None:
        """Pick a server, none of `excluded`, and count the request; None if no server is eligible."""
        if self._picks_are_local:
            server, self._picked = self._local.pick(excluded), time.monotonic()
        else:
            self._waiting.append((getcurrent(), excluded))
            if self._phase is _IDLE:
                self._phase = _SCHEDULED
                self._run_callback(self._flush)
            server = self._to_hub()
        if not server:
            return None
        self.held[server] = self.held.get(server, 0) + 1
        return Lease(server, self._picked)

    def release(self, lease: Lease) -> None:
        """Give a lease back with its outcome."""
        server = lease.server
        self.held[server] -= 1
        release = self._releases.get(server)
        if release is None:
            release = self._releases[server] = [0, 0, 0]
        release[0] += 1
        if lease.succeeded:
            release[1] = 1
            release[2] = 0
        elif lease.failed:
            release[2] += 1
            if self._picks_are_local:
                self._local.failed(server, release[2])
        if self._phase is _IDLE:
            self._phase = _SCHEDULED
            self._run_callback(self._flush)

    def _flush(self) -> None:
        if self._phase is not _SCHEDULED or self._wire is None:
            return
        waiting, self._waiting = self._waiting, []
        releases, self._releases = self._releases, {}
        self._sent = releases or self._sent
        if not waiting and not any(failures for _, _, failures in releases.values()):
            self._phase = _IDLE
            self._write(self._protocol.release(releases))
            return
        # The script serves requests without exclusions first. `sort` is stable: each kind keeps its order.
        retries = [excluded for _, excluded in waiting if excluded]
        if retries:
            waiting.sort(key=lambda waiter: bool(waiter[1]))
        self._granting = waiting
        seed = 1 + getrandbits(30)  # not the next of a series: that is what the script draws
        self._send(self._protocol.lease(seed, releases, len(waiting) - len(retries), retries))

    def _send(self, command: bytes) -> None:
        self._phase = _IN_FLIGHT
        self._busy_since = self._busy_since or time.monotonic()
        if not self._timer.active:
            self._timer.start(self._check_patience)
        self._write(command)

    def _write(self, command: bytes) -> None:
        assert self._wire is not None  # noqa: S101 (callers have checked; this tells the type checker)
        try:
            self._wire.send(command)
        except OSError as error:
            self.reconnect(str(error))

    def _replied(self, reply: object) -> None:
        if isinstance(reply, list):
            self._granted(*reply)
        elif isinstance(reply, int):
            self._registered(reply)
        else:
            self.reconnect(str(reply_error(reply)))  # if it is EMPTY, so will the registration find it

    def _granted(self, version: int, failed: list[ServerId | int], *servers: ServerId) -> None:
        granting, self._granting = self._granting, []
        self._picked = time.monotonic()
        self._events.granted(len(granting), self._picked - self._busy_since)
        self._busy_since = self._redial.delay_seconds = 0.0
        if version != self._version:
            self._version = version
            self._events.pool_changed(version)
        for position in range(0, len(failed), 2):
            self._events.server_failed(ServerId(str(failed[position])), int(failed[position + 1]))
        for (waiter, _), server in zip(granting, servers, strict=True):
            waiter.switch(server)
        self._next()

    def _next(self) -> None:
        if self._phase is not _IN_FLIGHT:
            return  # the connection was lost meanwhile
        if self._waiting or self._releases:
            self._phase = _SCHEDULED
            self._run_callback(self._flush)
        else:
            self._phase = _IDLE

    # --- the store goes away and comes back

    def start(self) -> None:
        """Connect and register; StoreError if the store cannot be reached."""
        self._connected(self._dial())

    def start_degraded(self, reason: str) -> None:
        """Start without the store, which could not be reached for `reason`: pick locally until it answers."""
        self._reason = reason
        self._degrade()
        self._redial.start()

    def update(self, snapshot: Snapshot) -> None:
        """Use a newer snapshot for local picks."""
        self._local.update(snapshot, self.held)

    def take_answered(self) -> bool:
        """Whether a request has succeeded, judged by the last releases sent since the previous call."""
        sent, self._sent = self._sent, {}
        return any(succeeded for _, succeeded, _ in sent.values())

    def reaffirm(self) -> None:
        """Register the live counts again, at most once a minute and only while the line is idle.

        This repairs what was lost unnoticed: the store may refuse a batch that asks for no reply (`release`
        of the protocol) while it is out of memory or cannot write to its disk.
        """
        if self._phase is _IDLE and time.monotonic() >= self._reaffirm_due:
            self._register()

    def _check_patience(self) -> None:
        if self._overdue() and self._wire is not None:
            self._wire.poll()  # the reply may be here: perhaps this process was not given a turn
        if self._phase is _IDLE:
            self._timer.stop()
        elif self._overdue():
            self.reconnect(f"no answer within {self._patience_seconds * 1000:.0f} ms")
            self._degrade()

    def _overdue(self) -> bool:
        silent_seconds = time.monotonic() - self._busy_since
        return self._phase in (_IN_FLIGHT, _AWAY) and silent_seconds > self._patience_seconds

    def reconnect(self, reason: str) -> None:
        """Drop the connection and open another; requests that wait go on waiting, within patience."""
        if self._wire is None:
            return
        self._wire.close()
        self._wire = None
        self._phase = _AWAY
        self._reason = reason
        self._busy_since = self._busy_since or time.monotonic()
        if not self._timer.active:
            self._timer.start(self._check_patience)
        self._waiting, self._granting = self._granting + self._waiting, []
        self._redial.start()

    def _degrade(self) -> None:
        """From now on pick locally, for requests that wait and for all that come."""
        self._timer.stop()
        self._busy_since, self._picked = 0.0, time.monotonic()
        self._picks_are_local = True
        if self.degraded_since is None:
            self.degraded_since = time.time()
            self._events.store_lost(self._reason)
        waiting, self._waiting = self._waiting, []
        for waiter, excluded in waiting:
            waiter.switch(self._local.pick(excluded))

    def _still_away(self, reason: str) -> None:
        if self.degraded_since and reason != self._reason:
            _limited.warning("still degraded: %s", reason, of=reason)
        self._reason = reason

    def _connected(self, sock: LeaseSocket) -> None:
        self._wire = LeaseWire(sock, self._replied, self.reconnect)
        self._register()

    def _register(self) -> None:
        """Send the live counts. While picks are local, this shows whether the store answers in time."""
        self._reaffirm_due = time.monotonic() + _REAFFIRM_SECONDS
        if not self._picks_are_local:
            self._releases = {}
        self._send(self._protocol.register(self.held))

    def _registered(self, version: int) -> None:
        if version == 0:
            self.reconnect("the store holds no pool, or a damaged one")
            self._degrade()
            self._events.store_empty()
            return
        if self._picks_are_local:  # it does; once more, as they were while it was asked
            self._picks_are_local = False
            self._busy_since = 0.0
            self._register()
            return
        if self.degraded_since is not None:
            self.degraded_since = None
            self._local.forget()
            self._events.store_back()
        if version != self._version:
            self._version = version
            self._events.pool_changed(version)
        if not self._waiting:
            self._busy_since = 0.0
        self._next()
