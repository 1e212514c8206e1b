"""Lines of the access log. PURE: what a request was and what became of it, as text.

Whatever a client sent, a line stays one line of printable ASCII: all other bytes, quotes and backslashes are
escaped, and what is too long is clipped, so that a line fits into one write to a pipe.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring_ascii
from typing import Final, TypeVar

from lb.proxy.http1 import NO_VERSION, Request

#: No line is longer, its end included: pipes take so much in one piece (PIPE_BUF).
LONGEST_LINE: Final = 4096

#: A time that a request did not live to see.
NEVER: Final = -1.0

#: A request that is done: when it was, in monotonic seconds; its client's address; itself; the response's
#: status, 0 if there was none; the server, if one was asked; attempts; how long it waited for picks, for
#: connections, for the response's head, and all in all; bytes sent to the client and received from it; a word
#: on why it failed. A plain tuple: making an object takes 0.2 µs more.
Record = tuple[float, str, Request, int, str, int, float, float, float, float, int, int, str]

_Key = TypeVar("_Key", bytes, str, int)

#: So many texts of a kind are remembered, and none of more bytes.
_REMEMBERED_TEXTS, _REMEMBERED_BYTES = 4096, 4096

#: Characters that parts of a line may have; together they leave room for the rest of the line.
_METHOD, _TARGET, _FIELD, _WORD = 32, 2048, 512, 128

_PROTOCOLS = {0: " HTTP/1.0", 1: " HTTP/1.1", NO_VERSION: ""}
_JSON_PROTOCOLS = {0: '"HTTP/1.0"', 1: '"HTTP/1.1"', NO_VERSION: "null"}
_ID_STARTS = len("\r\nX-Request-Id: ")

_MILLIS = [f"{millis:03d}" for millis in range(1000)]

_UNSAFE = re.compile(r"[^ !#-\[\]-~]")
_REFERER = re.compile(rb"\r\n(?i:referer):[\t ]*+([^\r]*+)")
_AGENT = re.compile(rb"\r\n(?i:user-agent):[\t ]*+([^\r]*+)")


class _Memory(dict[_Key, str]):
    """Texts made before, as most come again: 20 ns in place of 300. Forgets everything when it is full."""

    def __init__(self, make: Callable[[_Key], str]) -> None:
        super().__init__()
        self._make: Callable[[_Key], str] = make

    def __missing__(self, key: _Key) -> str:
        text: str = self._make(key)
        if len(self) >= _REMEMBERED_TEXTS:
            self.clear()
        if isinstance(key, int) or len(key) <= _REMEMBERED_BYTES:
            self[key] = text
        return text


class Combined:
    """The combined format of Apache and nginx, followed by what is ours as `name=value`."""

    def __init__(self) -> None:
        self._methods = _Memory[bytes](lambda raw: f"{_clipped(_quotable, raw, _METHOD)} " if raw else "")
        self._targets = _Memory[bytes](lambda raw: _clipped(_quotable, raw, _TARGET))
        self._headers = _Memory[bytes](
            lambda block: " ".join(f'"{_quoted_field(block, name)}"' for name in (_REFERER, _AGENT))
        )
        self._names = _Memory[str](lambda name: _word(name.encode()))
        self._seconds = _Memory[int](lambda micros: "-" if micros < 0 else f"{micros / 1e6:.6f}")

    def __call__(self, records: Iterable[Record], clock: float) -> list[str]:
        """Write a line for each; `clock` is what monotonic seconds lack to those of the wall clock."""
        methods, targets, headers = self._methods, self._targets, self._headers
        names, seconds = self._names, self._seconds
        lines: list[str] = []
        second, stamp = -1, ""
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
            if int(when + clock) != second:
                second = int(when + clock)
                stamp = time.strftime("%d/%b/%Y:%H:%M:%S %z", time.localtime(second))
            word = asked.id_line[_ID_STARTS:]
            ident = word.decode() if word.isalnum() and len(word) <= _WORD else _word(word)
            lines.append(
                f'{client or "unix:"} - - [{stamp}] "{methods[asked.method]}{targets[asked.target]}'
                f'{_PROTOCOLS[asked.minor]}" {status or "-"} {out} {headers[asked.fields.forward]} '
                f"id={ident} "
                f"server={names[server]} attempts={attempts} queue={seconds[int(queue * 1e6)]} "
                f"connect={seconds[int(link * 1e6)]} first_byte={seconds[int(head * 1e6)]} "
                f"total={seconds[int(total * 1e6)]} received={came} reason={names[why]}\n"
            )
        return lines


class Json:
    """An object per line; names are camelCase as in the API, and what there is not is null."""

    def __init__(self) -> None:
        self._methods = _Memory[bytes](lambda raw: _json_text(raw, _METHOD))
        self._targets = _Memory[bytes](lambda raw: _json_text(raw, _TARGET))
        self._headers = _Memory[bytes](
            lambda block: (
                f'"referer":{_json_text(_field(block, _REFERER), _FIELD)},'
                f'"userAgent":{_json_text(_field(block, _AGENT), _FIELD)}'
            )
        )
        self._names = _Memory[str](lambda name: _json_text(name.encode(), _WORD))
        self._seconds = _Memory[int](lambda micros: "null" if micros < 0 else f"{micros / 1e6:.6f}")

    def __call__(self, records: Iterable[Record], clock: float) -> list[str]:
        """Write a line for each; `clock` is what monotonic seconds lack to those of the wall clock."""
        methods, targets, headers = self._methods, self._targets, self._headers
        names, seconds = self._names, self._seconds
        lines: list[str] = []
        second, stamp = -1, ""
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
            at = when + clock
            if int(at) != second:
                second = int(at)
                stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            word = asked.id_line[_ID_STARTS:]
            ident = f'"{word.decode()}"' if word.isalnum() and len(word) <= _WORD else _json_text(word, _WORD)
            lines.append(
                f'{{"time":"{stamp}.{_MILLIS[int((at - second) * 1000)]}Z","client":"{client or "unix:"}",'
                f'"method":{methods[asked.method]},"target":{targets[asked.target]},'
                f'"protocol":{_JSON_PROTOCOLS[asked.minor]},"status":{status or "null"},"bytesSent":{out},'
                f'"bytesReceived":{came},{headers[asked.fields.forward]},'
                f'"requestId":{ident},"server":{names[server]},"attempts":{attempts},'
                f'"queueSeconds":{seconds[int(queue * 1e6)]},"connectSeconds":{seconds[int(link * 1e6)]},'
                f'"firstByteSeconds":{seconds[int(head * 1e6)]},"totalSeconds":{seconds[int(total * 1e6)]},'
                f'"reason":{names[why]}}}\n'
            )
        return lines


#: By what the configuration calls them.
FORMATS: dict[str, type[Combined] | type[Json]] = {"combined": Combined, "json": Json}


def _quotable(raw: bytes) -> str:
    r"""Escape as nginx does: what is not safe between quotes is \xhh."""
    return _UNSAFE.sub(lambda match: f"\\x{ord(match[0]):02x}", raw.decode("latin-1"))


def _word(raw: bytes) -> str:
    return _clipped(_quotable, raw, _WORD).replace(" ", r"\x20") or "-"


def _quoted_field(block: bytes, name: re.Pattern[bytes]) -> str:
    return _clipped(_quotable, _field(block, name), _FIELD) or "-"


def _json_text(raw: bytes, longest: int) -> str:
    return f'"{_clipped(_in_json, raw, longest)}"' if raw else "null"


def _in_json(raw: bytes) -> str:
    r"""Escape as JSON does; bytes that are not UTF-8 can be read as \xhh."""
    return encode_basestring_ascii(raw.decode("utf-8", "backslashreplace"))[1:-1]


def _clipped(escape: Callable[[bytes], str], raw: bytes, longest: int) -> str:
    """Escape at most so many characters; what was left out is three dots."""
    for size in (longest, longest // 6):  # no byte takes more than six
        text = escape(raw[:size])
        if len(text) <= longest:
            break
    return text if len(raw) <= size else f"{text}..."


def _field(block: bytes, name: re.Pattern[bytes]) -> bytes:
    match = name.search(block)
    return match[1].rstrip(b" \t") if match else b""
