"""An attempt at a server through urllib3: sends the request and waits for the head of the answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException

from urllib3.exceptions import HTTPError, ReadTimeoutError
from urllib3.response import HTTPResponse

from lb.errors import ServerError, ServerTimeoutError
from lb.proxy.choice import Leases
from lb.proxy.http1 import ResponseHead
from lb.proxy.retry import IDEMPOTENT
from lb.proxy.servers import Servers
from lb.store.lease import Lease
from lb.wsgi.body import PIECE_BYTES, Body
from lb.wsgi.call import Call
from lb.wsgi.connections import Connections, ServerConnection


@dataclass(slots=True)
class Answer:
    """A response whose head has arrived, and where its body will come from."""

    lease: Lease
    head: ResponseHead
    server: Connections
    connection: ServerConnection
    response: HTTPResponse
    socket: socket.socket  # the connection itself drops it if it ends with this response
    sent: bool  # whether the request was sent completely
    body: bytes | None = None  # the whole body, if it is short

    def wait_up_to(self, seconds: float) -> None:
        """Limit the silence within its body."""
        if seconds != self.connection.timeout:
            self.socket.settimeout(seconds)

    def drop(self) -> None:
        """Abandon the response, and close its connection."""
        self.response.close()
        self.connection.close()

    def part(self) -> None:
        """Finish a response whose body was read to its end; keep its connection if that can be reused."""
        self.response.close()
        if self.sent and self.connection.sock is not None:
            self.server.keep(self.connection)
        else:
            self.connection.close()


class _DeadConnectionError(ServerError):
    """A kept connection ended before the first byte of the answer: most likely it was closed while idle."""


class Attempts:
    """Makes attempts, and turns whatever goes wrong with a server into a ServerError."""

    def __init__(
        self,
        leases: Leases,
        servers: Servers[Connections],
        *,
        retry_on: frozenset[int],
        failure_statuses: frozenset[int],
    ) -> None:
        """Answers of `retry_on` are no success of a server, those of `failure_statuses` are failures."""
        self._leases = leases
        self._servers = servers
        self._failure_statuses = failure_statuses
        self._unproven = retry_on | failure_statuses

    def attempt(self, _client: object, call: Call, lease: Lease) -> Answer | ServerError:
        """Ask the leased server. The lease passes to the answer, or is released together with the failure."""
        try:
            answer = self._ask(call, lease)
        except ServerError as error:
            lease.failed = True
            self._leases.release(lease)
            return error
        except BaseException:
            self._leases.release(lease)
            raise
        if answer.head.status in self._unproven:
            lease.failed = answer.head.status in self._failure_statuses
        else:
            lease.succeeded = True
        return answer

    def _ask(self, call: Call, lease: Lease) -> Answer:
        server = self._servers(lease.server)
        connection = server.take()
        if connection is not None:
            try:
                return self._exchange(call, lease, server, connection)
            except _DeadConnectionError:
                if call.method not in IDEMPOTENT or not call.body_kept:
                    raise
        return self._exchange(call, lease, server, server.connect())

    def _exchange(
        self, call: Call, lease: Lease, server: Connections, connection: ServerConnection
    ) -> Answer:
        """Send the request and read the answer's head, and its body too if that is short."""
        reused, connection.reused = connection.reused, True
        connection.heard, connection.uploaded = False, 0
        try:
            sent = self._send(call, server, connection)
            sock = connection.sock
            response = connection.getresponse()
            assert connection.head is not None  # noqa: S101 (getresponse has read it)
            answer = Answer(lease, connection.head, server, connection, response, sock, sent)
            answer.body = _short_body(call, answer)
        except (TimeoutError, ReadTimeoutError):
            connection.close()
            raise ServerTimeoutError(f"no answer in {connection.timeout:g} s") from None
        except (OSError, HTTPException, HTTPError) as error:
            connection.close()
            kind = _DeadConnectionError if reused and not connection.heard else ServerError
            raise kind(f"the server ended the connection: {error}") from None
        except BaseException:
            connection.close()
            raise
        return answer

    @staticmethod
    def _send(call: Call, server: Connections, connection: ServerConnection) -> bool:
        """Send the request; False if the server took only part of it, as it may have answered already."""
        try:
            connection.request(
                call.method.decode("ascii"),
                call.request.target.decode("ascii"),
                body=None if call.body is None else _pieces(call.body, connection),
                headers=call.headers(server.host),
                preload_content=False,
                decode_content=False,
            )
        except (BrokenPipeError, ConnectionResetError):
            return False
        finally:
            connection.uploading = False
        return True


def _pieces(body: Body, connection: ServerConnection) -> Iterator[bytes]:
    connection.uploading = True  # it is asked for the first one when the head has been sent
    for piece in body.pieces():
        connection.uploaded += len(piece)
        yield piece


def _short_body(call: Call, answer: Answer) -> bytes | None:
    """Read a body that fits into one piece. As nothing has been passed on yet, its failure can be retried."""
    head = answer.head
    if not head.has_body(call.method):
        return b""
    length = head.fields.content_length
    return None if length is None or length > PIECE_BYTES else answer.response.read(decode_content=False)
