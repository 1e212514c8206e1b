"""The data plane's parts as they are while an access log is on: they take times.

Without one the parts themselves are used, so nothing is paid for it. What overrides a step of a request does
so once per request and does little: 0.4 µs, with 0.7 for its line and 0.3 to write it (a request: 23 µs).
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
from lb.proxy.access_log import BATCH_BYTES, AccessLog
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
    """A client with what is known so far of its request at hand."""

    __slots__ = (
        "asked",
        "attempts",
        "connecting",
        "failed",
        "noted",
        "queued",
        "sent_before",
        "status",
        "tunnelled",
    )

    def __init__(self, stream: Stream, address: str, additions: Additions, *, trusted: bool) -> None:
        super().__init__(stream, address, additions, trusted=trusted)
        self.sent_before = 0  # bytes that its stream had sent before the request at hand
        self.tunnelled = 0  # bytes that went through a tunnel to its server
        self.noted: Request | None = None  # the last one that is in the log
        self.attempts = self.status = 0
        self.asked = NO_SERVER  # the server of the last attempt
        self.queued = self.connecting = 0.0  # seconds that it waited
        self.failed = 0.0  # when the last attempt failed, if there was another before; monotonic seconds


class Journal:
    """Notes what requests came to in the access log."""

    def __init__(self, log: AccessLog) -> None:
        self._flush = log.flush
        self._lines = log.lines
        self._line = log.format.line

    def note(self, client: LoggedClient, request: Request, head: float, reason: str = "") -> None:
        """Note that a request is done; its response's head came `head` seconds after its own, or NEVER."""
        lines, upload = self._lines, request.upload
        received = len(request.body) + client.tunnelled if upload is None else upload.received
        sent = client.stream.sent
        lines += self._line(client, request, monotonic(), head, sent - client.sent_before, received, reason)
        client.sent_before = sent
        client.noted = client.request  # not `request`: what came may have been no request at all
        client.attempts = client.status = 0
        client.queued = client.connecting = 0.0
        client.asked = NO_SERVER
        if len(lines) >= BATCH_BYTES:
            self._flush()


class LoggedAttempts(Attempts):
    """Attempts that are timed."""

    def attempt(  # type: ignore[override]  # all parts are of one kind
        self, client: LoggedClient, request: Request, lease: Lease
    ) -> Answer | ServerError:
        """Ask the leased server."""
        client.queued += monotonic() - (client.failed if client.attempts else client.arrived)
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

    def _switch(self, client: LoggedClient, request: Request, answer: Answer) -> None:  # type: ignore[override]
        before = answer.stream.sent
        try:
            super()._switch(client, request, answer)
        finally:
            client.tunnelled = answer.stream.sent - before


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
