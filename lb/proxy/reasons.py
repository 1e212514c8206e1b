"""One short reason for a request that did not end well, as the access log says it."""

from __future__ import annotations

from lb.errors import (
    ClientError,
    ClientGoneError,
    ExhaustedError,
    LBError,
    NoEligibleServerError,
    ServerConnectError,
    ServerError,
    ServerTimeoutError,
)
from lb.proxy.attempt import ResetError
from lb.proxy.client import Client, CutError
from lb.proxy.http1 import Request
from lb.proxy.stream import StreamTimeoutError

#: The words for failures; `lb/docs/operations.md` says what each means. The first that fits is it.
_REASONS: tuple[tuple[type[LBError], str], ...] = (
    (ClientGoneError, "client-gone"),
    (NoEligibleServerError, "no-server"),
    (ExhaustedError, "exhausted"),
    (ServerConnectError, "connect"),
    (ServerTimeoutError, "timeout"),
    (ResetError, "reset"),
    (ServerError, "bad-response"),
)
_REASONS_BY_STATUS = {
    408: "slow-client",
    413: "too-large",
    414: "too-large",
    431: "too-large",
    501: "unsupported",
    505: "unsupported",
}


def reason_of(error: LBError) -> str:
    """Say in a word why a request failed."""
    if isinstance(error, ClientError):
        return _REASONS_BY_STATUS.get(error.status, "malformed")
    return next((word for kind, word in _REASONS if isinstance(error, kind)), "error")


def reason_of_end(client: Client, request: Request, error: BaseException) -> str:
    """Say why a response broke off after its head."""
    fault = None if request.upload is None else request.upload.error
    if isinstance(fault, LBError):
        return reason_of(fault)
    if client.gone:
        return "client-gone"
    if isinstance(error, CutError):
        return "timeout" if isinstance(error.__cause__, StreamTimeoutError) else "cut"
    if isinstance(error, StreamTimeoutError):
        return "slow-client"
    return "client-gone" if isinstance(error, OSError) else "error"
