"""Answers in WSGI's form: a status line and headers for `start_response`, and a body to iterate over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from http import HTTPStatus
from time import monotonic

from lb.errors import LBError, NoEligibleServerError
from lb.proxy.choice import Leases
from lb.proxy.client import CutError
from lb.proxy.exchange import Meters
from lb.proxy.responses import explanation_of
from lb.wsgi.attempt import Answer
from lb.wsgi.body import PIECE_BYTES
from lb.wsgi.turns import Turns

Headers = list[tuple[str, str]]
StartResponse = Callable[[str, Headers], object]


@lru_cache(maxsize=1024)  # servers send the same head again, until their Date moves on
def head_of(forward: bytes) -> tuple[str, tuple[tuple[str, str], ...]]:
    """Return the status line and the fields of a response's head, which the parser has accepted."""
    first, *lines = forward.decode("latin-1").split("\r\n")
    _, status, *reason = first.split(" ", 2)
    phrase = reason[0].strip() if reason else ""
    fields = (line.partition(":") for line in lines)
    return f"{status} {phrase or _phrase(int(status))}", tuple(
        (name, value.strip(" \t")) for name, _, value in fields
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"  # PEP 3333 requires a phrase


def own_answer(
    error: LBError, start_response: StartResponse, *, method: str, retry_after_seconds: int, request_id: str
) -> list[bytes]:
    """Start the balancer's own answer to an error, and return its body."""
    status = f"{error.status} {HTTPStatus(error.status).phrase}"
    body = f"{status}: {explanation_of(error)}\n".encode()
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
    if isinstance(error, NoEligibleServerError):
        headers.append(("Retry-After", str(retry_after_seconds)))
    if request_id:
        headers.append(("X-Request-Id", request_id))
    start_response(status, headers)
    return [] if method == "HEAD" else [body]


class Pieces:
    """The body of a response, piece by piece as it arrives. Its end, or `close`, releases the lease."""

    def __init__(self, answer: Answer, leases: Leases, meters: Meters, *, arrived: float) -> None:
        """`arrived` is when the request arrived, in monotonic seconds."""
        self._answer: Answer | None = answer
        self._leases = leases
        self._meters = meters
        self._arrived = arrived
        self._turns = Turns()

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        answer = self._answer
        if answer is None:
            raise StopIteration
        try:
            piece = answer.response.read1(PIECE_BYTES, decode_content=False)
        except Exception as error:
            self._answer = None
            answer.drop()
            answer.lease.succeeded, answer.lease.failed = False, True
            self._meters.cut(answer.lease.server)
            self._leases.release(answer.lease)
            # Only an exception keeps the WSGI server from ending the response as if it were complete.
            raise CutError(f"the response broke off: {error!r}") from error
        self._turns.spend(len(piece))
        if not piece or answer.response.length_remaining == 0:
            self._end(answer)
        if not piece:
            raise StopIteration
        return piece

    def _end(self, answer: Answer) -> None:
        """Finish: before the last bytes are passed on, if they are known to be the last."""
        self._answer = None
        answer.part()
        self._meters.answered(answer.lease.server, answer.head.status, monotonic() - self._arrived)
        self._leases.release(answer.lease)

    def close(self) -> None:
        """Stop. The WSGI server always calls this; if the end was not reached, the client has left."""
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.drop()
            self._meters.client_gone(answer.lease.server)
            self._leases.release(answer.lease)
