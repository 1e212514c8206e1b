"""Sends a chosen answer to the client: head, body, and what becomes of both connections."""

from __future__ import annotations

from time import monotonic

from lb.errors import ClientError, ClientGoneError, ServerError
from lb.proxy.answer import Answer
from lb.proxy.body import (
    Body,
    ChunkedBody,
    IncompleteBodyError,
    LengthBody,
    UntilCloseBody,
    chunk,
    last_chunk,
)
from lb.proxy.client import Client, CutError
from lb.proxy.exchange import Meters
from lb.proxy.http1 import Request
from lb.proxy.responses import date_line
from lb.proxy.tunnel import tunnel
from lb.proxy.upload import REST_BYTES, Upload


class Relay:
    """Relays answers of servers to clients."""

    def __init__(
        self, meters: Meters, *, idle_seconds: float, tunnel_seconds: float, id_in_response: bool
    ) -> None:
        self._meters = meters
        self._answered = meters.answered
        self._idle_seconds = idle_seconds
        self._tunnel_seconds = tunnel_seconds
        self._id_in_response = id_in_response
        self.stopping = False  # tell clients that their connection ends with this response

    def relay(self, client: Client, request: Request, answer: Answer) -> bool:
        """Relay; True if the client's connection can take another. CutError if the body breaks off."""
        request.answer = answer
        answer.arrived = monotonic()
        if answer.head.status == 101:
            try:
                self._switch(client, request, answer)
            finally:
                answer.stream.close()
            return False
        upload = request.upload
        if upload is not None:
            upload.answered = True
        body = _body(request, answer)
        bounded = isinstance(body, bytes | LengthBody)
        rechunk = not bounded and request.minor == 1
        keep_alive = (
            request.keep_alive
            and not (client.closing or self.stopping)
            and (bounded or rechunk)
            and (upload is None or upload.sent or _may_go_on(upload, answer))
        )
        head = _head(request, answer, rechunk, keep_alive, request.id_line if self._id_in_response else b"")
        stream = client.stream
        stream.patience_seconds = self._idle_seconds
        try:
            if isinstance(body, bytes):
                answer.counted = True
                self._answered(answer.lease.server, answer.head.status, answer.arrived - client.arrived)
                stream.send_all(head + body)
            elif bounded or rechunk:
                self._send(client, answer, head, body, rechunk)
            else:
                self._send_without_end(client, answer, head, body)
        except BaseException as error:
            answer.stream.close()
            if not answer.counted:
                self._broke_off(client, request, answer, error)
            client.stream.abort()  # a regular end could pass for the end of the body
            raise
        self._part(client, request, answer, body, keep_alive)
        return keep_alive and (upload is None or upload.sent)

    def _send(self, client: Client, answer: Answer, head: bytes, body: Body, rechunk: bool) -> None:  # noqa: FBT001
        """Send a body as it comes. It is counted just before its last bytes: who has it all was counted."""
        stream, data = client.stream, head
        if answer.stream.buffer or answer.first:  # the head and what came with it go out in one call
            piece = answer.first if answer.body else self._read(answer, body)
            data += chunk(piece) if rechunk and piece else piece
        while not body.complete:
            stream.send_all(data)
            piece = self._read(answer, body)
            if not piece:
                data = last_chunk(body.trailers) if rechunk else b""
                break
            data = chunk(piece) if rechunk else piece
        answer.counted = True
        self._answered(answer.lease.server, answer.head.status, monotonic() - client.arrived)
        if data:
            stream.send_all(data)

    def _send_without_end(self, client: Client, answer: Answer, head: bytes, body: Body) -> None:
        """Send a body that ends with the connection: until it is whole, the connection ends with a reset."""
        client.stream.end_with_reset(True)
        self._send(client, answer, head, body, rechunk=False)
        client.stream.end_with_reset(False)

    def _read(self, answer: Answer, body: Body) -> bytes:
        """Read the next piece; a server that stops or lies in the middle cuts the client's connection."""
        answer.stream.arm(self._idle_seconds)
        try:
            return body.read()
        except (OSError, IncompleteBodyError, ClientError) as error:
            raise CutError(f"the response broke off: {error!r}") from error

    def _broke_off(self, client: Client, request: Request, answer: Answer, error: BaseException) -> None:
        """Count a response that began and did not end, for whom it is due to."""
        fault = None if request.upload is None else request.upload.error
        if client.gone or isinstance(fault, ClientGoneError) or not isinstance(error, CutError):
            self._meters.client_gone(answer.lease.server)
            return
        self._meters.cut(answer.lease.server)
        if fault is None:
            answer.lease.succeeded, answer.lease.failed = False, True

    def _switch(self, client: Client, request: Request, answer: Answer) -> None:
        """Pass the 101 on; from there on both sides speak another protocol (RFC 9110 §7.8)."""
        if request.upload is not None and not request.upload.sent:
            raise ServerError("the server switched protocols before it had the whole request")
        client.stream.parked = False
        client.stream.patience_seconds = self._idle_seconds
        self._answered(answer.lease.server, answer.head.status, monotonic() - client.arrived)
        client.stream.send_all(
            b"%b\r\nConnection: upgrade\r\nUpgrade: %b%b%b"
            % (
                answer.head.forward,
                answer.head.fields.upgrade,
                request.id_line if self._id_in_response else b"",
                answer.server.signature,
            )
        )
        before = answer.stream.sent
        try:
            tunnel(
                client.stream,
                answer.stream,
                idle_seconds=self._tunnel_seconds,
                half_closed_seconds=self._idle_seconds,
            )
        finally:
            request.traced().tunnelled_bytes = answer.stream.sent - before

    @staticmethod
    def _part(client: Client, request: Request, answer: Answer, body: Body | bytes, keep_alive: bool) -> None:  # noqa: FBT001
        """Keep the server's connection if it is at a clean end, else close it."""
        upload = request.upload
        clean = answer.head.keep_alive and not isinstance(body, UntilCloseBody)
        if clean and upload is not None and not upload.sent:
            if not keep_alive:
                client.stream.shutdown_write()
            upload.finish()
            clean = upload.sent
        if clean:
            answer.server.keep(answer.stream)
        else:
            answer.stream.close()


def _may_go_on(upload: Upload, answer: Answer) -> bool:
    """Whether a client's connection may be kept although its body has not come yet.

    Who is not told of an end has to send all of it. That is asked of nobody whose rest is large, or may be so
    and was refused, or who waits for 100 (Continue) and so may send none.
    """
    if not (answer.head.keep_alive and upload.in_progress):
        return False
    rest = upload.rest_bytes
    return answer.head.status < 400 if rest is None else rest <= REST_BYTES


def _body(request: Request, answer: Answer) -> Body | bytes:
    """Return where the response's body comes from (RFC 9112 §6.3), or the body itself if it is here."""
    head, stream = answer.head, answer.stream
    if not head.has_body(request.method):
        return b""
    length = head.fields.content_length
    if length is None:
        return answer.body or (ChunkedBody(stream) if head.fields.chunked else UntilCloseBody(stream))
    if len(stream.buffer) < length:
        return LengthBody(stream, length)
    body, stream.buffer = stream.buffer[:length], stream.buffer[length:]
    return body


def _head(request: Request, answer: Answer, rechunk: bool, keep_alive: bool, own: bytes) -> bytes:  # noqa: FBT001
    if not answer.head.dated:
        own += date_line()
    if rechunk:
        own += b"\r\nTransfer-Encoding: chunked"
    if not keep_alive:
        own += b"\r\nConnection: close"
    elif not request.minor:
        own += b"\r\nConnection: keep-alive"
    return answer.head.forward + own + answer.server.signature
