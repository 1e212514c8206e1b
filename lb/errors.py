"""The exceptions of the balancer; each carries the HTTP status that a client or API user sees for it.

One place in the proxy and one in the API answer with `LBError.status`; nothing else maps exceptions to
statuses. A message says what is wrong, where, and what was expected.
"""

from __future__ import annotations


class LBError(Exception):
    """Base of every error that the balancer raises on purpose."""

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
    """The act contradicts the pool's state, such as adding a server that is there already."""

    status = 409


class OutdatedError(LBError):
    """The pool is not at the version that an act was meant for: somebody else has changed it since."""

    status = 412


class StoreError(LBError):
    """The store cannot be used; the message says which and why."""

    status = 503


class StoreUnavailableError(StoreError):
    """The store cannot do its work now; it may pass."""


class StoreUnreachableError(StoreUnavailableError):
    """Nothing answers at the store's address (refused, timed out, connection lost, no such name)."""


class NoEligibleServerError(LBError):
    """No server of the pool may take the request now (RFC 9110 §15.6.4: 503)."""

    status = 503


class ClientError(LBError):
    """The client's message is at fault; answered with `status`, then the connection is closed."""

    status = 400

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class ClientGoneError(LBError):
    """The client closed its connection; nobody is left to answer."""

    status = 499  # never sent: for logs, after nginx


class ServerError(LBError):
    """A server failed a request (connect, reset, garbage): 502 if no other attempt helps."""

    status = 502


class ServerConnectError(ServerError):
    """No connection to the server; nothing was sent, so any method may go to another server."""


class ExhaustedError(LBError):
    """The balancer is out of descriptors, ports or memory: no fault of a server."""

    status = 503


class ServerTimeoutError(ServerError):
    """The server did not connect or answer in time."""

    status = 504
