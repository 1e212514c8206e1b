"""The way of a request: lease a server, send, await the answer's head, relay it, release.

    client ── head ──► lease ──► connection ──► send ──► answer's head ──► relay ──► release
                         ▲                                     │
                         └────── another server, if it may ────┘   (retry.py)

Nothing is written to the client before an answer is chosen, so it gets exactly one response; after that, a
failure cuts its connection, so that it can tell (RFC 9112 §8).
"""

from __future__ import annotations

from dataclasses import dataclass

from lb.errors import ClientError, NoEligibleServerError, ServerConnectError, ServerError, ServerTimeoutError
from lb.model import ServerId
from lb.proxy.attempt import Answer, Attempts
from lb.proxy.client import Client
from lb.proxy.exchange import Meters
from lb.proxy.http1 import Request
from lb.proxy.relay import Relay
from lb.proxy.retry import may_retry
from lb.proxy.upload import Upload
from lb.store.lease_line import LeaseLine


@dataclass(frozen=True, slots=True)
class ForwardSettings:
    """What the configuration says about forwarding; bytes and seconds."""

    max_retries: int
    retry_on: frozenset[int]
    body_bytes: int  # 0: any
    replay_bytes: int
    client_body_seconds: float
    response_head_seconds: float


class Forwarder:
    """Forwards the requests of one worker."""

    def __init__(
        self, line: LeaseLine, attempts: Attempts, relay: Relay, meters: Meters, settings: ForwardSettings
    ) -> None:
        self._line = line
        self._attempts = attempts
        self._relay = relay
        self._meters = meters
        self._settings = settings

    def forward(self, client: Client, request: Request) -> bool:
        """Serve one request; True if the client's connection can take another.

        Raises LBError while nothing was sent to the client, CutError or OSError after that.
        """
        if request.fields.content_length or request.fields.chunked:
            self._take_body(client, request)
        try:
            answer = self._choose(client, request)
            try:
                return self._relay.relay(client, request, answer)
            finally:
                self._line.release(answer.lease)
        finally:
            client.server = None
            if request.upload is not None:
                request.upload.stop()

    def _take_body(self, client: Client, request: Request) -> None:
        """Take the body if it is here already, else prepare the upload that will bring it."""
        settings = self._settings
        length = request.fields.content_length
        if length is not None:
            if settings.body_bytes and length > settings.body_bytes:
                raise ClientError(f"the request's body is larger than {settings.body_bytes} bytes", 413)
            data = client.stream.buffer
            if len(data) >= length:
                request.body, client.stream.buffer = data[:length], data[length:]
                return
        request.upload = Upload(
            client.stream,
            request.fields,
            keep_bytes=settings.replay_bytes,
            max_bytes=settings.body_bytes,
            idle_seconds=settings.client_body_seconds,
            answer_seconds=settings.response_head_seconds,
        )

    def _choose(self, client: Client, request: Request) -> Answer:
        """Try servers, each at most once, until one gives an answer to forward."""
        tried: tuple[ServerId, ...] = ()
        outcome: Answer | ServerError | None = None
        for retries_left in range(self._settings.max_retries, -1, -1):
            lease = self._line.lease(tried)
            if lease is None:
                break
            if tried:
                self._meters.retried(tried[-1])
                if isinstance(outcome, Answer):  # a 503, say: dropped now that there is another server to ask
                    outcome.stream.close()
                    self._line.release(outcome.lease)
            outcome = self._attempts.attempt(client, request, lease)
            if not retries_left or not self._may_retry(request, outcome):
                break
            tried = (*tried, lease.server)
        if isinstance(outcome, Answer):
            return outcome
        raise outcome or NoEligibleServerError("no eligible server in the pool")

    def _may_retry(self, request: Request, outcome: Answer | ServerError) -> bool:
        if isinstance(outcome, Answer):
            if outcome.head.status not in self._settings.retry_on:
                return False
        elif isinstance(outcome, ServerTimeoutError):
            return False  # it may be at work on it still, and the client has waited long enough
        sent = not isinstance(outcome, ServerConnectError)
        return may_retry(request.method, sent=sent, body_kept=request.body_kept)
