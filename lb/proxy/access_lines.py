"""Lines of the access log. PURE: what a request was and what became of it, as text.

Whatever a client sent, a line stays one line of printable ASCII: all other bytes, quotes and backslashes are
escaped, and what is too long is clipped, so that a line fits into one write to a pipe.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring_ascii
from time import monotonic
from typing import ClassVar, Final, TypeAlias, TypeVar

from lb.model import ServerId
from lb.proxy.http1 import NO_VERSION, Request

#: No line is longer, its end included: pipes take so much in one piece (PIPE_BUF).
LONGEST_LINE: Final = 4096

#: A time that a request did not live to see.
NEVER: Final = -1.0

_Key = TypeVar("_Key", bytes, str, int, tuple[bytes, bytes])

#: So many texts of a kind are remembered, and none for a key of more bytes: 25 MB at most, if clients try.
_REMEMBERED_TEXTS, _REMEMBERED_BYTES = 4096, 512
_REMEMBERED_BLOCKS, _REMEMBERED_BLOCK_BYTES = 1024, 4096

#: Bytes that parts of a line may have; together they leave room for the rest of the line.
_METHOD, _TARGET, _FIELD, _WORD = 32, 2048, 512, 128

_ID = len("\r\nX-Request-Id: ")
_STEPS = 10_000  # of a time, in a second
_UNSAFE = re.compile(rb"[^ !#-\[\]-~]")
_REFERER = re.compile(rb"\r\n(?i:referer):[\t ]*+([^\r]*+)")
_AGENT = re.compile(rb"\r\n(?i:user-agent):[\t ]*+([^\r]*+)")


class _Memory(dict[_Key, str]):
    """Texts made before, as most come again: 20 ns in place of 300. Forgets everything when it is full."""

    def __init__(
        self, make: Callable[[_Key], str], most: int = _REMEMBERED_TEXTS, longest: int = _REMEMBERED_BYTES
    ) -> None:
        super().__init__()
        self._make: Callable[[_Key], str] = make
        self._most, self._longest = most, longest

    def __missing__(self, key: _Key) -> str:
        text = self._make(key)
        if len(self) >= self._most:
            self.clear()
        if isinstance(key, int) or sum(map(len, key if isinstance(key, tuple) else (key,))) <= self._longest:
            self[key] = text
        return text


#: A request that is done: itself, its client's address (empty: it came by a unix socket), whether its id is
#: one of ours, the last server that was asked; its response's status (0: there was none) and bytes; when all
#: was done (monotonic seconds); the seconds that it took, that the response's head did (or NEVER), and that
#: it waited for picks; why it failed.
Noted: TypeAlias = tuple[Request, bytes, bool, ServerId, int, int, float, float, float, float, str]


class Lines:
    """A format of lines, as subclasses say.

    Each writes out its `lines` itself: by way of a template that they fill, a line takes 70 ns more.
    """

    nothing: ClassVar[str]
    stamps_per_second: ClassVar[int]

    def __init__(self) -> None:
        self._addresses = _Memory[bytes](lambda address: address.decode() or "unix:")
        self._requests = {minor: self._requests_of(minor) for minor in (0, 1, NO_VERSION)}
        self._headers = _Memory[bytes](self.headers, _REMEMBERED_BLOCKS, _REMEMBERED_BLOCK_BYTES)
        self._names = _Memory[str](lambda name: self.name(name.encode()))
        self._statuses = _Memory[int](lambda status: str(status) if status else self.nothing)
        # Steps of 0.1 ms repeat, and so cost 50 ns each; written to the microsecond it was 200.
        self._times = _Memory[int](lambda steps: f"{steps / _STEPS:.4f}" if steps >= 0 else self.nothing)
        self._stamps = _Memory[int](lambda number: self.stamp(number / self.stamps_per_second))
        self._usual_rest = self.rest(1, 0.0, 0, "")

    def _requests_of(self, minor: int) -> _Memory[tuple[bytes, bytes]]:
        """Remember first lines by method and target."""
        return _Memory[tuple[bytes, bytes]](lambda said: self.request(*said, minor))

    def lines(self, done: Iterable[Noted]) -> bytes:
        """Write a line for each request: 0.4 µs, among many that are usual."""
        raise NotImplementedError

    def _rest(self, request: Request, reason: str) -> str:
        """Write what ends the line of a request that is not usual."""
        trace, upload = request.trace, request.upload
        received = len(request.body) if upload is None else upload.received
        if trace is None:
            return self.rest(0 if request.lease is None else 1, 0.0, received, reason)
        return self.rest(trace.attempts, trace.connecting_seconds, received + trace.tunnelled_bytes, reason)

    def stamp(self, at: float) -> str:
        """Write a time (unix seconds)."""
        raise NotImplementedError

    def text(self, raw: bytes, longest: int) -> str:
        """Write any text."""
        raise NotImplementedError

    def request(self, method: bytes, target: bytes, minor: int) -> str:
        """Write the first line of a request."""
        raise NotImplementedError

    def headers(self, block: bytes) -> str:
        """Write the fields of a request that are of interest."""
        raise NotImplementedError

    def name(self, raw: bytes) -> str:
        """Write a server, a reason or a request's id, or that there is none."""
        raise NotImplementedError

    def rest(self, attempts: int, connecting_seconds: float, received: int, reason: str) -> str:
        """Write the end of a line."""
        raise NotImplementedError


class Combined(Lines):
    """The combined format of Apache and nginx, followed by what is ours as `name=value`."""

    nothing = "-"
    stamps_per_second = 1

    def lines(self, done: Iterable[Noted]) -> bytes:
        """Write a line for each request."""
        addresses, requests, headers, names = self._addresses, self._requests, self._headers, self._names
        statuses, times, stamps = self._statuses, self._times, self._stamps
        usual, rest = self._usual_rest, self._rest
        clock = time.time() - monotonic()
        return "".join(
            [
                f"{addresses[address]} - - [{stamps[int(end + clock)]}]"
                f' "{requests[request.minor][request.method, request.target]}" {statuses[status]} {sent}'
                f" {headers[request.fields.forward]}"
                f" id={request.id_line[_ID:].decode() if own_id else self.name(request.id_line[_ID:])}"
                f" server={names[server]} queue={times[int(queued * _STEPS)]}"
                f" first_byte={times[int(head * _STEPS)]} total={times[int(total * _STEPS)]} "
                f"{rest(request, why) if request.trace or request.upload or request.body or why else usual}"
                "\n"
                for request, address, own_id, server, status, sent, end, total, head, queued, why in done
            ]
        ).encode()

    def stamp(self, at: float) -> str:
        """Write a time to the second, in the local zone."""
        return time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(at))

    def text(self, raw: bytes, longest: int) -> str:
        r"""Escape as nginx does: what is not safe between quotes is \xhh."""
        return _clipped(_between_quotes, raw, longest)

    def request(self, method: bytes, target: bytes, minor: int) -> str:
        """Write it as it was; what was no request has only a target."""
        protocol = "" if minor == NO_VERSION else f"HTTP/1.{minor}"
        return " ".join(filter(None, (self.text(method, _METHOD), self.text(target, _TARGET), protocol)))

    def headers(self, block: bytes) -> str:
        """Write referer and user agent."""
        values = (self.text(_field(block, name), _FIELD) or "-" for name in (_REFERER, _AGENT))
        return " ".join(f'"{value}"' for value in values)

    def name(self, raw: bytes) -> str:
        """Write it without blanks."""
        return self.text(raw, _WORD).replace(" ", r"\x20") or "-"

    def rest(self, attempts: int, connecting_seconds: float, received: int, reason: str) -> str:
        """Write the end of a line."""
        why = self._names[reason]
        return f"attempts={attempts} connect={connecting_seconds:.4f} received={received} reason={why}"


class Json(Lines):
    """An object per line; names are camelCase as in the API, and what there is not is null."""

    nothing = "null"
    stamps_per_second = 1000

    def lines(self, done: Iterable[Noted]) -> bytes:
        """Write an object for each request."""
        addresses, requests, headers, names = self._addresses, self._requests, self._headers, self._names
        statuses, times, stamps = self._statuses, self._times, self._stamps
        usual, rest = self._usual_rest, self._rest
        clock = time.time() - monotonic()
        return "".join(
            [
                f'{{"client":"{addresses[address]}","time":"{stamps[int((end + clock) * 1000)]}"'
                f",{requests[request.minor][request.method, request.target]}"
                f',"status":{statuses[status]},"bytesSent":{sent},{headers[request.fields.forward]},"requestId":'
                + (f'"{request.id_line[_ID:].decode()}"' if own_id else self.name(request.id_line[_ID:]))
                + f',"server":{names[server]}'
                f',"queueSeconds":{times[int(queued * _STEPS)]}'
                f',"firstByteSeconds":{times[int(head * _STEPS)]}'
                f',"totalSeconds":{times[int(total * _STEPS)]},'
                f"{rest(request, why) if request.trace or request.upload or request.body or why else usual}"
                "}\n"
                for request, address, own_id, server, status, sent, end, total, head, queued, why in done
            ]
        ).encode()

    def stamp(self, at: float) -> str:
        """Write a time to the millisecond (RFC 3339)."""
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at))}.{round(at * 1000) % 1000:03d}Z"

    def text(self, raw: bytes, longest: int) -> str:
        """Write a string; null if there is nothing."""
        return f'"{_clipped(_in_json, raw, longest)}"' if raw else "null"

    def request(self, method: bytes, target: bytes, minor: int) -> str:
        """Write its three parts."""
        said = f'"method":{self.text(method, _METHOD)},"target":{self.text(target, _TARGET)}'
        return f'{said},"protocol":null' if minor == NO_VERSION else f'{said},"protocol":"HTTP/1.{minor}"'

    def headers(self, block: bytes) -> str:
        """Write referer and user agent."""
        referer, agent = (self.text(_field(block, name), _FIELD) for name in (_REFERER, _AGENT))
        return f'"referer":{referer},"userAgent":{agent}'

    def name(self, raw: bytes) -> str:
        """Write a string or null."""
        return self.text(raw, _WORD)

    def rest(self, attempts: int, connecting_seconds: float, received: int, reason: str) -> str:
        """Write the end of an object, but for its brace."""
        return (
            f'"attempts":{attempts},"connectSeconds":{connecting_seconds:.4f},"bytesReceived":{received}'
            f',"reason":{self._names[reason]}'
        )


#: By what the configuration calls them.
FORMATS: dict[str, type[Lines]] = {"combined": Combined, "json": Json}


def _between_quotes(raw: bytes) -> str:
    return _UNSAFE.sub(lambda match: b"\\x%02x" % ord(match[0]), raw).decode()


def _in_json(raw: bytes) -> str:
    r"""Escape as JSON does; bytes that are not UTF-8 can be read as \xhh."""
    return encode_basestring_ascii(raw.decode("utf-8", "backslashreplace"))[1:-1]


def _clipped(escape: Callable[[bytes], str], raw: bytes, longest: int) -> str:
    """Escape; at most so many characters of it, and three dots for what was left out."""
    for size in (longest, longest // 6):  # no byte takes more than six
        text = escape(raw[:size])
        if len(text) <= longest:
            break
    return text if len(raw) <= size else f"{text}..."


def _field(block: bytes, name: re.Pattern[bytes]) -> bytes:
    match = name.search(block)
    return match[1].rstrip(b" \t") if match else b""
