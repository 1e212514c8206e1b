"""Where things are: the URL of a server, the address to listen on, the proxies to trust.

Only this module normalises names: hosts are in lower case and without a final dot, IPv6 addresses in brackets
and in their short form, those that stand for an IPv4 address are that, the port is always written, and a unix
socket is "unix:/path" without detours. The parsers raise ValueError, except for the two that serve operators'
commands, which raise UsageError.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from lb.config.values import shown, whole_number
from lb.errors import UsageError
from lb.model import MAX_WEIGHT, ServerId, ServerSpec

_DEFAULT_SERVER_PORT = 80
_EXAMPLE = '"http://localhost:5001"'

UNIX = "unix:"
# As long as the system allows (107 bytes), in characters that need no quotes anywhere.
_UNIX_PATH = re.compile(r"(?://)?(/(?!/)[A-Za-z0-9._~@%+=,:/-]{1,106})")

_HOST_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]{1,9}))?")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")
# Resolvers take all that ends so for an IPv4 address, also 0x7f000001, 127.1 and 2130706433.
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)

parse_weight = whole_number(1, MAX_WEIGHT)


def parse_server_url(text: str, weight: int = 1) -> ServerSpec:
    """Make a ServerSpec from a URL and weight as operators write them.

    Raises UsageError, which says what is wrong and what was expected.
    """
    try:
        return ServerSpec(_url_id(text), normalise_url(text), parse_weight(weight))
    except ValueError as error:
        raise UsageError(str(error)) from None


def normalise_server_id(text: str) -> ServerId:
    """Return the id of the server that `text` names, either as "localhost:5001" or by its URL.

    Raises UsageError if it is neither.
    """
    url = text if "://" in text or _is_unix(text) else f"http://{text}"
    try:
        return _url_id(url)
    except ValueError as error:
        raise UsageError(_said_of(url, text, str(error))) from None


def _said_of(url: str, text: str, problem: str) -> str:
    """Have a problem name what was typed; without a scheme and a port it is perhaps no server at all."""
    if url == text:
        return problem
    if ":" not in text:
        return f'expected a server as "localhost:5001" or by its URL; got {shown(text)}'
    return problem.replace(shown(url), shown(text))


def normalise_url(text: str) -> str:
    """Return a server's URL in its normal form, `http://host:port` or `unix:/path`."""
    server = _url_id(text)
    return server if server.startswith(UNIX) else f"http://{server}"


def _is_unix(text: str) -> bool:
    return text[: len(UNIX)].lower() == UNIX


def _url_id(text: str) -> ServerId:
    if _is_unix(text):
        return ServerId(UNIX + _unix_path(text))
    if "@" in text:
        raise ValueError(f"a server's URL has no user name or password; expected one such as {_EXAMPLE}")
    scheme, separator, remainder = text.partition("://")
    if not separator:
        raise ValueError(f"expected a server's URL such as {_EXAMPLE}; got {shown(text)}{_with_scheme(text)}")
    if scheme.lower() != "http":
        raise ValueError(f"servers are reached by plain http://, not {scheme}://; got {shown(text)}")
    authority = re.split(r"[/?#]", remainder, maxsplit=1)[0]
    tail = remainder[len(authority) :]
    if tail not in {"", "/"}:
        raise ValueError(
            f"a server's URL ends after its port, as requests bring their own path; got {shown(text)}, "
            f"leave out {shown(tail)}"
        )
    host, port = split_host_port(authority, _DEFAULT_SERVER_PORT, text)
    if not host or not port:
        raise ValueError(f"expected a host and a port from 1 to 65535, such as {_EXAMPLE}; got {shown(text)}")
    return ServerId(f"{host}:{port}")


def _unix_path(text: str) -> str:
    match = _UNIX_PATH.fullmatch(text[len(UNIX) :])
    path = posixpath.normpath(match[1]) if match else "/"
    if path == "/":
        raise ValueError(
            "expected the absolute path of a unix socket, up to 107 letters, digits and ._~@%+=,:/- such as "
            f'"unix:/run/app.sock"; got {shown(text)}'
        )
    return path


def _with_scheme(text: str) -> str:
    try:
        _url_id(f"http://{text}")
    except ValueError:
        return ""
    return f"; did you mean {shown(f'http://{text}')}?"


def split_host_port(authority: str, default_port: int, text: object) -> tuple[str, int]:
    """Split an authority into host, possibly empty, and port; ValueError shows `text` if it is malformed."""
    match = _HOST_PORT.fullmatch(authority)
    if not match:
        hint = "; IPv6 addresses stand in brackets" if authority.count(":") > 1 else ""
        raise ValueError(f"expected host:port; got {shown(text)}{hint}")
    port = default_port if match[2] is None else int(match[2])
    if port > 65535:
        raise ValueError(f"expected a port up to 65535; got {shown(text)}")
    return _host(match[1], text), port


def _host(host: str, text: object) -> str:
    if not host:
        return ""
    if host.startswith("["):
        address = _ip(host[1:-1])
        if isinstance(address, IPv6Address) and address.scope_id is None:
            return str(address.ipv4_mapped or f"[{address}]")
    else:
        name = host.lower().removesuffix(".")
        looks_like_ip = _NUMERIC_LABEL.fullmatch(name.rpartition(".")[2])
        if _ip(name) if looks_like_ip else _HOST_NAME.fullmatch(name):
            return name
    raise ValueError(f"{shown(host)} is neither a host name nor an IP address; got {shown(text)}")


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where to accept connections. No host means every interface, IPv4 and IPv6; port 0 any free port."""

    host: str  # IPv6 without brackets, as sockets take it
    port: int
    path: str = ""  # of a unix socket, which has neither host nor port

    @classmethod
    def parse(cls, value: object) -> ListenAddress:
        """Parse ":8080", "0.0.0.0:8080", "[::1]:8080", "8080", 8080 or "unix:/path"."""
        text = str(value)
        if _is_unix(text):
            return cls("", 0, _unix_path(text))
        if re.fullmatch(r"[0-9]+", text):
            text = f":{text}"
        if not re.search(r":[0-9]+\Z", text):
            raise ValueError(f'expected an address such as ":8080" or "127.0.0.1:8080"; got {shown(value)}')
        host, port = split_host_port(text, 0, value)
        return cls(host.strip("[]"), port)

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return bool(self.path) or is_loopback(self.host)

    def __str__(self) -> str:
        if self.path:
            return f"{UNIX}{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's loopback, without asking a resolver."""
    address = _ip(host)
    return host == "localhost" if address is None else address.is_loopback


def parse_network_address(value: object) -> ListenAddress:
    """Parse as `ListenAddress.parse` does, but refuse a unix socket."""
    address = ListenAddress.parse(value)
    if address.path:
        raise ValueError(f'expected an address such as "127.0.0.1:8081", no unix socket; got {shown(value)}')
    return address


def parse_network(value: object) -> IPv4Network | IPv6Network | Literal["unix:"]:
    """Parse "10.0.0.1" or "10.0.0.0/8", IPv4 or IPv6, or "unix:" for all clients of a unix socket."""
    text = str(value)
    if text == UNIX:
        return "unix:"
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(
            f'expected an IP address or network such as "10.0.0.0/8"; got {shown(value)}'
        ) from None
    if str(network.network_address) != str(ip_address(text.partition("/")[0])):
        raise ValueError(f'{shown(value)} has bits set after its mask; did you mean "{network}"?')
    return network
