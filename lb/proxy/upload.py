"""Sends a request's body to a server while its answer is already awaited.

A body that arrived whole with its head goes out with it and never comes here. A longer one is pumped by a
greenlet of its own, so that an early answer, a 100 (Continue) or an echoing server cannot deadlock with it.
"""

from __future__ import annotations

import math
from typing import Final

import gevent

from lb.errors import ClientError, ClientGoneError, ServerTimeoutError
from lb.proxy.body import Body, ChunkedBody, IncompleteBodyError, LengthBody, chunk, last_chunk
from lb.proxy.headers import Fields
from lb.proxy.stream import Stream, StreamTimeoutError

#: How much of a body is still passed on once the answer is complete, …
REST_BYTES: Final = 1 << 20
#: … and for how long: then both connections can be kept.
_REST_SECONDS: Final = 5.0


class Upload:
    """One request's body, over all attempts. What was read is kept for a retry, up to `keep_bytes`."""

    def __init__(  # noqa: PLR0913 (settings by keyword)
        self,
        client: Stream,
        fields: Fields,
        *,
        keep_bytes: int,
        max_bytes: int,
        idle_seconds: float,
        answer_seconds: float,
        awaits_continue: bool = False,
    ) -> None:
        self._client = client
        self._body: Body = (
            ChunkedBody(client) if fields.chunked else LengthBody(client, fields.content_length or 0)
        )
        self._chunked = fields.chunked
        self._length = fields.content_length
        self._keep_bytes = keep_bytes
        self._max_bytes = max_bytes
        self._idle_seconds = idle_seconds
        self._answer_seconds = answer_seconds
        self._kept: bytearray | None = bytearray()
        #: The client waits for 100 (Continue) before it sends any of it, so it is the server that is awaited.
        self._awaits_continue = awaits_continue
        self._ahead = b""  # read before there was a server
        self._pump: gevent.Greenlet[..., None] | None = None
        self.received = 0  # bytes of it
        self._enough = math.inf  # the most received bytes that are passed on
        self.error: Exception | None = None  # why the client's side ended the body early
        self.complete = False  # read to its end
        self.sent = False  # the whole body is on its way to the server of this attempt
        self.answered = False  # the times of what is left of the body are not those of the answer's

    @property
    def kept(self) -> bool:
        """Whether everything read so far can be sent again."""
        return self._kept is not None

    @property
    def rest_bytes(self) -> int | None:
        """How much of it the client has still to send, if that is known."""
        return None if self._length is None else self._length - self.received

    @property
    def in_progress(self) -> bool:
        """Whether the client is awaited: it is to send more of the body."""
        return not (self.sent or self._awaits_continue)

    def look_ahead(self) -> None:
        """Read what came with the head: no server sees a body that is malformed or too large from its start.

        Raises ClientError if it is. A body of known length has nothing to check.
        """
        if isinstance(self._body, ChunkedBody):
            self._ahead = self._body.read(wait=False)
            self._count(self._ahead)

    def start(self, server: Stream) -> None:
        """Begin to send the body to `server`: first what was kept, then what still comes."""
        self.stop()
        self.sent = self.answered = False
        self._pump = gevent.spawn(self._run, server)

    def stop(self) -> None:
        """End the pump; what it has read is kept, nothing is lost between two reads."""
        if self._pump is not None:
            self._pump.kill()
            self._pump = None

    def finish(self) -> None:
        """Pass the rest on to a server that has answered already, if it is small and comes soon."""
        self._enough = self.received + REST_BYTES
        if self._pump is not None and self.in_progress and (self.rest_bytes or 0) <= REST_BYTES:
            self._pump.join(_REST_SECONDS)

    def _run(self, server: Stream) -> None:
        try:
            self._send(server)
        except IncompleteBodyError:
            self._fail(server, ClientGoneError("the client left in the middle of its body"))
        except ClientError as error:
            self._fail(server, error)
        except StreamTimeoutError:
            if not self.answered:
                problem = f"nothing of the body taken in {self._answer_seconds:g} s"
                self._fail(server, ServerTimeoutError(problem))
        except OSError as error:
            # It took no more of it: its answer, or its end, is for the reader to see, who is not told of a
            # reset again.
            server.broken = isinstance(error, ConnectionResetError)

    def _send(self, server: Stream) -> None:
        server.patience_seconds = self._answer_seconds
        if self._kept:
            server.send_all(self._frame(bytes(self._kept)))
        self._await_client(server)
        while piece := self._next_piece(server):
            server.send_all(self._frame(piece))
            if self.received > self._enough:
                return
        if not self.answered:
            server.arm(self._answer_seconds)
        if self._chunked:
            server.send_all(last_chunk(self._body.trailers))
        self.sent = True
        self._client.parked = True  # from here on only its leaving is of interest
        self._client.watch()

    def go_on(self, server: Stream) -> None:
        """Await the client from now on: the server has asked for the body, or it comes unasked."""
        if self._awaits_continue:
            self._awaits_continue = False
            self._client.arm(self._idle_seconds)
            self._await_client(server)

    def _await_client(self, server: Stream) -> None:
        """Give the server time: nobody can expect its answer before it has the request."""
        if not (self._awaits_continue or self.answered):
            server.disarm()

    def _next_piece(self, server: Stream) -> bytes:
        if self.complete:
            return b""
        piece, self._ahead = self._ahead, b""
        if not piece:
            piece = self._await_piece(server)
        if not piece:
            self.complete = True
        elif self._kept is not None:
            self._kept += piece
            if len(self._kept) > self._keep_bytes:
                self._kept = None
        return piece

    def _await_piece(self, server: Stream) -> bytes:
        try:
            if self._awaits_continue:
                self._await_beginning(server)
            self._client.arm(self._idle_seconds)
            piece = self._body.read()
        except StreamTimeoutError:
            raise ClientError("the request's body came too slowly", 408) from None
        except OSError as error:
            raise IncompleteBodyError from error
        self._count(piece)
        return piece

    def _await_beginning(self, server: Stream) -> None:
        """Wait until the client begins to send, whether or not the server has asked for it."""
        self._client.disarm()
        data = self._client.receive()
        if not data:
            raise IncompleteBodyError
        self._client.buffer += data
        self.go_on(server)

    def _count(self, piece: bytes) -> None:
        self.received += len(piece)
        if self._max_bytes and self.received > self._max_bytes:
            raise ClientError(f"the request's body is larger than {self._max_bytes} bytes", 413)

    def _frame(self, piece: bytes) -> bytes:
        return chunk(piece) if self._chunked else piece

    def _fail(self, server: Stream, error: Exception) -> None:
        """Tell the greenlet that awaits the answer, by ending its wait; one that has begun goes on."""
        self.error = error
        if not self.answered or isinstance(error, ClientGoneError):
            server.close()
