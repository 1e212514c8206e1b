"""Interim responses (RFC 9110 §15.2): passed on while the final one is awaited.

Any number of them may come: an upload that can be resumed is acknowledged piece by piece (104), and a long
task says that it goes on (102). Each is a sign of life. What is bounded is how many bytes a server sends
ahead of its response, and how long it can put that off.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from lb.errors import ServerError
from lb.proxy.fairness import RECEIVE_COST

if TYPE_CHECKING:
    from lb.proxy.client import Client
    from lb.proxy.http1 import Request, ResponseHead
    from lb.proxy.stream import Stream

#: The bytes of them that a server may send at any time, beside one head of the largest size.
_BURST_BYTES: Final = 1 << 18
#: What it may send more in each second; it may also send as much as it got of the request's body.
_BYTES_PER_SECOND: Final = 1 << 16

#: They renew the wait for the response's head; this is the most waits in all.
MOST_WAITS: Final = 10


class Allowance:
    """How much of them a server may send ahead of one response: more is a flood, behind which none comes."""

    __slots__ = ("_began", "_bytes", "_head_bytes")

    def __init__(self, head_bytes: int) -> None:
        self._head_bytes = head_bytes
        self._began = monotonic()
        self._bytes = 0

    def take(self, size: int, uploaded: int = 0) -> None:
        """Count one of `size` bytes, after `uploaded` bytes of a body; ServerError if it is a flood."""
        self._bytes += size
        earned = uploaded + int(_BYTES_PER_SECOND * (monotonic() - self._began))
        if self._bytes > _BURST_BYTES + self._head_bytes + earned:
            raise ServerError(
                f"the server sent {self._bytes} bytes of interim responses ahead of its response"
            )


class InterimResponses:
    """Those of one attempt."""

    __slots__ = ("_allowance", "_client", "_request", "_server", "_until", "_wait_seconds", "certain_end")

    def __init__(
        self, client: Client, request: Request, server: Stream, *, head_bytes: int, wait_seconds: float
    ) -> None:
        self._client = client
        self._request = request
        self._server = server
        self._wait_seconds = wait_seconds
        self._until: float | None = None  # when the last wait ends, in monotonic seconds
        self._allowance = Allowance(head_bytes)
        self.certain_end = True  # the server's connection can be used again as far as they are concerned

    def pass_on(self, head: ResponseHead, size: int) -> None:
        """Pass one on that had `size` bytes; ServerError if they are too many, OSError if the client left."""
        upload = self._request.upload
        self._allowance.take(size, 0 if upload is None else upload.received)
        self.certain_end = self.certain_end and head.keep_alive
        if upload is not None and head.status == 100:
            upload.go_on(self._server)
        self._renew_wait()
        if self._request.minor:  # HTTP/1.0 knows none
            offer(self._client.stream, head.forward + b"\r\n\r\n")
        self._server.spent += RECEIVE_COST
        self._server.take_turns()

    def _renew_wait(self) -> None:
        upload = self._request.upload
        if upload is not None and upload.in_progress:
            self._until = None  # it is the client that is awaited, and the upload sees to that
            return
        now = monotonic()
        if self._until is None:
            self._until = now + MOST_WAITS * self._wait_seconds
        self._server.arm(min(self._wait_seconds, self._until - now))


def offer(stream: Stream, data: bytes) -> None:
    """Send what the peer takes now, without waiting: all or nothing. OSError if it is gone.

    A client may read nothing before it has sent its whole body. So what finds no room is dropped, and what
    was begun goes out ahead of whatever is sent next.
    """
    try:
        sent = stream.send(data)
    except BlockingIOError:
        return
    stream.sent += sent
    if sent < len(data):
        stream.send = _SendAfter(stream, data[sent:])


class _SendAfter:
    """Stands in for a stream's `send` until the rest of something is sent."""

    __slots__ = ("_rest", "_send", "_stream")

    def __init__(self, stream: Stream, rest: bytes) -> None:
        self._stream = stream
        self._send = stream.send
        self._rest = memoryview(rest)

    def __call__(self, data: bytes | memoryview) -> int:
        """Send the rest, then `data`; BlockingIOError if nothing of this can be sent now."""
        sent = self._send(self._rest)
        self._stream.sent += sent
        self._rest = self._rest[sent:]
        if self._rest:
            raise BlockingIOError
        self._stream.send = self._send
        return self._send(data)
