"""The data plane's parts as they are while an access log is on: they take times and count bytes.

Without one the parts themselves are used, so nothing is paid for it. What overrides a step of a request does
so once per request and does little: 1.2 µs, and 1.4 for its line (a request: 23 µs).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any

from lb.errors import (
    ClientError,
    ClientGoneError,
    ExhaustedError,
    LBError,
    NoEligibleServerError,
    ServerConnectError,
    ServerError,
    ServerTimeoutError,
)
from lb.proxy.access_lines import NEVER
from lb.proxy.access_log import BATCH, AccessLog
from lb.proxy.additions import Additions
from lb.proxy.attempt import Answer, Attempts, ResetError
from lb.proxy.client import Client, CutError
from lb.proxy.client_loop import ClientLoop
from lb.proxy.connections import ServerConnections
from lb.proxy.exchange import NO_SERVER
from lb.proxy.http1 import Request
from lb.proxy.relay import Relay
from lb.proxy.stream import Stream, StreamTimeoutError
from lb.store.lease import Lease

#: The words for failures; `lb/docs/operations.md` says what each means. The first that fits is it.
_REASONS: tuple[tuple[type[LBError], str], ...] = (
    (ClientGoneError, "client-gone"),
    (NoEligibleServerError, "no-server"),
    (ExhaustedError, "exhausted"),
    (ServerConnectError, "connect"),
    (ServerTimeoutError, "timeout"),
    (ResetError, "reset"),
    (ServerError, "bad-response"),
)
_REASONS_BY_STATUS = {
    408: "slow-client",
    413: "too-large",
    414: "too-large",
    431: "too-large",
    501: "unsupported",
    505: "unsupported",
}


@dataclass(frozen=True, slots=True)
class Parts:
    """What a data plane is made of."""

    client: Callable[..., Client] = Client
    attempts: Callable[..., Attempts] = Attempts
    relay: Callable[..., Relay] = Relay
    loop: Callable[..., ClientLoop] = ClientLoop


class LoggedClient(Client):
    """A client with what is known so far of its request at hand; times are monotonic seconds."""

    __slots__ = ("asked", "attempts", "connecting", "counts", "failed", "noted", "queued", "status")

    def __init__(self, stream: Stream, address: str, additions: Additions, *, trusted: bool) -> None:
        super().__init__(stream, address, additions, trusted=trusted)
        self.counts = _counted(stream)  # bytes that the request at hand has brought, and got
        self.noted: Request | None = None  # the last one that is in the log
        self.attempts = self.status = 0
        self.asked = NO_SERVER  # the server of the last attempt
        self.queued = self.connecting = 0.0  # how long it waited, if there was an attempt
        self.failed = 0.0  # when the last attempt failed, if there was another before


def _counted(stream: Stream) -> list[int]:
    """Have the bytes counted that a stream receives and sends; return both counts.

    Not by a class of its own: code that meets two classes of streams in turn takes 1 µs more per request.
    """
    counts = [0, 0]
    receive, send = stream._recv, stream.send

    def counting_receive(size: int, flags: int = 0) -> bytes:
        data = receive(size, flags)
        if not flags:  # else it is only looked at
            counts[0] += len(data)
        return data

    def counting_send(data: bytes | memoryview) -> int:
        sent: int = send(data)
        counts[1] += sent
        return sent

    stream._recv = counting_receive
    stream.send = counting_send  # type: ignore[assignment]  # nobody gives it flags
    return counts


class Journal:
    """Notes what requests came to in the access log."""

    def __init__(self, log: AccessLog) -> None:
        self._flush = log.flush
        self._records = log.records

    def note(self, client: LoggedClient, request: Request, head: float, reason: str = "") -> None:
        """Note that a request is done; its response's head came `head` seconds after its own, or NEVER."""
        now = monotonic()
        counts, attempts = client.counts, client.attempts
        ahead = len(client.stream.buffer)  # of its next request
        self._records.append(
            (
                now,
                client.address,
                request,
                client.status,
                client.asked if attempts else NO_SERVER,
                attempts,
                client.queued if attempts else 0.0,
                client.connecting if attempts else 0.0,
                head,
                now - client.arrived,
                counts[1],
                counts[0] - ahead,
                reason,
            )
        )
        counts[0], counts[1] = ahead, 0
        client.attempts = client.status = 0
        client.noted = client.request  # not `request`: what came may have been no request at all
        if len(self._records) >= BATCH:
            self._flush()


class LoggedAttempts(Attempts):
    """Attempts that are timed."""

    def attempt(  # type: ignore[override]  # all parts are of one kind
        self, client: LoggedClient, request: Request, lease: Lease
    ) -> Answer | ServerError:
        """Ask the leased server."""
        if client.attempts:
            client.queued += monotonic() - client.failed
        else:
            client.queued = monotonic() - client.arrived
            client.connecting = 0.0
        client.attempts += 1
        client.asked = lease.server
        outcome = Attempts.attempt(self, client, request, lease)
        if lease.failed:
            client.failed = monotonic()
        return outcome

    def _connect(self, client: LoggedClient, request: Request, server: ServerConnections) -> Stream:  # type: ignore[override]
        began = monotonic()
        try:
            return super()._connect(client, request, server)
        finally:
            client.connecting += monotonic() - began


class LoggedRelay(Relay):
    """A relay that tells what became of each answer."""

    def __init__(self, journal: Journal, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self._note = journal.note

    def relay(self, client: LoggedClient, request: Request, answer: Answer) -> bool:  # type: ignore[override]
        """Relay, and note the request unless the client loop will."""
        client.status = answer.head.status
        head = monotonic() - client.arrived
        try:
            keep_alive = Relay.relay(self, client, request, answer)
        except LBError:
            raise  # it is answered by the loop
        except BaseException as error:
            self._note(client, request, head, _reason_of_end(client, request, error))
            raise
        self._note(client, request, head)
        return keep_alive


class LoggedLoop(ClientLoop):
    """A client loop that tells what it answered itself, and what it left unfinished."""

    def __init__(self, journal: Journal, *args: Any) -> None:
        super().__init__(*args)
        self._note = journal.note
        self._clients: set[LoggedClient] = set()

    def serve(self, client: LoggedClient) -> None:  # type: ignore[override]
        """Serve until the connection ends."""
        self._clients.add(client)
        try:
            super().serve(client)
        finally:
            self._clients.discard(client)

    def _answer(self, client: LoggedClient, request: Request, error: LBError) -> bool:  # type: ignore[override]
        client.status = error.status
        try:
            return super()._answer(client, request, error)
        finally:
            self._note(client, request, NEVER, reason_of(error))

    def give_up(self) -> None:
        """Note the requests that are not done and will not be, as their time is over."""
        for client in self._clients:
            if client.request is not None and client.request is not client.noted:
                self._note(client, client.request, NEVER, "stopped")


def parts(log: AccessLog | None) -> Parts:
    """Return what a data plane is made of, with an access log or without."""
    if log is None:
        return Parts()
    journal = Journal(log)
    return Parts(
        LoggedClient,
        LoggedAttempts,
        partial(LoggedRelay, journal),
        partial(LoggedLoop, journal),
    )


def reason_of(error: LBError) -> str:
    """Say in a word why a request failed."""
    if isinstance(error, ClientError):
        return _REASONS_BY_STATUS.get(error.status, "malformed")
    return next((word for kind, word in _REASONS if isinstance(error, kind)), "error")


def _reason_of_end(client: Client, request: Request, error: BaseException) -> str:
    """Say why a response broke off after its head."""
    fault = None if request.upload is None else request.upload.error
    if isinstance(fault, LBError):
        return reason_of(fault)
    if client.gone:
        return "client-gone"
    if isinstance(error, CutError):
        return "timeout" if isinstance(error.__cause__, StreamTimeoutError) else "cut"
    if isinstance(error, StreamTimeoutError):
        return "slow-client"
    return "client-gone" if isinstance(error, OSError) else "error"
