"""One client's connection: reads its requests one after the other and has each forwarded."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from lb.errors import ClientError, ClientGoneError, LBError, NoEligibleServerError
from lb.proxy.additions import Additions
from lb.proxy.exchange import NO_SERVER, Meters
from lb.proxy.headers import Fields
from lb.proxy.http1 import HeadParser, Request, has_bare_line_feed
from lb.proxy.responses import own_response, reason_of
from lb.proxy.stream import RECEIVE_BYTES, Stream, StreamTimeoutError

log = logging.getLogger(__name__)

#: After an error answer, so much of what the client still sends is taken and dropped: closing on unread data
#: would reset the connection and destroy the answer on its way (RFC 9112 §9.6).
_LINGER_BYTES = 1 << 20
_LINGER_SECONDS = 2.0


class CutError(Exception):
    """The response had begun and cannot be completed: the connection is cut so that the client can tell."""


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


class Client:
    """A client's connection while it is open."""

    __slots__ = (
        "_additions",
        "_lines",
        "_lines_minor",
        "_lines_of",
        "address",
        "arrived",
        "closing",
        "gone",
        "request",
        "server",
        "stream",
        "trusted",
    )

    def __init__(self, stream: Stream, address: str, additions: Additions, *, trusted: bool) -> None:
        self.stream = stream
        self.address = address.encode()
        self.trusted = trusted
        self._additions = additions
        self._lines_of: Fields | None = None
        self._lines_minor = 1
        self._lines = b""
        self.arrived = 0.0  # when the head of the request at hand had come, in monotonic seconds
        self.closing = False  # its connection ends with the request at hand
        self.gone = False  # it closed its connection while a request was being served
        self.request: Request | None = None  # the one at hand
        self.server: Stream | None = None  # the server's connection that serves it now
        stream.on_parked_readable = self._spoke

    def added_lines(self, fields: Fields, minor: int) -> bytes:
        """Return what is added to a request of HTTP/1.`minor`; mostly the same as before."""
        if fields is not self._lines_of or minor != self._lines_minor:
            self._lines_of, self._lines_minor = fields, minor
            self._lines = self._additions.lines(fields, minor, self.address, trusted=self.trusted)
        return self._lines

    def _spoke(self) -> None:
        """Notice that the client left while its request is served, and end that; called in the hub.

        The next requests may come meanwhile. They are taken in, up to a bound, so that its leaving is noticed
        behind them too.
        """
        stream = self.stream
        if len(stream.buffer) >= RECEIVE_BYTES:
            stream.stop_watching()  # the kernel keeps the rest
            return
        try:
            said = stream.receive_now()
        except OSError:
            self._left()
        else:
            if said:
                stream.buffer += said
            elif said is not None and (stream.broken or not self._announced_its_end):
                self._left()
            elif said is not None:
                stream.stop_watching()

    @property
    def _announced_its_end(self) -> bool:
        """Whether the request at hand is the client's last by its own words.

        Who says so and then ends its side waits for the answer (`nc -N`); of others the end means that they
        are gone. Both look the same in TCP (RFC 9112 §9.6), and servers must not work for those who left.
        """
        return self.request is not None and not self.request.keep_alive

    def _left(self) -> None:
        self.stream.stop_watching()
        if self.server is not None:
            self.gone = True
            self.server.close()


Forward = Callable[[Client, Request], bool]


class ClientLoop:
    """Serves the requests of a connection in order."""

    def __init__(
        self,
        heads: HeadParser,
        additions: Additions,
        forward: Forward,
        meters: Meters,
        settings: ClientSettings,
    ) -> None:
        self._heads = heads
        self._id_line = additions.id_line if settings.request_id else None
        self._forward = forward
        self._meters = meters
        self._settings = settings
        #: A head that is no longer than this exceeds neither limit.
        self._short_bytes = min(settings.request_line_bytes, settings.header_bytes)
        self.stopping = False  # finish the request at hand, take no other

    def serve(self, client: Client) -> None:
        """Serve until the connection ends; closes it. Raises nothing."""
        stream = client.stream
        request: Request | None = None
        try:
            for left in range(self._settings.keep_alive_requests, 0, -1):
                request = None
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
                    if request.upload is not None and not request.upload.complete:
                        _linger(stream)  # it is still sending: the answer came early
                    break
        except LBError as error:
            self._answer(client, request, error)
        except CutError:
            stream.abort()
        except OSError:
            pass  # the client left
        except Exception:
            log.exception("a request from %s failed", client.address.decode())
        finally:
            stream.close()

    def _read_head(self, client: Client) -> bytes:
        """Return the next request's head; empty if the client ended its connection instead."""
        stream = client.stream
        data = stream.buffer
        if not data:
            stream.arm(self._settings.keep_alive_seconds)
            stream.parked = True
            try:
                data = stream.receive_later()
            except StreamTimeoutError:
                return b""
        stream.parked = False
        end = data.find(b"\r\n\r\n")
        if end < 0 or data.startswith(b"\r\n") or end > self._short_bytes:
            return self._read_long_head(client, data)
        stream.buffer = data[end + 4 :]
        return data[: end + 4]

    def _read_long_head(self, client: Client, data: bytes) -> bytes:
        """Read a head that did not come in one piece, within its time and size."""
        settings, stream = self._settings, client.stream
        client.arrived = (
            monotonic()
        )  # as far as it goes: what it is answered with may be that it came too slowly
        stream.arm(settings.header_seconds)
        checked = 0
        while True:
            # RFC 9112 §2.2: an empty line before the request line is overlooked; one is enough.
            head = data.removeprefix(b"\r\n")
            end = head.find(b"\r\n\r\n")
            line = head.find(b"\r\n", 0, settings.request_line_bytes + 2)
            if line < 0 and len(head) > settings.request_line_bytes:
                raise ClientError(f"the request line is longer than {settings.request_line_bytes} bytes", 414)
            if max(end, len(head) - 4 if end < 0 else 0) > settings.header_bytes:
                raise ClientError(f"the head is larger than {settings.header_bytes} bytes", 431)
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

    def _answer(self, client: Client, request: Request | None, error: LBError) -> None:
        """Answer for the balancer itself, then close so that the answer arrives."""
        if isinstance(error, ClientGoneError):
            return
        retry_after = self._settings.retry_after_seconds if isinstance(error, NoEligibleServerError) else 0
        head = request is not None and request.method == b"HEAD"
        lines = request.id_line if request is not None and self._settings.request_id_in_response else b""
        stream = client.stream
        self._meters.answered(NO_SERVER, error.status, monotonic() - client.arrived)
        try:
            stream.arm(_LINGER_SECONDS)
            stream.send_all(
                own_response(
                    error.status, reason_of(error), head=head, retry_after_seconds=retry_after, lines=lines
                )
            )
            _linger(stream)
        except OSError:
            pass  # it did not wait for the answer


def _linger(stream: Stream) -> None:
    """Take what the client still sends, for a while, so that it sees the answer."""
    stream.arm(_LINGER_SECONDS)
    stream.shutdown_write()
    for _ in range(_LINGER_BYTES // RECEIVE_BYTES):
        if not stream.receive():
            break
