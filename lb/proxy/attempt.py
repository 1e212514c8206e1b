"""One attempt at one server: send the request, await the answer's head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic

from lb.errors import ClientGoneError, ServerConnectError, ServerError, ServerTimeoutError
from lb.model import ServerId
from lb.proxy.answer import Answer
from lb.proxy.client import Client
from lb.proxy.connections import ServerConnections
from lb.proxy.exchange import Meters
from lb.proxy.http1 import HeadParser, Request, ResponseHead, has_bare_line_feed
from lb.proxy.interim import InterimResponses
from lb.proxy.retry import IDEMPOTENT
from lb.proxy.stream import Stream, StreamTimeoutError
from lb.store.lease import Lease
from lb.store.lease_line import LeaseLine


@dataclass(frozen=True, slots=True)
class AttemptSettings:
    """Limits on servers; bytes and seconds."""

    response_head_seconds: float
    head_bytes: int
    retry_on: frozenset[int]  # answers that say neither that the server works nor that it does not
    failure_statuses: frozenset[int]  # answers that count as failures of the server


class ResetError(ServerError):
    """The server ended the connection before its answer's head was there."""


class _DeadConnectionError(ResetError):
    """A kept connection ended before a byte of the answer: the server had closed it, most likely."""


class Attempts:
    """Asks servers; turns what can go wrong with one into a ServerError."""

    def __init__(
        self,
        line: LeaseLine,
        connections: Callable[[ServerId], ServerConnections],
        heads: HeadParser,
        meters: Meters,
        settings: AttemptSettings,
    ) -> None:
        self._line = line
        self._meters = meters
        self._connections = connections
        self._heads = heads
        self._settings = settings
        self._head_bytes = settings.head_bytes
        self._unproven = settings.retry_on | settings.failure_statuses

    def attempt(self, client: Client, request: Request, lease: Lease) -> Answer | ServerError:
        """Ask the leased server. The lease is the answer's from then on, or is released with the failure."""
        if request.lease is not None:
            _trace_retry(request, request.lease)
        request.lease = lease
        try:
            answer = self._ask(client, request, lease)
        except ServerError as error:
            lease.failed = True
            request.traced().failed = monotonic()
            self._line.release(lease)
            return error
        except BaseException as error:
            if isinstance(error, ClientGoneError):
                self._meters.client_gone(lease.server)
            self._line.release(lease)
            raise
        if answer.head.status in self._unproven:
            lease.failed = answer.head.status in self._settings.failure_statuses
            request.traced().failed = monotonic()
        else:
            lease.succeeded = True
        return answer

    def _ask(self, client: Client, request: Request, lease: Lease) -> Answer:
        server = self._connections(lease.server)
        stream = server.take()
        # A kept connection may have died unseen. An idempotent request may find out by trying; for the others
        # one look just before sending makes it as good as certain.
        if stream is not None and (request.method in IDEMPOTENT or stream.quiet()):
            try:
                return self._exchange(client, request, lease, server, stream)
            except _DeadConnectionError:
                if request.method not in IDEMPOTENT or not request.body_kept:
                    raise
        elif stream is not None:
            stream.close()
        stream = self._connect(client, request, server)
        return self._exchange(client, request, lease, server, stream)

    def _connect(self, client: Client, request: Request, server: ServerConnections) -> Stream:
        began = monotonic()
        try:
            return server.connect(partial(self._connecting, client, request))
        except ServerConnectError:
            if client.gone:
                raise _gone() from None
            raise
        finally:
            request.traced().connecting_seconds += monotonic() - began

    @staticmethod
    def _connecting(client: Client, request: Request, stream: Stream) -> None:
        """Let the client's leaving end the wait for a connection."""
        if client.gone:
            raise _gone()
        client.server = stream
        if request.upload is None:
            client.stream.parked = True
            client.stream.watch()

    def _exchange(
        self, client: Client, request: Request, lease: Lease, server: ServerConnections, stream: Stream
    ) -> Answer:
        """Send the request and read the answer's head; the connection is closed if that fails."""
        client.server = stream
        reused = stream.reused
        stream.reused = True
        try:
            stream.patience_seconds = self._settings.response_head_seconds
            try:
                stream.send_all(self._request_bytes(client, request, server))
            except (BrokenPipeError, ConnectionResetError) as error:
                if reused:  # what there may be of an answer is of earlier than this request
                    raise
                stream.broken = isinstance(error, ConnectionResetError)  # its answer may wait to be read
            stream.arm(self._settings.response_head_seconds)
            if request.upload is None:
                client.stream.parked = True
                client.stream.watch()  # it may have left while it was not parked yet
            else:
                request.upload.start(stream)
            head = self._read_answer(client, request, stream)
            answer = Answer(lease, server, stream, head)
            if head.fields.chunked and stream.buffer and head.has_body(request.method):
                answer.look_ahead()
        except StreamTimeoutError:
            stream.close()
            raise ServerTimeoutError(f"no answer in {self._settings.response_head_seconds:g} s") from None
        except OSError as error:
            dead = reused and not stream.buffer
            stream.close()
            raise _why_it_ended(client, request, error, dead=dead) from None
        except BaseException:
            stream.close()
            raise
        return answer

    @staticmethod
    def _request_bytes(client: Client, request: Request, server: ServerConnections) -> bytes:
        fields = request.fields
        own = client.added_lines(fields, request.minor)
        if fields.host is None:
            own += b"\r\nHost: %b" % server.host
        if fields.chunked:
            own += b"\r\nTransfer-Encoding: chunked"
        if fields.upgrade and request.minor:  # RFC 9110 §7.8: not from HTTP/1.0
            own += b"\r\nConnection: upgrade\r\nUpgrade: %b" % fields.upgrade
        return b"%b %b HTTP/1.1%b%b%b\r\n\r\n%b" % (
            request.method,
            request.target,
            fields.forward,
            own,
            request.id_line,
            request.body,
        )

    def _read_answer(self, client: Client, request: Request, stream: Stream) -> ResponseHead:
        """Read the final head, or a 101."""
        text = self._read_head(stream)
        head = self._heads.response(text, request.method)
        if head.status >= 200:
            return head
        return self._read_interim(client, request, stream, text, head)

    def _read_interim(
        self, client: Client, request: Request, stream: Stream, text: bytes, head: ResponseHead
    ) -> ResponseHead:
        """Pass interim responses on (RFC 9110 §15.2) until the final head, or a 101."""
        settings = self._settings
        interim = InterimResponses(
            client,
            request,
            stream,
            head_bytes=settings.head_bytes,
            wait_seconds=settings.response_head_seconds,
        )
        while head.status < 200:
            if head.status == 101:
                return _switching(head, request)
            try:
                interim.pass_on(head, len(text))
            except OSError:
                raise _gone() from None
            try:
                text = self._read_head(stream)
            except OSError:
                stream.buffer = text  # the connection was alive: it has spoken
                raise
            head = self._heads.response(text, request.method)
        return head if interim.certain_end else replace(head, keep_alive=False)

    def _read_head(self, stream: Stream) -> bytes:
        data = stream.buffer or stream.receive_later()
        if not data:
            raise ConnectionResetError(0, "closed without an answer")
        checked = 0
        while (end := data.find(b"\r\n\r\n")) < 0:
            if len(data) > self._head_bytes:
                break
            if has_bare_line_feed(data, checked):
                raise ServerError("a line of the server's head does not end in CR LF")  # it would never end
            checked = len(data)
            stream.buffer = data
            more = stream.receive_later()
            if not more:
                raise ConnectionResetError(0, "closed in the middle of the head")
            data += more
        if end < 0 or end > self._head_bytes:
            raise ServerError(f"the server's head is larger than {self._head_bytes} bytes")
        stream.buffer = data[end + 4 :]
        return data[: end + 4]


def _trace_retry(request: Request, lease: Lease) -> None:
    trace = request.traced()
    trace.attempts += 1
    trace.asking_seconds += trace.failed - lease.picked


def _switching(head: ResponseHead, request: Request) -> ResponseHead:
    """Return a 101 that was asked for and says what comes next (RFC 9110 §7.8, §15.2.2); else ServerError."""
    if not request.fields.upgrade or not request.minor:
        raise ServerError("the server switched protocols without being asked")
    if not head.fields.upgrade:
        raise ServerError("the server switched protocols without saying to which")
    return head


def _why_it_ended(client: Client, request: Request, error: OSError, *, dead: bool) -> Exception:
    """Return what a server's connection ended with before its answer: it may have been for the client."""
    if request.upload is not None:
        request.upload.stop()
        if request.upload.error is not None:
            return request.upload.error
    if client.gone:
        return _gone()
    kind = _DeadConnectionError if dead else ResetError
    return kind(f"the server ended the connection: {error.strerror or error}")


def _gone() -> ClientGoneError:
    return ClientGoneError("the client left before the answer")
