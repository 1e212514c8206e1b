"""One attempt at one server through urllib3: send the request, await the answer's head."""

from __future__ import annotations

import socket
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
from lb.wsgi.body import PIECE_BYTES
from lb.wsgi.call import Call
from lb.wsgi.connections import Connections, ServerConnection


@dataclass(slots=True)
class Answer:
    """A response whose head has arrived, and what its body comes from."""

    lease: Lease
    head: ResponseHead
    server: Connections
    connection: ServerConnection
    response: HTTPResponse
    socket: socket.socket  # the connection lets go of it if it ends with this response
    sent: bool  # the whole request has gone out
    body: bytes | None = None  # if it is short: the whole of it

    def wait_up_to(self, seconds: float) -> None:
        """Bound the silence within its body."""
        if seconds != self.connection.timeout:
            self.socket.settimeout(seconds)

    def drop(self) -> None:
        """Take no more of it."""
        self.response.close()
        self.connection.close()

    def part(self) -> None:
        """Keep the connection, as the body was read to its end, unless that cannot be."""
        self.response.close()
        if self.sent and self.connection.sock is not None:
            self.server.keep(self.connection)
        else:
            self.connection.close()


class _DeadConnectionError(ServerError):
    """A kept connection ended before a byte of the answer: the server had closed it, most likely."""


class Attempts:
    """Asks servers; turns what can go wrong with one into a ServerError."""

    def __init__(
        self, leases: Leases, servers: Servers[Connections], failure_statuses: frozenset[int]
    ) -> None:
        self._leases = leases
        self._servers = servers
        self._failure_statuses = failure_statuses

    def attempt(self, _client: object, call: Call, lease: Lease) -> Answer | ServerError:
        """Ask the leased server. The lease is the answer's from then on, or is released with the failure."""
        try:
            answer = self._ask(call, lease)
        except ServerError as error:
            lease.failed = True
            self._leases.release(lease)
            return error
        except BaseException:
            self._leases.release(lease)
            raise
        if answer.head.status in self._failure_statuses:
            lease.failed = True
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
        """Send the request, read the answer's head, and its body if that is short."""
        reused, connection.reused = connection.reused, True
        connection.heard = False
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
        """Send the request; False if the server took only a part, and then may have answered already."""
        try:
            connection.request(
                call.method.decode("ascii"),
                call.request.target.decode("ascii"),
                body=None if call.body is None else call.body.pieces(),
                headers=call.headers(server.host),
                preload_content=False,
                decode_content=False,
            )
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True


def _short_body(call: Call, answer: Answer) -> bytes | None:
    """Read a body that fits into one piece: until then nothing is sent, so that a failure is still one."""
    head = answer.head
    if not head.has_body(call.method):
        return b""
    length = head.fields.content_length
    return None if length is None or length > PIECE_BYTES else answer.response.read(decode_content=False)
