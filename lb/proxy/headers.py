"""Which header fields a proxy reads, removes and adds. PURE: rules as tables, the RFC section beside them."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

#: A field name is a token (RFC 9110 §5.6.2).
FIELD_NAME = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"

#: Never forwarded as received: they speak of one connection only (RFC 9110 §7.6.1; `Proxy-Connection` and
#: `Keep-Alive` are older names of the same). The forwarder writes its own where needed.
HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"transfer-encoding", b"upgrade"}
)

#: Written by us, so what the client claims is not forwarded (it is appended to if the client is trusted).
FORWARDED = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"})

REMOVED_FROM_REQUESTS = HOP_BY_HOP | FORWARDED
REMOVED_FROM_RESPONSES = HOP_BY_HOP | {b"x-forwarded-server"}

#: What Connection cannot nominate away (RFC 9110 §7.6.1: not fields meant for all recipients).
PROTECTED = FORWARDED | frozenset(
    b"authorization cache-control content-length content-type cookie date host set-cookie".split()
)

#: The fields that mean something to us; all others are only passed on.
_SPECIAL = re.compile(
    rb"\r\n((?i:connection|content-length|host|keep-alive|proxy-connection|te|transfer-encoding|upgrade"
    rb"|x-forwarded-(?:for|proto|host|server))):[\t ]*+([^\r]*+)"
)
# RFC 9110 §7.2 and RFC 3986 §3.2: host and port, without user information.
HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9\-._~%!$&'()*+,;=]*+)(?::\d{0,5})?")
_DIGITS = re.compile(rb"\d{1,18}")
# RFC 9112 §6.1 and §6.3, 4: chunked once and last, else the body has no certain end.
_UNKNOWN_CODING = re.compile(rb"(?!chunked[ \t,])" + FIELD_NAME + rb"[ \t]*,[ \t]*chunked")


@dataclass(slots=True)
class Fields:
    """A header block: what it means to a proxy, and what of it is passed on."""

    forward: bytes = b""  # the lines to pass on, each with the CR LF before it
    host: bytes | None = None
    content_length: int | None = None
    chunked: bool = False
    close: bool = False
    keep_alive: bool = False
    upgrade: bytes = b""  # the protocols asked for, if Connection names Upgrade
    forwarded_for: bytes = b""
    forwarded_proto: bytes = b""
    forwarded_host: bytes = b""
    unknown_coding: bool = False
    framing_fault: str = ""  # why the message's length is not certain
    host_fault: str = ""


def read_fields(block: bytes, removed: frozenset[bytes]) -> Fields:
    """Read a block that is well-formed: each line behind a CR LF, an empty line at the end."""
    fields = Fields()
    kept: list[bytes] = []
    lengths: list[bytes] = []
    codings: list[bytes] = []
    connection: list[bytes] = []
    copied = 0
    for match in _SPECIAL.finditer(block):
        name, value = match[1].lower(), match[2].rstrip(b" \t")
        if name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
        elif name == b"connection":
            connection += _tokens(value)
        else:
            _note(fields, name, value)
        if name in removed or (name == b"content-length" and len(lengths) > 1):
            kept.append(block[copied : match.start()])
            copied = match.end()
    kept.append(block[copied:-4])
    fields.forward = b"".join(kept)
    _apply_connection(fields, connection)
    _apply_framing(fields, lengths, codings)
    return fields


def _note(fields: Fields, name: bytes, value: bytes) -> None:
    if name == b"host":
        if fields.host is not None:
            fields.host_fault = "more than one Host"
        elif not HOST.fullmatch(value):
            fields.host_fault = "malformed Host"
        fields.host = value
    elif name == b"upgrade":
        fields.upgrade = value
    elif name == b"x-forwarded-for":
        fields.forwarded_for = b", ".join(filter(None, (fields.forwarded_for, value)))
    elif name == b"x-forwarded-proto":
        fields.forwarded_proto = value
    elif name == b"x-forwarded-host":
        fields.forwarded_host = value


def _apply_connection(fields: Fields, tokens: list[bytes]) -> None:
    fields.close = b"close" in tokens
    fields.keep_alive = b"keep-alive" in tokens
    if b"upgrade" not in tokens:
        fields.upgrade = b""
    nominated = set(tokens) - {b"close"} - HOP_BY_HOP - PROTECTED
    if nominated:  # one pass, however many are named: a search for each took 400 ms for a head of 28 KB
        lines = fields.forward.split(b"\r\n")
        fields.forward = b"\r\n".join(
            line for line in lines if line.partition(b":")[0].lower() not in nominated
        )


def _apply_framing(fields: Fields, lengths: list[bytes], codings: list[bytes]) -> None:
    """Decide how the body is framed (RFC 9112 §6), or why that is not certain."""
    if codings:
        coding = codings[0].lower() if len(codings) == 1 else b""
        fields.chunked = coding == b"chunked"
        if lengths:
            fields.framing_fault = "both Content-Length and Transfer-Encoding"
        elif not fields.chunked and _UNKNOWN_CODING.fullmatch(coding):
            fields.unknown_coding = True
        elif not fields.chunked:
            fields.framing_fault = "Transfer-Encoding is malformed, repeated or does not end with chunked"
    if not lengths:
        return
    # RFC 9110 §8.6: the same number again is one number; anything else is an error.
    values = {value.strip(b" \t") for line in lengths for value in line.split(b",")}
    number = values.pop()
    if values or not _DIGITS.fullmatch(number):
        fields.framing_fault = "malformed or differing Content-Length"
        return
    fields.content_length = int(number)
    if lengths[0] != number:
        fields.forward = re.sub(
            rb"(\r\n(?i:content-length):)[^\r]*+", rb"\g<1> " + number, fields.forward, count=1
        )


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip(b" \t").lower() for token in value.split(b",") if token.strip(b" \t")]


def trusts(networks: Collection[IPv4Network | IPv6Network], address: str) -> bool:
    """Whether an address (empty: a unix socket) is that of one of our own proxies."""
    if not networks or not address:
        return False
    found = ip_address(address)
    if isinstance(found, IPv6Address) and found.ipv4_mapped:
        found = found.ipv4_mapped  # how a dual-stack socket shows an IPv4 client
    return any(found in network for network in networks)


def forwarded_lines(fields: Fields, client: bytes, *, trusted: bool) -> bytes:
    """Return the X-Forwarded lines to add to a request from `client`, each with the CR LF before it.

    What a trusted client says of the hops before it is kept and appended to; what others claim is replaced.
    """
    chain, proto, host = client, b"http", fields.host or b""
    if trusted:
        chain = b", ".join(filter(None, (fields.forwarded_for, client)))
        proto = fields.forwarded_proto or proto
        host = fields.forwarded_host or host
    if not host:
        return b"\r\nX-Forwarded-For: %b\r\nX-Forwarded-Proto: %b" % (chain, proto)
    return b"\r\nX-Forwarded-For: %b\r\nX-Forwarded-Proto: %b\r\nX-Forwarded-Host: %b" % (chain, proto, host)
