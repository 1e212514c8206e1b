"""Reads the heads of one response from a server's buffered stream, each within its time."""

from __future__ import annotations

import socket
import time
from http.client import RemoteDisconnected
from typing import Any, Final

from lb.errors import ClientError, ServerError
from lb.proxy.chunks import ChunkDecoder
from lb.proxy.http1 import HeadParser, ResponseHead, has_bare_line_feed
from lb.proxy.interim import MOST_WAITS, Allowance

#: Interim responses after which the others of this process get a turn.
_TURN: Final = 32
_TURN_SECONDS: Final = 0.001


class HeadReader:
    """Reads the head of one response, past interim ones.

    A socket's own time-out begins again with each byte, so it is set to what is left before each receive.
    """

    def __init__(
        self, stream: Any, sock: socket.socket, *, head_bytes: int, seconds: float, uploaded: int = 0
    ) -> None:
        self._stream = stream
        self._socket = sock
        self._head_bytes = head_bytes
        self._seconds = seconds
        self._uploaded = uploaded  # bytes of the request's body, which interim responses may acknowledge
        self._until = time.monotonic() + seconds
        self._more = False  # came with the last head
        self.heard = False  # whether a byte has arrived

    def read(self, heads: HeadParser, method: bytes) -> tuple[ResponseHead, bool]:
        """Return the final head, and whether the connection is certain to be at its end behind the message.

        ServerError if a head is malformed, or interim ones have no end; TimeoutError, RemoteDisconnected.
        """
        certain = True
        allowance = Allowance(self._head_bytes)
        last = self._until + (MOST_WAITS - 1) * self._seconds
        for number in range(1, 1 << 62):
            text = self._read_head()
            head = heads.response(text, method)
            if head.status == 101:
                raise ServerError("the server switched protocols without being asked")
            if head.status >= 200:
                break
            certain = certain and head.keep_alive
            allowance.take(len(text), self._uploaded)
            self._until = min(last, time.monotonic() + self._seconds)
            if number % _TURN == 0:
                time.sleep(_TURN_SECONDS)
        self._socket.settimeout(self._seconds)
        if head.fields.chunked and self._more and head.has_body(method):
            self._check_first_chunk()
        return head, certain

    def _read_head(self) -> bytes:
        head = b""
        while True:
            there = self._receive(begun=bool(head))
            checked, head = len(head), head + there
            end = head.find(b"\r\n\r\n", max(0, checked - 3)) + 4
            if min(len(head), end if end > 3 else len(head)) > self._head_bytes:
                raise ServerError(f"the server's head is larger than {self._head_bytes} bytes")
            if end > 3:
                self._more = end < len(head)
                self._stream.read(end - checked)
                return head[:end]
            if has_bare_line_feed(head, checked):
                raise ServerError("a line of the server's head does not end in CR LF")  # it would never end
            self._stream.read(len(there))

    def _receive(self, *, begun: bool) -> bytes:
        """Return what is in the stream's buffer, after one receive if that is nothing."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        there: bytes = self._stream.peek()
        if there:
            self.heard = True
        elif begun:
            raise ServerError("the server ended the connection in the middle of the head")
        else:
            raise RemoteDisconnected("closed without an answer")
        return there

    def _check_first_chunk(self) -> None:
        """Find what is malformed in what came of the body with its head: nothing has been passed on yet."""
        try:
            ChunkDecoder().decode(self._stream.peek())  # its buffer, without a receive
        except ClientError as error:
            raise ServerError(f"the response's body is malformed: {error}") from None
