"""An answer of a server: its head has arrived, its body may still be on its way."""

from __future__ import annotations

from dataclasses import dataclass

from lb.errors import ClientError, ServerError
from lb.proxy.body import ChunkedBody
from lb.proxy.connections import ServerConnections
from lb.proxy.http1 import ResponseHead
from lb.proxy.stream import Stream
from lb.store.lease import Lease


@dataclass(slots=True)
class Answer:
    """A response whose head has arrived, and the connection that its body comes from."""

    lease: Lease
    server: ServerConnections
    stream: Stream
    head: ResponseHead
    body: ChunkedBody | None = None  # if it is chunked and has begun; `first` is what came of it
    first: bytes = b""
    counted: bool = False  # it has begun to be sent to its end
    arrived: float = 0.0  # when it was chosen to be passed on (monotonic seconds)

    def look_ahead(self) -> None:
        """Read what came of a chunked body with its head: nothing is passed on of one that is malformed."""
        self.body = ChunkedBody(self.stream)
        try:
            self.first = self.body.read(wait=False)
        except ClientError as error:
            raise ServerError(f"the response's body is malformed: {error}") from None

    def drop(self) -> None:
        """Take no more of it: its body is not wanted."""
        self.stream.close()
