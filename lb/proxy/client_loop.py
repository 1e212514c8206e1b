"""Reads the requests of one client's connection one after the other and has each forwarded."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from lb.errors import ClientError, ClientGoneError, LBError, NoEligibleServerError
from lb.limited_log import LimitedLog
from lb.proxy.access_log import AccessLog
from lb.proxy.additions import Additions
from lb.proxy.client import Client, CutError
from lb.proxy.exchange import NO_SERVER, Meters
from lb.proxy.http1 import HeadParser, Request, has_bare_line_feed, unreadable
from lb.proxy.linger import LingeringClose
from lb.proxy.reasons import reason_of
from lb.proxy.refusals import Refusals
from lb.proxy.responses import explanation_of, own_response
from lb.proxy.stream import Stream, StreamTimeoutError

_limited = LimitedLog(__name__)

_EMPTY_LINE = b"\r\n"
#: How long a client may take nothing of the balancer's own answer.
_ANSWER_SECONDS = 5.0
#: So many that were turned away may still be sending; the oldest of more are closed at once.
_REFUSED = 32
_TLS_HANDSHAKE = b"\x16"  # the first byte of a TLS connection (RFC 8446 §5.1), and of no method


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Limits on clients; bytes and seconds."""

    request_line_bytes: int
    header_bytes: int
    header_seconds: float
    keep_alive_seconds: float
    keep_alive_requests: int
    retry_after_seconds: int
    request_id: bool
    request_id_in_response: bool
    lingering_clients: int  # that may still be sending when their connections end


Forward = Callable[[Client, Request], bool]


class ClientLoop:
    """Serves the requests of a connection in order."""

    def __init__(  # noqa: PLR0913, PLR0917 (the parts of a data plane)
        self,
        heads: HeadParser,
        additions: Additions,
        forward: Forward,
        meters: Meters,
        settings: ClientSettings,
        access_log: AccessLog | None = None,
        refusals: Refusals | None = None,
    ) -> None:
        self._heads = heads
        self._id_line = additions.id_line if settings.request_id else None
        self._forward = forward
        self._meters = meters
        self._settings = settings
        self._access_log = access_log
        self._refusals = refusals
        self._clients: set[Client] = set()
        self._linger = LingeringClose(settings.lingering_clients).linger
        self._linger_refused = LingeringClose(_REFUSED).linger
        #: A head that is no longer than this exceeds neither limit.
        self._short_bytes = min(settings.request_line_bytes, settings.header_bytes)
        self.stopping = False  # finish the request at hand, take no other

    def serve(self, client: Client) -> None:
        """Serve until the connection ends; closes it. Raises nothing."""
        stream = client.stream
        request: Request | None = None
        head = b""
        self._clients.add(client)
        try:
            for left in range(self._settings.keep_alive_requests, 0, -1):
                client.request = request = None  # who is idle holds no body
                head = b""
                client.closing = left == 1
                head = self._read_head(client)
                if not head:
                    break
                client.arrived = monotonic()
                request = self._heads.request(head)
                client.request = request
                if self._id_line is not None:
                    request.id_line = self._id_line(request.fields, trusted=client.trusted)
                if not self._forward(client, request) or self.stopping:
                    self._part(stream, request)
                    break
        except LBError as error:
            self._refuse(client, request or _what_came(stream, head), error)
        except CutError:
            stream.abort()
        except OSError:
            pass  # the client left
        except Exception:
            _limited.exception("a request from %s failed", client.address.decode())
        finally:
            stream.close()
            self._clients.discard(client)

    def turn_away(self, stream: Stream) -> None:
        """Answer a client whose address holds too many connections, whatever its request; closes it."""
        try:
            stream.patience_seconds = _ANSWER_SECONDS
            stream.send_all(
                own_response(429, "too many connections from your address", retry_after_seconds=1)
            )
            self._linger_refused(stream)
        except OSError:
            pass  # the client left
        finally:
            stream.close()

    def _part(self, stream: Stream, request: Request) -> None:
        """See to it that the last answer arrives, if its client may be sending: a body, or more requests."""
        if _uploads(request):
            self._linger(stream, sending=True)
        elif request.keep_alive or stream.buffer:
            self._linger(stream)

    def _read_head(self, client: Client) -> bytes:
        """Return the next request's head; empty if the client ended its connection instead."""
        stream = client.stream
        data = stream.buffer or self._await(stream)
        stream.parked = False
        end = data.find(b"\r\n\r\n")
        if end < 0 or data.startswith(b"\r\n") or end > self._short_bytes:
            return self._read_long_head(client, data) if data else b""
        stream.buffer = data[end + 4 :]
        return data[: end + 4]

    def _await(self, stream: Stream) -> bytes:
        """Wait for a request to begin; empty if the client ends its connection or waits for too long."""
        stream.arm(self._settings.keep_alive_seconds)
        stream.parked = True
        try:
            return stream.receive_later()
        except StreamTimeoutError:
            if stream.unacknowledged():
                self._linger(stream)  # it is at the last answer still
            return b""

    def _read_long_head(self, client: Client, data: bytes) -> bytes:
        """Read a head that did not come in one piece, within its time and size."""
        stream = client.stream
        if data == _EMPTY_LINE:  # as some send after a body: no request has begun
            more = self._await(stream)
            stream.parked = False
            if not more:
                return b""
            data += more
        client.arrived = monotonic()  # as far as it has: the answer may be that it came too slowly
        stream.arm(self._settings.header_seconds)
        checked = 0
        while True:
            stream.buffer = data  # for who wants to know what it was, if it is no head
            # RFC 9112 §2.2: an empty line before the request line is overlooked; one is enough.
            head = data.removeprefix(_EMPTY_LINE)
            if head.startswith((_EMPTY_LINE, _TLS_HANDSHAKE)):
                raise _not_a_request(head)
            end = head.find(b"\r\n\r\n")
            self._check_size(head, end)
            if end >= 0:
                stream.buffer = head[end + 4 :]
                return head[: end + 4]
            if has_bare_line_feed(data, checked):
                raise ClientError("a line does not end in CR LF")  # else its head would never end
            checked = len(data)
            try:
                more = stream.receive_later()
            except StreamTimeoutError:
                raise ClientError("the request's head came too slowly", 408) from None
            if not more:
                return b""  # gone in the middle of its head: nobody to answer
            data += more

    def give_up(self) -> None:
        """Note the requests that are not done and will not be, as their time is over."""
        if self._access_log is not None:
            for client in self._clients:
                if client.request is not None:
                    self._access_log.note(client, client.request, "stopped")

    def _check_size(self, head: bytes, end: int) -> None:
        """Raise ClientError if what has come of a head is too large; its end is at `end`, -1 if not there."""
        settings = self._settings
        line = head.find(b"\r\n", 0, settings.request_line_bytes + 2)
        if line < 0 and len(head) > settings.request_line_bytes:
            raise ClientError(f"the request line is longer than {settings.request_line_bytes} bytes", 414)
        if max(end, len(head) - 4 if end < 0 else 0) > settings.header_bytes:
            raise ClientError(f"the head is larger than {settings.header_bytes} bytes", 431)

    def _refuse(self, client: Client, request: Request, error: LBError) -> None:
        """Answer with an error, then wait a little before closing, so that the answer arrives."""
        with suppress(OSError):  # it did not wait for the answer
            if self._answer(client, request, error):
                self._linger(client.stream, sending=isinstance(error, ClientError) or _uploads(request))

    def _answer(self, client: Client, request: Request, error: LBError) -> bool:
        """Answer for the balancer itself, and note that; False if there is nobody to answer."""
        try:
            return self._send_answer(client, request, error)
        finally:
            if self._access_log is not None:
                request.answer = None
                self._access_log.note(client, request, reason_of(error), error.status)

    def _send_answer(self, client: Client, request: Request, error: LBError) -> bool:
        if isinstance(error, ClientGoneError):
            return False
        if self._refusals is not None:
            self._refusals.note(error)
        response = own_response(
            error.status,
            explanation_of(error),
            head=request.method == b"HEAD",
            retry_after_seconds=(
                self._settings.retry_after_seconds if isinstance(error, NoEligibleServerError) else 0
            ),
            lines=request.id_line if self._settings.request_id_in_response else b"",
        )
        self._meters.answered(NO_SERVER, error.status, monotonic() - client.arrived)
        client.stream.patience_seconds = _ANSWER_SECONDS
        client.stream.send_all(response)
        return True


def _uploads(request: Request) -> bool:
    return request.upload is not None and not request.upload.complete


def _what_came(stream: Stream, head: bytes) -> Request:
    """Return what is known of a request whose head, or what there is of it, cannot be read."""
    if not head:
        head, stream.buffer = stream.buffer, b""
    return unreadable(head)


def _not_a_request(data: bytes) -> ClientError:
    if data.startswith(_TLS_HANDSHAKE):
        return ClientError("this is a plain HTTP port: it does not speak TLS (https)")
    return ClientError("more than one empty line before the request line")
