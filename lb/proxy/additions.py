"""What we add to a request: for whom it is, by whom it came, which one it is. PURE but for the numbers."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Collection
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Literal

from lb.proxy.headers import Fields, HeaderSettings

# RFC 7239 §4 and RFC 9110 §5.6.2: what is not a token is quoted, as IPv6 addresses and ports are.
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


class Additions:
    """The fields that one worker adds to requests."""

    def __init__(self, settings: HeaderSettings) -> None:
        self._forwarded = settings.forwarded
        self._via = [b"\r\nVia: 1.%d %b" % (minor, settings.via) if settings.via else b"" for minor in (0, 1)]
        # 64 random bits of this worker and a number: unique in the fleet for a tenth of what a UUID costs.
        self._id_line = b"\r\nX-Request-Id: %b%%08x" % secrets.token_hex(8).encode()
        self._numbers = itertools.count(1)

    def id_line(self, fields: Fields, *, trusted: bool) -> bytes:
        """Return the X-Request-Id of one request: a trusted client's own, else a new one."""
        if trusted and fields.request_id:
            return b"\r\nX-Request-Id: %b" % fields.request_id
        return self._id_line % next(self._numbers)

    def lines(
        self, fields: Fields, minor: int, client: bytes, *, trusted: bool, scheme: bytes = b"http"
    ) -> bytes:
        """Return what all requests of these fields get from `client`, each line with the CR LF before it.

        What a trusted client says of the hops before it is kept and appended to; what others claim is
        replaced. `client` is an IP address, or empty for one that came by a unix socket;
        `scheme` is what it came by.
        """
        chain, proto, host = client, scheme, fields.host or b""
        forwarded = _element(client, host, scheme) if self._forwarded else b""
        claims = b""
        if trusted:
            chain = b", ".join(filter(None, (fields.forwarded_for, client)))
            proto = fields.forwarded_proto or proto
            host = fields.forwarded_host or host
            forwarded = b", ".join(filter(None, (fields.forwarded, forwarded)))
            claims = fields.claims
        named = (
            (b"X-Forwarded-For", chain),
            (b"X-Forwarded-Proto", proto),
            (b"X-Forwarded-Host", host),
            (b"Forwarded", forwarded),
        )
        return b"".join(b"\r\n%b: %b" % pair for pair in named if pair[1]) + claims + self._via[minor]


def _element(client: bytes, host: bytes, scheme: bytes) -> bytes:
    """Describe one hop (RFC 7239 §4 and §6)."""
    node = b"[%b]" % client if b":" in client else client
    element = b"for=%b;proto=%b" % (_quoted(node or b"unknown"), scheme)
    return b"%b;host=%b" % (element, _quoted(host)) if host else element


def _quoted(value: bytes) -> bytes:
    return value if _TOKEN.fullmatch(value) else b'"%b"' % value


def trusts(networks: Collection[IPv4Network | IPv6Network | Literal["unix:"]], address: str) -> bool:
    """Whether an address (empty: a unix socket) is that of one of our own proxies."""
    if not networks or not address:
        return "unix:" in networks
    found = ip_address(address)
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped  # how a dual-stack socket shows an IPv4 client
    return any(found in network for network in networks if network != "unix:")
