"""HTTP/1.1 message heads: bytes in, values out. PURE: no I/O.

Strict where leniency makes two readers disagree (RFC 9112 §11.2, request smuggling): a head that this module
accepts has one meaning. A header block is checked by one pattern and searched by another; only the few fields
that concern a proxy are looked at, the rest is passed on as it came, byte for byte.

A client repeats its header block with every request, and servers theirs, so blocks found valid are remembered
with their outcome (browser-like requests: 49 → 33 µs of processor time each).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from lb.errors import ClientError, ServerError
from lb.proxy.headers import BLOCK, Fields, HeaderSettings, read_fields
from lb.proxy.target import METHODS_APART, origin_form

_SLASH = ord("/")

# RFC 9112 §3: method SP request-target SP HTTP-version. Targets keep obs-text bytes, which browsers send, but
# no "#" (§3.2): a fragment is never sent, and servers differ in whether the path ends there.
# RFC 9110 §6.2: a minor version that is higher than ours is read as ours.
_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++) ([!\"$-~\x80-\xff]++) HTTP/1\.(\d)")
# RFC 9112 §4: the reason may be empty, and servers leave out the space before it.
_STATUS_LINE = re.compile(rb"HTTP/1\.(\d) ([1-9]\d\d)(?: [\t \x21-\x7e\x80-\xff]*+)?")
_LENGTH_LINE = re.compile(rb"\r\n(?i:content-length):[^\r]*+")

if TYPE_CHECKING:
    from lb.proxy.answer import Answer
    from lb.proxy.upload import Upload
    from lb.store.lease import Lease

#: So many are remembered per direction, and none that is larger: those are rare and rarely repeat.
_REMEMBERED_TEXTS = 1024
_REMEMBERED_BYTES = 4096

_Value = TypeVar("_Value")


@dataclass(slots=True)
class Trace:
    """What happens to a request beyond one attempt over a connection that was kept."""

    attempts: int = 1
    connecting_seconds: float = 0.0
    asking_seconds: float = 0.0  # in the attempts before the last one
    failed: float = 0.0  # when the last attempt did (monotonic seconds)
    tunnelled_bytes: int = 0  # to the server


@dataclass(slots=True)
class Request:
    """A request, as the client sent it."""

    method: bytes
    target: bytes
    minor: int  # of HTTP/1.x
    fields: Fields
    body: bytes = b""  # if it arrived whole with the head
    upload: Upload | None = None  # else what brings it
    id_line: bytes = b""  # its X-Request-Id, with the CR LF before it; empty: it gets none
    lease: Lease | None = None  # of the last attempt
    answer: Answer | None = None  # the one that is passed on
    trace: Trace | None = None

    @property
    def body_kept(self) -> bool:
        """Whether the body can be sent again in full."""
        return self.upload is None or self.upload.kept

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to go on after this (RFC 9112 §9.3)."""
        return not self.fields.close and (self.minor == 1 or self.fields.keep_alive)

    def traced(self) -> Trace:
        """Return its trace, as something unusual happens to it."""
        if self.trace is None:
            self.trace = Trace()
        return self.trace


@dataclass(slots=True)
class ResponseHead:
    """A response's head, as the server sent it."""

    status: int
    minor: int  # of HTTP/1.x
    fields: Fields
    forward: bytes  # status line and fields to pass on, without the last line's end
    keep_alive: bool  # whether the server's connection may be used again (RFC 9112 §9.3)
    dated: bool  # whether it has a Date

    def has_body(self, method: bytes) -> bool:
        """Whether a body may follow (RFC 9112 §6.3, 1 and 2)."""
        status = self.status
        return not (method == b"HEAD" or status in (204, 304) or status < 200)


#: What stands for the minor version of a request that has none.
NO_VERSION = -1


def unreadable(head: bytes) -> Request:
    """Return what is known of a request that cannot be parsed: its first line, as the target."""
    return Request(b"", head.lstrip(b"\r\n").partition(b"\r\n")[0], NO_VERSION, Fields())


class _Memory(dict[bytes, _Value]):
    """A dictionary that forgets everything when it is full: cheaper than knowing what was used last."""

    def remember(self, text: bytes, value: _Value) -> None:
        if len(text) <= _REMEMBERED_BYTES:
            if len(self) >= _REMEMBERED_TEXTS:
                self.clear()
            self[text] = value


_DEFAULTS = HeaderSettings()


class HeadParser:
    """Parses heads with at most `header_count` fields; remembers those that were found valid."""

    def __init__(self, header_count: int, settings: HeaderSettings = _DEFAULTS) -> None:
        self._header_count = header_count
        self._in_requests = settings.special_in_requests
        self._in_responses = settings.special_in_responses
        self._via = [b"\r\nVia: 1.%d %b" % (minor, settings.via) if settings.via else b"" for minor in (0, 1)]
        # A client's requests differ in their first line, a server's responses often in nothing.
        self._request_blocks: _Memory[Fields] = _Memory()
        self._responses: _Memory[ResponseHead] = _Memory()

    def request(self, head: bytes) -> Request:
        """Parse a whole request head with its empty line; ClientError (400, 431, 501, 505) if not sound."""
        line_end = head.find(b"\r\n")
        match = _REQUEST_LINE.fullmatch(head, 0, line_end)
        if match is None:
            raise _bad_request_line(head[:line_end])
        block = head[line_end:]
        fields = self._request_blocks.get(block)
        if fields is None:
            fields = self._read_block(block, self._in_requests)
            if fields.framing_fault or fields.host_fault:
                raise ClientError(fields.framing_fault or fields.host_fault)
            if fields.unknown_coding:
                raise ClientError("a transfer coding other than chunked", 501)  # RFC 9112 §6.1
            self._request_blocks.remember(block, fields)
        method, target, version = match.groups()
        if version != b"0":
            minor = 1
            if fields.host is None:
                raise ClientError("no Host in an HTTP/1.1 request")  # RFC 9112 §3.2
        else:
            minor = 0
            if fields.chunked:
                raise ClientError("Transfer-Encoding in an HTTP/1.0 request")  # RFC 9112 §6.1
        if target[0] != _SLASH or method in METHODS_APART:
            target, fields = origin_form(method, target, fields)
        return Request(method, target, minor, fields)

    def response(self, head: bytes, method: bytes = b"GET") -> ResponseHead:
        """Parse a whole head of a response to `method`, with its empty line; ServerError if it is not sound.

        RFC 9112 §6.3, 1: a response without a body ends at its empty line, whatever its fields say. So their
        fault counts only where there is a body, and what depends on the method is not remembered.
        """
        response = self._responses.get(head)
        if response is None:
            response = self._read_response(head)
            if not response.fields.framing_fault:
                self._responses.remember(head, response)
            elif response.has_body(method):
                raise ServerError(f"the server's framing is ambiguous: {response.fields.framing_fault}")
        return response

    def _read_response(self, head: bytes) -> ResponseHead:
        line_end = head.find(b"\r\n")
        match = _STATUS_LINE.fullmatch(head, 0, line_end)
        if match is None:
            raise ServerError(f"the server's status line is not HTTP/1: {head[:80]!r}")
        try:
            fields = self._read_block(head[line_end:], self._in_responses)
        except ClientError as error:
            raise ServerError(f"the server's response head is malformed: {error}") from None
        version, code = match.groups()
        minor, status = (0 if version == b"0" else 1), int(code)
        fields.framing_fault = _fault_in_a_response(fields, minor)
        never_a_body = (
            status < 200 or status == 204
        )  # nor fields that frame one (RFC 9110 §8.6, RFC 9112 §6.1)
        claims_a_body = never_a_body and bool(fields.content_length or fields.chunked)
        if fields.framing_fault or never_a_body:
            fields.forward = _LENGTH_LINE.sub(b"", fields.forward)
        # Without a body the message is certain even so, but not what its sender takes for its end.
        certain_end = not (fields.framing_fault or claims_a_body)
        return ResponseHead(
            status,
            minor,
            fields,
            forward=b"HTTP/1.1 %b%b%b%b"
            % (head[9:line_end], fields.forward, _required(status, fields), self._via[minor]),
            keep_alive=certain_end and not fields.close and (minor == 1 or fields.keep_alive),
            dated=b"\r\ndate:" in head.lower(),
        )

    def _read_block(self, block: bytes, special: re.Pattern[bytes]) -> Fields:
        if BLOCK.fullmatch(block) is None:
            raise ClientError("malformed header field")
        if block.count(b"\r\n") - 2 > self._header_count:
            raise ClientError(f"more than {self._header_count} header fields", 431)
        return read_fields(block, special)


def _fault_in_a_response(fields: Fields, minor: int) -> str:
    """Return why a body of a response would have no certain end; empty if it has one."""
    if fields.unknown_coding:
        return "a transfer coding other than chunked"
    if fields.chunked and not minor:
        return "Transfer-Encoding in HTTP/1.0"
    return fields.framing_fault


def _required(status: int, fields: Fields) -> bytes:
    """Return the lines that say to which protocol a 426 asks the client to upgrade (RFC 9110 §15.5.22)."""
    if status != 426 or not fields.upgrade:
        return b""
    return b"\r\nConnection: upgrade\r\nUpgrade: %b" % fields.upgrade


def has_bare_line_feed(data: bytes, checked: int) -> bool:
    """Whether a line of an unfinished head ends without a CR; its first `checked` bytes were seen before."""
    return data.count(b"\n", checked) != data.count(b"\r\n", max(0, checked - 1))


def _bad_request_line(line: bytes) -> ClientError:
    if re.fullmatch(rb"[!-~]+ [^ ]+ HTTP/\d(\.\d)?", line) and not re.search(rb" HTTP/1\.\d$", line):
        return ClientError("only HTTP/1.x is spoken here", 505)
    if b"#" in line.partition(b" ")[2]:
        return ClientError("the request target contains '#': a fragment is not sent to servers")
    return ClientError("malformed request line")
