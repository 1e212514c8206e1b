"""Which header fields a proxy reads, removes and adds. PURE: rules as tables, the RFC section beside them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lb.config import Config

#: A field name is a token (RFC 9110 §5.6.2).
FIELD_NAME = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"

#: Never forwarded as received: they speak of one connection only (RFC 9110 §7.6.1; `Proxy-Connection` and
#: `Keep-Alive` are older names of the same; HTTP2-Settings goes with `Upgrade: h2c`, which we do not speak).
#: The forwarder writes its own where needed.
HOP_BY_HOP = frozenset(
    b"connection http2-settings keep-alive proxy-connection te transfer-encoding upgrade".split()
)

#: Fields that mean something to us and are passed on as they came; all others that do are not.
_KEPT = frozenset({b"content-length", b"expect", b"host"})

#: What Connection cannot nominate away (RFC 9110 §7.6.1: not fields meant for all recipients).
PROTECTED = frozenset(
    b"authorization cache-control content-length content-type cookie date host set-cookie".split()
)

_EITHER_WAY = rb"connection|keep-alive|proxy-connection|te|upgrade|http2-settings"
# Servers that read fields as CGI does take "X_Forwarded_For" for ours, so with "_" they are not passed on.
_OF_REQUESTS = (
    rb"|content[-_]length|transfer[-_]encoding|host|expect|forwarded|x[-_]real[-_]ip|x[-_]forwarded[-_][\w-]+"
)
_OF_RESPONSES = rb"|content-length|transfer-encoding"

# RFC 9112 §5: no blank before the colon, no line folding, no control bytes in the value.
# The group repeats with a plain `*`: CPython 3.11.0 to 3.11.4 match no possessive quantifier over a group.
BLOCK = re.compile(rb"(?:\r\n" + FIELD_NAME + rb":[\t \x21-\x7e\x80-\xff]*+)*\r\n\r\n")
# RFC 3986 §3.2.3: any number of digits; what counts is the value, which is no more than 65535.
_PORT = rb":0*+(?:[1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])?"
# RFC 9110 §7.2 and RFC 3986 §3.2: host and port without user information, or nothing at all.
HOST = re.compile(rb"(?:(?:\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9\-._~%!$&'()*+,;=]++)(?:" + _PORT + rb")?)?")
#: A number without its leading zeros: below 10 ** 18, which is more than any message has bytes.
_NUMBER = re.compile(rb"\d{1,18}")
# Fields whose lines are one list (RFC 9110 §5.3), and fields of one value, of which the last counts.
_LISTS = {b"forwarded": "forwarded", b"upgrade": "upgrade", b"x-forwarded-for": "forwarded_for"}
_SINGLE = {
    b"x-forwarded-host": "forwarded_host",
    b"x-forwarded-proto": "forwarded_proto",
    b"x-request-id": "request_id",
}
_HTTP_2 = frozenset({b"h2c", b"h2"})
# RFC 9112 §6.1 and §6.3, 4: chunked once and last, else the body has no certain end.
_UNKNOWN_CODING = re.compile(rb"(?!chunked[ \t,])" + FIELD_NAME + rb"[ \t]*,[ \t]*chunked")


@dataclass(frozen=True, slots=True)
class HeaderSettings:
    """What the configuration says about the fields that we add ourselves."""

    request_id: bool = True  # X-Request-Id, on requests
    request_id_in_response: bool = False
    forwarded: bool = False  # Forwarded (RFC 7239), beside X-Forwarded-*
    server: bytes = b"X-Forwarded-Server"  # tells the client which server answered; empty: nothing does
    via: bytes = b""  # our name in Via (RFC 9110 §7.6.3); empty: none

    @property
    def special_in_requests(self) -> re.Pattern[bytes]:
        """The fields of a request that mean something to us; all others are only passed on."""
        return _special(_EITHER_WAY + _OF_REQUESTS + (rb"|x[-_]request[-_]id" if self.request_id else b""))

    @property
    def special_in_responses(self) -> re.Pattern[bytes]:
        """The same of a response."""
        own_id = self.request_id and self.request_id_in_response
        ours = (b"x-request-id" if own_id else b"", re.escape(self.server))
        return _special(b"|".join((_EITHER_WAY + _OF_RESPONSES, *filter(None, ours))))


def header_settings(config: Config) -> HeaderSettings:
    """Return what a configuration says about the fields that we add."""
    return HeaderSettings(
        request_id=config.request_id,
        request_id_in_response=config.request_id_in_response,
        forwarded=config.forwarded,
        server=config.server_header_name.encode(),
        via=(config.via or "").encode(),
    )


def _special(names: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"\r\n((?i:" + names + rb")):[\t ]*+([^\r]*+)")


@dataclass(slots=True)
class Fields:
    """A header block: what it means to a proxy, and what of it is passed on."""

    forward: bytes = b""  # the lines to pass on, each with the CR LF before it
    host: bytes | None = None
    content_length: int | None = None
    chunked: bool = False
    close: bool = False
    keep_alive: bool = False
    takes_trailers: bool = False  # TE says so
    expects_continue: bool = False
    upgrade: bytes = b""  # the protocols asked for, if Connection names Upgrade
    forwarded_for: bytes = b""
    forwarded_proto: bytes = b""
    forwarded_host: bytes = b""
    forwarded: bytes = b""  # elements of Forwarded
    claims: bytes = b""  # lines about the hops before us that we never write: for trusted clients only
    request_id: bytes = b""
    unknown_coding: bool = False
    framing_fault: str = ""  # why the message's length is not certain
    host_fault: str = ""


def read_fields(block: bytes, special: re.Pattern[bytes]) -> Fields:
    """Read a block that is well-formed: each line behind a CR LF, an empty line at the end."""
    fields = Fields()
    kept: list[bytes] = []
    lengths: list[bytes] = []
    codings: list[bytes] = []
    connection: list[bytes] = []
    copied = 0
    for match in special.finditer(block):
        name, value = match[1].lower(), match[2].rstrip(b" \t")
        if name == b"content-length":
            lengths.append(value)
        elif name == b"transfer-encoding":
            codings.append(value)
        elif name == b"connection":
            connection += _tokens(value)
        else:
            _note(fields, name, value, match[0])
        if name not in _KEPT or (name == b"content-length" and len(lengths) > 1):
            kept.append(block[copied : match.start()])
            copied = match.end()
    kept.append(block[copied:-4])
    fields.forward = b"".join(kept)
    _apply_connection(fields, connection)
    _apply_framing(fields, lengths, codings)
    return fields


def _note(fields: Fields, name: bytes, value: bytes, line: bytes) -> None:
    if name == b"host":
        if fields.host is not None:
            fields.host_fault = "more than one Host"
        elif not HOST.fullmatch(value):
            fields.host_fault = "malformed Host"
        fields.host = value
    elif attribute := _LISTS.get(name):
        setattr(fields, attribute, _joined(getattr(fields, attribute), value))
    elif attribute := _SINGLE.get(name):
        setattr(fields, attribute, value)
    elif name == b"te":
        fields.takes_trailers |= b"trailers" in _tokens(value)
    elif name == b"expect":
        fields.expects_continue |= b"100-continue" in _tokens(value)
    elif name.startswith((b"x-forwarded-", b"x-real-")) and b"_" not in name:
        fields.claims += line


def _joined(before: bytes, value: bytes) -> bytes:
    return b"%b, %b" % (before, value) if before and value else before or value


def _apply_connection(fields: Fields, tokens: list[bytes]) -> None:
    fields.close = b"close" in tokens
    fields.keep_alive = b"keep-alive" in tokens
    protocols = [token for token in fields.upgrade.split(b",") if token.strip(b" \t").lower() not in _HTTP_2]
    fields.upgrade = b",".join(protocols).strip(b" \t") if b"upgrade" in tokens else b""
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
    values = {without_zeros(value.strip(b" \t")) for line in lengths for value in line.split(b",")}
    number = values.pop()
    if values or not _NUMBER.fullmatch(number):
        fields.framing_fault = "malformed or differing Content-Length"
        return
    fields.content_length = int(number)
    if lengths[0] != number:
        fields.forward = re.sub(
            rb"(\r\n(?i:content-length):)[^\r]*+", rb"\g<1> " + number, fields.forward, count=1
        )


def without_zeros(digits: bytes) -> bytes:
    """Return digits without leading zeros: a number counts by its value, however many digits it has."""
    return digits.lstrip(b"0") or digits[-1:]


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip(b" \t").lower() for token in value.split(b",") if token.strip(b" \t")]
