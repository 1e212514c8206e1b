"""A request from a WSGI server, in the form in which it is sent to the servers."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from urllib3.util import SKIP_HEADER

from lb.config import Config
from lb.errors import ClientError
from lb.proxy.additions import Additions, trusts
from lb.proxy.headers import HeaderSettings
from lb.proxy.http1 import HeadParser, Request
from lb.wsgi.body import Body
from lb.wsgi.environ import Environ, head_of

_Pair = tuple[str, bytes | str]

#: Headers that urllib3 would add to requests that lack them.
_NOT_TO_ADD: tuple[_Pair, ...] = (("Accept-Encoding", SKIP_HEADER), ("User-Agent", SKIP_HEADER))


@dataclass(slots=True)
class Call:
    """A request, its fields as they are sent, and its body."""

    request: Request
    fields: tuple[_Pair, ...]
    body: Body | None
    request_id: str  # empty if it gets none

    @property
    def method(self) -> bytes:
        """Its method."""
        return self.request.method

    @property
    def body_kept(self) -> bool:
        """Whether its body can be sent again in full."""
        return self.body is None or self.body.kept

    def headers(self, host: str) -> Headers:
        """Return its fields as urllib3 takes them; `host` is the Host of a request that has none."""
        own: tuple[_Pair, ...] = ()
        if self.request_id:
            own = (("X-Request-Id", self.request_id.encode("latin-1")),)
        if self.request.fields.host is None:
            own = (("Host", host.encode()), *own)
        return Headers(self.fields + own)


class Headers(Mapping[str, Any]):
    """Fields in order, with repetitions. Values are bytes, so no client can name urllib3's SKIP_HEADER."""

    def __init__(self, pairs: tuple[_Pair, ...]) -> None:
        self._pairs = pairs

    def __iter__(self) -> Iterator[str]:
        return iter([name for name, _ in self._pairs])

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, name: str) -> bytes | str:
        return dict(self._pairs)[name]

    def items(self) -> ItemsView[str, Any]:
        """Return all pairs, also those of one name, of which a dictionary would have one."""
        return self._pairs  # type: ignore[return-value]


class Calls:
    """Reads the requests of one process."""

    def __init__(self, config: Config, headers: HeaderSettings) -> None:
        self._heads = HeadParser(config.limits.header_count, headers)
        self._additions = Additions(headers)
        self._limits = config.limits
        self._with_ids = headers.request_id
        self._client = lru_cache(maxsize=1024)(lambda address: _client(config, address))

    def read(self, environ: Environ) -> Call:
        """Read a request by the data plane's rules; ClientError if it is malformed or impossible in WSGI."""
        head = head_of(environ)
        limits = self._limits
        if head.find(b"\r\n") > limits.request_line_bytes:
            raise ClientError(f"the request line is longer than {limits.request_line_bytes} bytes", 414)
        if len(head) - 4 > limits.header_bytes:
            raise ClientError(f"the head is larger than {limits.header_bytes} bytes", 431)
        request = self._heads.request(head)
        fields = request.fields
        if fields.upgrade and request.minor:
            raise ClientError("upgrades, such as to WebSocket, need a worker of lb: WSGI has none", 501)
        client, trusted = self._client(environ.get("REMOTE_ADDR") or "")
        scheme = str(environ.get("wsgi.url_scheme", "http")).encode("latin-1")
        lines = self._additions.lines(fields, request.minor, client, trusted=trusted, scheme=scheme)
        if fields.chunked:
            lines += b"\r\nTransfer-Encoding: chunked"
        request_id = ""
        if self._with_ids:
            request_id = _value(self._additions.id_line(fields, trusted=trusted))
        return Call(request, _pairs(fields.forward + lines), self._body(environ, request), request_id)

    def _body(self, environ: Environ, request: Request) -> Body | None:
        length, chunked = request.fields.content_length, request.fields.chunked
        if not (length or chunked):
            return None
        if chunked and not environ.get("wsgi.input_terminated"):
            raise ClientError("this server hands on bodies of known length only: send Content-Length", 411)
        return Body(
            environ["wsgi.input"],
            length,
            keep_bytes=self._limits.replay_bytes,
            max_bytes=self._limits.body_bytes,
        )


@lru_cache(maxsize=1024)  # clients send the same lines again
def _pairs(lines: bytes) -> tuple[_Pair, ...]:
    """Split lines, each preceded by CR LF, into the fields that urllib3 is to send."""
    pairs: list[_Pair] = []
    for line in lines.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        pairs.append((name.decode("ascii"), value.strip(b" \t")))
    names = {name.lower() for name, _ in pairs}
    return (*pairs, *(pair for pair in _NOT_TO_ADD if pair[0].lower() not in names))


def _value(line: bytes) -> str:
    return line.partition(b":")[2].strip().decode("latin-1")


def _client(config: Config, address: str) -> tuple[bytes, bool]:
    """Return a client's address, empty for one on a unix socket, and whether it is a trusted proxy."""
    try:
        ip_address(address)
    except ValueError:  # for a unix socket, each WSGI server writes something else
        address = ""
    return address.encode(), trusts(config.trusted_proxies, address)
