"""Lines of the access log. PURE: what a request was and what became of it, as text.

Whatever a client sent, a line stays one line of printable ASCII: all other bytes, quotes and backslashes are
escaped, and what is too long is clipped, so that a line fits into one write to a pipe.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from json.encoder import encode_basestring_ascii
from typing import ClassVar, Final, TypeVar

from lb.proxy.http1 import NO_VERSION, Request

#: No line is longer, its end included: pipes take so much in one piece (PIPE_BUF).
LONGEST_LINE: Final = 4096

#: A time that a request did not live to see.
NEVER: Final = -1.0

#: A request that is done: when it was, in monotonic seconds; its client's address; itself; the response's
#: status, 0 if there was none; the server, if one was asked; attempts; how long it waited for picks, for
#: connections, for the response's head, and all in all; bytes sent to the client and received from it; a word
#: on why it failed. A plain tuple: making an object takes 0.2 µs more.
Record = tuple[float, bytes, Request, int, str, int, float, float, float, float, int, int, str]

_Key = TypeVar("_Key", bytes, str, int)

#: So many texts of a kind are remembered, and none of more bytes.
_REMEMBERED_TEXTS, _REMEMBERED_BYTES = 4096, 4096

#: Bytes that parts of a line may have; together they leave room for the rest of the line.
_METHOD, _TARGET, _FIELD, _WORD = 32, 2048, 512, 128

_ID_STARTS = len("\r\nX-Request-Id: ")
_UNSAFE = re.compile(rb"[^ !#-\[\]-~]")
_REFERER = re.compile(rb"\r\n(?i:referer):[\t ]*+([^\r]*+)")
_AGENT = re.compile(rb"\r\n(?i:user-agent):[\t ]*+([^\r]*+)")


class _Memory(dict[_Key, bytes]):
    """Texts made before, as most come again: 20 ns in place of 300. Forgets everything when it is full."""

    def __init__(self, make: Callable[[_Key], bytes]) -> None:
        super().__init__()
        self._make: Callable[[_Key], bytes] = make

    def __missing__(self, key: _Key) -> bytes:
        text: bytes = self._make(key)
        if len(self) >= _REMEMBERED_TEXTS:
            self.clear()
        if isinstance(key, int) or len(key) <= _REMEMBERED_BYTES:
            self[key] = text
        return text


class Lines:
    """A format of lines, as subclasses say. All parts are bytes: as strings they take 0.3 µs more."""

    template: bytes
    nothing: bytes
    protocols: ClassVar[dict[int, bytes]]
    stamp_seconds: float  # how long one time stamp is right

    def __init__(self) -> None:
        self._methods = _Memory[bytes](self.method)
        self._targets = _Memory[bytes](lambda raw: self.text(raw, _TARGET))
        self._headers = _Memory[bytes](self.headers)
        self._names = _Memory[str](lambda name: self.name(name.encode()))
        self._numbers = _Memory[int](lambda number: b"%d" % number)
        self._statuses = _Memory[int](lambda status: b"%d" % status if status else self.nothing)

    def __call__(self, records: Sequence[Record], clock: float) -> bytes:
        """Write a line for each; `clock` is what monotonic seconds lack to those of the wall clock.

        All are one template, repeated, filled in at once: 0.9 µs per line, and 1.2 with one for each.
        """
        methods, targets, headers, protocols = self._methods, self._targets, self._headers, self.protocols
        names, numbers, statuses = self._names, self._numbers, self._statuses
        parts: list[bytes | float] = []
        until, stamp = 0.0, b""
        for (
            when,
            client,
            asked,
            status,
            server,
            attempts,
            queue,
            link,
            head,
            total,
            out,
            came,
            why,
        ) in records:
            if when >= until:
                step = (when + clock) // self.stamp_seconds
                stamp, until = self.stamp(when + clock), (step + 1) * self.stamp_seconds - clock
            word = asked.id_line[_ID_STARTS:]
            parts += (
                client or b"unix:",
                stamp,
                methods[asked.method],
                targets[asked.target],
                protocols[asked.minor],
                statuses[status],
                numbers[out],
                headers[asked.fields.forward],
                word if word.isalnum() and len(word) <= _WORD else self.word(word),
                names[server],
                numbers[attempts],
                queue,
                b"%.6f" % link if link else b"0.000000",
                b"%.6f" % head if head >= 0 else self.nothing,
                total,
                numbers[came],
                names[why],
            )
        return (self.template * len(records)) % tuple(parts)

    def stamp(self, at: float) -> bytes:
        """Write a time."""
        raise NotImplementedError

    def text(self, raw: bytes, longest: int) -> bytes:
        """Write any text."""
        raise NotImplementedError

    def method(self, raw: bytes) -> bytes:
        """Write a method, or that there is none."""
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

    template = (
        b'%b - - [%b] "%b%b%b" %b %b %b id=%b server=%b attempts=%b '
        b"queue=%.6f connect=%b first_byte=%b total=%.6f received=%b reason=%b\n"
    )
    nothing = b"-"
    protocols: ClassVar = {0: b" HTTP/1.0", 1: b" HTTP/1.1", NO_VERSION: b""}
    stamp_seconds = 1.0

    def stamp(self, at: float) -> bytes:
        """Write a time to the second, in the local zone."""
        return time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(at)).encode()

    def text(self, raw: bytes, longest: int) -> bytes:
        r"""Escape as nginx does: what is not safe between quotes is \xhh."""
        return _clipped(_between_quotes, raw, longest)

    def method(self, raw: bytes) -> bytes:
        """Write a method and a blank; nothing if there is none."""
        return self.text(raw, _METHOD) + b" " if raw else b""

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
        b'{"client":"%b","time":"%b","method":%b,"target":%b,"protocol":%b,"status":%b,"bytesSent":%b,%b,'
        b'"requestId":"%b","server":%b,"attempts":%b,"queueSeconds":%.6f,"connectSeconds":%b,'
        b'"firstByteSeconds":%b,"totalSeconds":%.6f,"bytesReceived":%b,"reason":%b}\n'
    )
    nothing = b"null"
    protocols: ClassVar = {0: b'"HTTP/1.0"', 1: b'"HTTP/1.1"', NO_VERSION: b"null"}
    stamp_seconds = 0.001

    def __call__(self, records: Sequence[Record], clock: float) -> bytes:
        """Write a line for each."""
        # Within a string no quote stands without a backslash, so this meets only what the template wrote.
        return super().__call__(records, clock).replace(b'"requestId":""', b'"requestId":null')

    def stamp(self, at: float) -> bytes:
        """Write a time to the millisecond (RFC 3339)."""
        second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
        return f"{second}.{int(at % 1 * 1000):03d}Z".encode()

    def text(self, raw: bytes, longest: int) -> bytes:
        """Write a string; null if there is nothing."""
        return b'"%b"' % _clipped(_in_json, raw, longest) if raw else b"null"

    def method(self, raw: bytes) -> bytes:
        """Write a string or null."""
        return self.text(raw, _METHOD)

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
