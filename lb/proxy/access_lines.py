"""Lines of the access log. PURE: what a request was and what became of it, as text.

Whatever a client sent, a line stays one line of printable ASCII: all other bytes, quotes and backslashes are
escaped, and what is too long is clipped, so that a line fits into one write to a pipe.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from time import monotonic
from typing import ClassVar, Final, Protocol, TypeVar

from lb.model import ServerId
from lb.proxy.http1 import NO_VERSION, Request

#: No line is longer, its end included: pipes take so much in one piece (PIPE_BUF).
LONGEST_LINE: Final = 4096

#: A time that a request did not live to see.
NEVER: Final = -1.0

_Key = TypeVar("_Key", bytes, str, int)
_Text = TypeVar("_Text")

#: So many texts of a kind are remembered, and none of more bytes.
_REMEMBERED_TEXTS, _REMEMBERED_BYTES = 4096, 4096

#: Bytes that parts of a line may have; together they leave room for the rest of the line.
_METHOD, _TARGET, _FIELD, _WORD = 32, 2048, 512, 128

_ID_STARTS = len("\r\nX-Request-Id: ")
_STEPS = 10_000  # of a time, in a second
_UNSAFE = re.compile(rb"[^ !#-\[\]-~]")
_REFERER = re.compile(rb"\r\n(?i:referer):[\t ]*+([^\r]*+)")
_AGENT = re.compile(rb"\r\n(?i:user-agent):[\t ]*+([^\r]*+)")


class _Memory(dict[_Key, _Text]):
    """Texts made before, as most come again: 20 ns in place of 300. Forgets everything when it is full."""

    def __init__(self, make: Callable[[_Key], _Text]) -> None:
        super().__init__()
        self._make: Callable[[_Key], _Text] = make

    def __missing__(self, key: _Key) -> _Text:
        text: _Text = self._make(key)
        if len(self) >= _REMEMBERED_TEXTS:
            self.clear()
        if isinstance(key, int) or len(key) <= _REMEMBERED_BYTES:
            self[key] = text
        return text


class Outcome(Protocol):
    """What became of a request, and for whom; times are seconds."""

    address: bytes  # the client's, empty if it came by a unix socket
    trusted: bool
    arrived: float  # when the request's head had come (monotonic)
    status: int  # of the response, 0 if there was none
    asked: ServerId  # the server of the last attempt
    attempts: int
    queued: float  # how long it waited for picks
    connecting: float  # and for connections


class Lines:
    """A format of lines, as subclasses say. All parts are bytes: as strings they take 0.3 µs more."""

    template: bytes
    rest: bytes  # ends the line; most lines have the same
    no_id: ClassVar[
        tuple[bytes, bytes]
    ]  # what in the template to replace by what for a request without an id
    nothing: bytes
    stamp_seconds: float  # how long one time stamp is right

    def __init__(self) -> None:
        self._without_id = self.template.replace(*self.no_id)
        self._requests = {minor: self._requests_of(minor) for minor in (0, 1, NO_VERSION)}
        self._headers = _Memory[bytes, bytes](self.headers)
        self._names = _Memory[str, bytes](lambda name: self.name(name.encode()))
        self._numbers = _Memory[int, bytes](lambda number: b"%d" % number)
        self._statuses = _Memory[int, bytes](lambda status: b"%d" % status if status else self.nothing)
        # Steps of 0.1 ms repeat, and so cost 80 ns each; written to the microsecond it was 200.
        self._times = _Memory[int, bytes](
            lambda steps: b"%.4f" % (steps / _STEPS) if steps >= 0 else self.nothing
        )
        self._usual_rest = self._rest(1, 0.0, 0, "")
        self._stamp = b""
        self._stamp_until = 0.0  # monotonic seconds

    def _requests_of(self, minor: int) -> _Memory[bytes, _Memory[bytes, bytes]]:
        """Remember first lines by their method, then by their target."""
        return _Memory(lambda method: _Memory(lambda target: self.request(method, target, minor)))

    def line(  # noqa: PLR0913, PLR0917 (an object of them would take as long to make as the line)
        self,
        outcome: Outcome,
        request: Request,
        now: float,
        head: float,
        sent: int,
        received: int,
        reason: str,
    ) -> bytes:
        """Write a line for a request that is done `now`, in monotonic seconds: 0.7 µs.

        The response's head came `head` seconds after the request's, or NEVER; `received` counts bytes of the
        request's body.
        """
        if now >= self._stamp_until:
            self._renew_stamp(now)
        times = self._times
        word = request.id_line[_ID_STARTS:]
        if outcome.trusted and not (word.isalnum() and len(word) <= _WORD):  # else it is one of ours
            word = self.word(word)
        return (self.template if word else self._without_id) % (
            outcome.address or b"unix:",
            self._stamp,
            self._requests[request.minor][request.method][request.target],
            self._statuses[outcome.status],
            self._numbers[sent],
            self._headers[request.fields.forward],
            word,
            self._names[outcome.asked],
            times[int(outcome.queued * _STEPS)],
            times[int(head * _STEPS)],
            times[int((now - outcome.arrived) * _STEPS)],
            self._usual_rest
            if outcome.attempts == 1 and not (outcome.connecting or received or reason)
            else self._rest(outcome.attempts, outcome.connecting, received, reason),
        )

    def _rest(self, attempts: int, connecting: float, received: int, reason: str) -> bytes:
        return self.rest % (attempts, connecting, received, self._names[reason])

    def _renew_stamp(self, now: float) -> None:
        at = time.time() + now - monotonic()
        self._stamp = self.stamp(at)
        self._stamp_until = now + self.stamp_seconds - at % self.stamp_seconds

    def stamp(self, at: float) -> bytes:
        """Write a time."""
        raise NotImplementedError

    def text(self, raw: bytes, longest: int) -> bytes:
        """Write any text."""
        raise NotImplementedError

    def request(self, method: bytes, target: bytes, minor: int) -> bytes:
        """Write the first line of a request."""
        raise NotImplementedError

    def headers(self, block: bytes) -> bytes:
        """Write the fields of a request that are of interest."""
        raise NotImplementedError

    def word(self, raw: bytes) -> bytes:
        """Write a request's id."""
        raise NotImplementedError

    def name(self, raw: bytes) -> bytes:
        """Write a server or a reason, or that there is none."""
        raise NotImplementedError


class Combined(Lines):
    """The combined format of Apache and nginx, followed by what is ours as `name=value`."""

    template = b'%b - - [%b] "%b" %b %b %b id=%b server=%b queue=%b first_byte=%b total=%b %b'
    rest = b"attempts=%d connect=%.4f received=%d reason=%b\n"
    no_id = (b"id=%b", b"id=-%b")
    nothing = b"-"
    stamp_seconds = 1.0

    def stamp(self, at: float) -> bytes:
        """Write a time to the second, in the local zone."""
        return time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(at)).encode()

    def text(self, raw: bytes, longest: int) -> bytes:
        r"""Escape as nginx does: what is not safe between quotes is \xhh."""
        return _clipped(_between_quotes, raw, longest)

    def request(self, method: bytes, target: bytes, minor: int) -> bytes:
        """Write it as it was; what was no request has only a target."""
        protocol = b"" if minor == NO_VERSION else b"HTTP/1.%d" % minor
        return b" ".join(filter(None, (self.text(method, _METHOD), self.text(target, _TARGET), protocol)))

    def headers(self, block: bytes) -> bytes:
        """Write referer and user agent."""
        values = (self.text(_field(block, name), _FIELD) or b"-" for name in (_REFERER, _AGENT))
        return b'"%b" "%b"' % tuple(values)

    def word(self, raw: bytes) -> bytes:
        """Write it without blanks."""
        return self.text(raw, _WORD).replace(b" ", rb"\x20") or b"-"

    name = word


class Json(Lines):
    """An object per line; names are camelCase as in the API, and what there is not is null."""

    template = (
        b'{"client":"%b","time":"%b",%b,"status":%b,"bytesSent":%b,%b,"requestId":"%b","server":%b,'
        b'"queueSeconds":%b,"firstByteSeconds":%b,"totalSeconds":%b,%b'
    )
    rest = b'"attempts":%d,"connectSeconds":%.4f,"bytesReceived":%d,"reason":%b}\n'
    no_id = (b'"requestId":"%b"', b'"requestId":null%b')
    nothing = b"null"
    stamp_seconds = 0.001

    def stamp(self, at: float) -> bytes:
        """Write a time to the millisecond (RFC 3339)."""
        second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
        return f"{second}.{int(at % 1 * 1000):03d}Z".encode()

    def text(self, raw: bytes, longest: int) -> bytes:
        """Write a string; null if there is nothing."""
        return b'"%b"' % _clipped(_in_json, raw, longest) if raw else b"null"

    def request(self, method: bytes, target: bytes, minor: int) -> bytes:
        """Write its three parts."""
        protocol = b"null" if minor == NO_VERSION else b'"HTTP/1.%d"' % minor
        return b'"method":%b,"target":%b,"protocol":%b' % (
            self.text(method, _METHOD),
            self.text(target, _TARGET),
            protocol,
        )

    def headers(self, block: bytes) -> bytes:
        """Write referer and user agent."""
        values = (self.text(_field(block, name), _FIELD) for name in (_REFERER, _AGENT))
        return b'"referer":%b,"userAgent":%b' % tuple(values)

    def word(self, raw: bytes) -> bytes:
        """Write it without its quotes."""
        return _clipped(_in_json, raw, _WORD)

    def name(self, raw: bytes) -> bytes:
        """Write a string or null."""
        return self.text(raw, _WORD)


#: By what the configuration calls them.
FORMATS: dict[str, type[Lines]] = {"combined": Combined, "json": Json}


def _between_quotes(raw: bytes) -> bytes:
    return _UNSAFE.sub(lambda match: b"\\x%02x" % ord(match[0]), raw)


def _in_json(raw: bytes) -> bytes:
    r"""Escape as JSON does; bytes that are not UTF-8 can be read as \xhh."""
    return encode_basestring_ascii(raw.decode("utf-8", "backslashreplace"))[1:-1].encode()


def _clipped(escape: Callable[[bytes], bytes], raw: bytes, longest: int) -> bytes:
    """Escape; at most so many bytes of it, and three dots for what was left out."""
    for size in (longest, longest // 6):  # no byte takes more than six
        text = escape(raw[:size])
        if len(text) <= longest:
            break
    return text if len(raw) <= size else text + b"..."


def _field(block: bytes, name: re.Pattern[bytes]) -> bytes:
    match = name.search(block)
    return match[1].rstrip(b" \t") if match else b""
