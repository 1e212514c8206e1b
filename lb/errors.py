"""The balancer's exceptions; each carries the HTTP status that a client or a user of the API sees for it.

One place in the proxy and one in the API answer with `LBError.status`; nothing else maps exceptions to
statuses. A message says what is wrong, where, and what was expected.
"""

from __future__ import annotations


class LBError(Exception):
    """The base of all errors that the balancer raises on purpose."""

    status = 500


class ConfigError(LBError):
    """The configuration is wrong; `problems` lists every finding, each with its place."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class UsageError(LBError):
    """An operator asked for something malformed, such as an unusable URL or weight."""

    status = 400


class UnknownServerError(LBError):
    """The named server is not in the pool."""

    status = 404


class ConflictError(LBError):
    """The act contradicts the pool's state, for example by adding a server that is already there."""

    status = 409


class OutdatedError(LBError):
    """The pool is no longer at the version that the act was meant for: somebody else has changed it."""

    status = 412


class StoreError(LBError):
    """The store cannot be used; the message says which and why."""

    status = 503


class StoreUnavailableError(StoreError):
    """The store cannot serve at the moment; this may pass."""


class StoreUnreachableError(StoreUnavailableError):
    """Nothing answers at the store's address (refused, timed out, connection lost, no such name)."""


class NoEligibleServerError(LBError):
    """No server of the pool may be picked at the moment (503, RFC 9110 §15.6.4)."""

    status = 503


class ClientError(LBError):
    """The client's request is at fault; it is answered with `status` and the connection is closed."""

    status = 400

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ClientGoneError(LBError):
    """The client closed its connection; there is nobody left to answer."""

    status = 499  # never sent; in logs it means the same as in nginx's


class ServerError(LBError):
    """A server failed a request; the client gets 502 unless another attempt succeeds."""

    status = 502


class ServerConnectError(ServerError):
    """No connection to the server. Nothing was sent, so any method may be tried on another server."""


class ServerConnectTimeoutError(ServerConnectError):
    """The server did not accept a connection in time."""

    status = 504


class ServerTimeoutError(ServerError):
    """The server did not answer in time."""

    status = 504


class ExhaustedError(LBError):
    """The balancer has run out of file descriptors, ports or memory; no server is at fault."""

    status = 503
