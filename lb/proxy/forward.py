"""The way of a request: lease a server, send, await the answer's head, relay it, release.

    client ── head ──► lease ──► connection ──► send ──► answer's head ──► relay ──► release
                         ▲                                     │
                         └────── another server, if it may ────┘   (choice.py)

Nothing is written to the client before an answer is chosen, so it gets exactly one response; after that, a
failure cuts its connection, so that it can tell (RFC 9112 §8).
"""

from __future__ import annotations

from dataclasses import dataclass

from lb.errors import ClientError, LBError
from lb.proxy.access_log import AccessLog
from lb.proxy.answer import Answer
from lb.proxy.attempt import Attempts
from lb.proxy.choice import Chooser
from lb.proxy.client import Client
from lb.proxy.exchange import Meters
from lb.proxy.http1 import Request
from lb.proxy.reasons import reason_of_end
from lb.proxy.relay import Relay
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


class Forwarder(Chooser[Client, Request, Answer]):
    """Forwards the requests of one worker."""

    def __init__(  # noqa: PLR0913, PLR0917 (the parts of a data plane)
        self,
        line: LeaseLine,
        attempts: Attempts,
        relay: Relay,
        meters: Meters,
        settings: ForwardSettings,
        access_log: AccessLog | None,
    ) -> None:
        super().__init__(line, attempts, meters, max_retries=settings.max_retries, retry_on=settings.retry_on)
        self._relay = relay
        self._settings = settings
        self._note = None if access_log is None else access_log.note

    def forward(self, client: Client, request: Request) -> bool:
        """Serve one request; True if the client's connection can take another.

        Raises LBError while nothing was sent to the client, CutError or OSError after that.
        """
        if request.fields.content_length or request.fields.chunked:
            self._take_body(client, request)
        try:
            answer = self.choose(client, request)
            try:
                keep_alive = self._relay.relay(client, request, answer)
            except BaseException as error:
                if self._note is not None and not isinstance(error, LBError):
                    self._note(client, request, reason_of_end(client, request, error))
                raise
            finally:
                self._line.release(answer.lease)
            if self._note is not None:
                self._note(client, request)
            return keep_alive
        finally:
            client.server = None
            if request.upload is not None:
                request.upload.stop()

    def _take_body(self, client: Client, request: Request) -> None:
        """Take the body if it is here already, else prepare the upload that will bring it.

        ClientError if it is too large, or malformed in what is here of it: then no server is asked.
        """
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
            # RFC 9110 §10.1.1: not in HTTP/1.0, and not if it has not waited
            awaits_continue=request.fields.expects_continue
            and request.minor == 1
            and not client.stream.buffer,
        )
        request.upload.look_ahead()
