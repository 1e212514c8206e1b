"""The choice of an answer: servers are tried, each at most once, until one gives an answer to forward."""

from __future__ import annotations

from collections.abc import Collection
from typing import Generic, Protocol, TypeVar

from lb.errors import NoEligibleServerError, ServerConnectError, ServerError, ServerTimeoutError
from lb.model import ServerId
from lb.proxy.exchange import Meters
from lb.proxy.http1 import ResponseHead
from lb.proxy.retry import may_retry
from lb.store.lease import Lease


class Leases(Protocol):
    """Where servers are leased, such as a lease line."""

    def lease(self, excluded: Collection[ServerId] = ()) -> Lease | None:
        """Pick a server, none of `excluded`, and count the request; None if no server is eligible."""

    def release(self, lease: Lease) -> None:
        """Give a lease back with its outcome."""


class Repeatable(Protocol):
    """A request, as far as it matters here."""

    @property
    def method(self) -> bytes:
        """Its method."""

    @property
    def body_kept(self) -> bool:
        """Whether its body can be sent again in full."""


class Chosen(Protocol):
    """An answer, as far as it matters here."""

    @property
    def lease(self) -> Lease:
        """What it was asked for with."""

    @property
    def head(self) -> ResponseHead:
        """Its head."""

    def drop(self) -> None:
        """Take no more of it: its body is not wanted."""


_ClientT = TypeVar("_ClientT")
_RequestT = TypeVar("_RequestT", bound=Repeatable)
_AnswerT = TypeVar("_AnswerT", bound=Chosen)
_Client_contra = TypeVar("_Client_contra", contravariant=True)
_Request_contra = TypeVar("_Request_contra", contravariant=True)
_Answer_co = TypeVar("_Answer_co", covariant=True)


class Asks(Protocol[_Client_contra, _Request_contra, _Answer_co]):
    """Asks one server."""

    def attempt(
        self, client: _Client_contra, request: _Request_contra, lease: Lease
    ) -> _Answer_co | ServerError:
        """Ask the leased server. The lease is the answer's from then on, or is released with the failure."""


class Chooser(Generic[_ClientT, _RequestT, _AnswerT]):
    """Tries servers for one kind of request and answer."""

    def __init__(
        self,
        line: Leases,
        attempts: Asks[_ClientT, _RequestT, _AnswerT],
        meters: Meters,
        *,
        max_retries: int,
        retry_on: frozenset[int],
    ) -> None:
        self._line = line
        self._attempts = attempts
        self._meters = meters
        self._max_retries = max_retries
        self._retry_on = retry_on

    def choose(self, client: _ClientT, request: _RequestT) -> _AnswerT:
        """Return the answer to forward, with its lease; ServerError or NoEligibleServerError.

        If all fail, it is the last answer, such as a 503, or else the last failure.
        """
        tried: tuple[ServerId, ...] = ()
        outcome: _AnswerT | ServerError | None = None
        for retries_left in range(self._max_retries, -1, -1):
            try:
                lease = self._line.lease(tried)
            except BaseException:  # such as the time-out of a WSGI server
                self._drop(outcome)
                raise
            if lease is None:
                break
            if tried:
                self._meters.retried(tried[-1])
                self._drop(outcome)  # now that there is another server to ask
            outcome = self._attempts.attempt(client, request, lease)
            if not retries_left or not self._may_retry(request, outcome):
                break
            tried = (*tried, lease.server)
        if outcome is None:
            raise NoEligibleServerError("no eligible server in the pool")
        if isinstance(outcome, ServerError):
            raise outcome
        return outcome

    def _drop(self, outcome: _AnswerT | ServerError | None) -> None:
        """Take no more of an answer that is not forwarded, such as a 503, and give its lease back."""
        if outcome is not None and not isinstance(outcome, ServerError):
            outcome.drop()
            self._line.release(outcome.lease)

    def _may_retry(self, request: _RequestT, outcome: _AnswerT | ServerError) -> bool:
        if not isinstance(outcome, ServerError):
            if outcome.head.status not in self._retry_on:
                return False
        elif isinstance(outcome, ServerTimeoutError):
            return False  # it may be at work on it still, and the client has waited long enough
        sent = not isinstance(outcome, ServerConnectError)
        return may_retry(request.method, sent=sent, body_kept=request.body_kept)
