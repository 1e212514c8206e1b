"""The URL of a store: a server, a socket, the primary that sentinels name, or a node of a cluster.

    redis://[user:password@]host[:6379][/db]              rediss:// is the same through TLS
    unix:///path[?db=1]
    redis+sentinel://[user:password@]host[:26379],…/service[/db]       rediss+sentinel:// through TLS
    redis+cluster://[user:password@]host[:6379],…                      rediss+cluster:// through TLS

Whatever has no place of its own is an option after "?". Special characters are written as %XX. No error
message shows a password.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import parse_qsl, unquote

from lb.config.addresses import split_host_port
from lb.config.values import nearest, shown

_FORMS = '"redis://localhost:6379/0", "redis+sentinel://host1,host2,host3/service" or "unix:///path"'
_SCHEME = re.compile(r"(redis|rediss)(?:\+(sentinel|cluster))?|unix")

_CREDENTIALS = frozenset({"username", "password"})
_TLS = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname", "ssl_cert_reqs"})
_SENTINEL = frozenset({"sentinel_username", "sentinel_password", "sentinel_tls"})
_VALUES = {
    "ssl_check_hostname": ("true", "false"),
    "ssl_cert_reqs": ("required", "none"),
    "sentinel_tls": ("true", "false"),
}

_USER_PASSWORD = re.compile(r"(?<=://)([^:@/]*):.*@")
_QUERY_PASSWORD = re.compile(r"([?&](?:sentinel_)?password=)[^&]*")


class Engine(StrEnum):
    """The kind of a store, which determines how its primary is found."""

    SERVER = "server"
    SOCKET = "socket"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


_DEFAULT_PORTS = {Engine.SERVER: 6379, Engine.SENTINEL: 26379, Engine.CLUSTER: 6379}


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """The parts of a store's URL. `str()` is the URL without credentials and options."""

    engine: Engine
    tls: bool
    hosts: tuple[tuple[str, int], ...]  # IPv6 without brackets, as sockets take it; none for a socket
    path: str  # of the socket; otherwise empty
    service: str  # whose primary the sentinels name; otherwise empty
    db: int
    username: str | None
    password: str | None = field(repr=False)
    options: Mapping[str, str] = field(repr=False)

    def __str__(self) -> str:
        if self.engine is Engine.SOCKET:
            return f"unix://{self.path}"
        scheme = "rediss" if self.tls else "redis"
        places = ",".join(host_port(*place) for place in self.hosts)
        match self.engine:
            case Engine.SENTINEL:
                return f"{scheme}+sentinel://{places}/{self.service}/{self.db}"
            case Engine.CLUSTER:
                return f"{scheme}+cluster://{places}"
        return f"{scheme}://{places}/{self.db}"


def host_port(host: str, port: int) -> str:
    """Return `host:port`, with an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def masked(url: str) -> str:
    """Return a URL that may be shown to people, with `***` in place of its passwords."""
    return _QUERY_PASSWORD.sub(r"\1***", _USER_PASSWORD.sub(r"\1:***@", url))


def check_store_url(text: str) -> str:
    """Return a store's URL unchanged; ValueError says what is wrong with it."""
    parse_store_url(text)
    return text


def parse_store_url(text: str) -> StoreUrl:
    """Split a store's URL into its parts; ValueError says what is wrong with it, and where."""
    scheme, separator, rest = text.partition("://")
    match = _SCHEME.fullmatch(scheme.lower())
    if not separator or not match or re.search(r"\s", text):
        raise ValueError(f"expected a store's URL such as {_FORMS}; {_got(text)}{_scheme_hint(text)}")
    place, _, query = rest.partition("?")
    try:
        if scheme.lower() == "unix":
            return _socket(place, query)
        engine = Engine(match[2] or "server")
        return _remote(engine, place, query, tls=match[1] == "rediss")
    except ValueError as error:
        raise ValueError(f"{error}; {_got(text)}") from None


def _socket(place: str, query: str) -> StoreUrl:
    user_info, slash, path = place.partition("/")
    if not path or (user_info and not user_info.endswith("@")):
        raise ValueError("expected a store's URL such as unix:///path, with three slashes")
    options = _options(query, {*_CREDENTIALS, "db"}, "a socket")
    username, password = _credentials(user_info.removesuffix("@"), options)
    db = _database(options.pop("db", ""))
    return StoreUrl(Engine.SOCKET, False, (), unquote(slash + path), "", db, username, password, options)


def _remote(engine: Engine, place: str, query: str, *, tls: bool) -> StoreUrl:
    user_info, _, place = place.rpartition("@")
    authority, _, path = place.partition("/")
    known = _CREDENTIALS | (_TLS if tls else set()) | (set() if engine is Engine.CLUSTER else {"db"})
    if engine is Engine.SENTINEL:
        known |= _SENTINEL | _TLS
    options = _options(query, known, f"redis{'s' * tls}{'' if engine is Engine.SERVER else f'+{engine}'}://")
    username, password = _credentials(user_info, options)
    service, db = _service_and_database(engine, path, options.pop("db", ""))
    return StoreUrl(engine, tls, _hosts(engine, authority), "", service, db, username, password, options)


def _hosts(engine: Engine, authority: str) -> tuple[tuple[str, int], ...]:
    names = authority.split(",")
    if len(names) > 1 and engine is Engine.SERVER:
        raise ValueError("expected a store's URL of one host, or redis+sentinel://, or redis+cluster://")
    hosts = []
    for name in names:
        try:
            host, port = split_host_port(name, _DEFAULT_PORTS[engine], name)
        except ValueError:
            host, port = "", 0
        if not host or not port:
            raise ValueError("expected a store's URL with a host, or host:port, in each place")
        hosts.append((host.strip("[]"), port))
    return tuple(hosts)


def _service_and_database(engine: Engine, path: str, option: str) -> tuple[str, int]:
    parts = [unquote(part) for part in path.removesuffix("/").split("/")]
    service = ""
    if engine is Engine.SENTINEL:
        service, *parts = parts
        if not service:
            raise ValueError(
                "expected the service's name behind the sentinels, as in redis+sentinel://host1,host2/mymaster"
            )
    if len(parts) > 1:
        raise ValueError("a store's URL ends after the database's number")
    db = _database(option or "".join(parts))
    if engine is Engine.CLUSTER and db:
        raise ValueError("a cluster has database 0 only")
    return service, db


def _database(text: str) -> int:
    if not re.fullmatch(r"[0-9]{0,5}", text):
        raise ValueError("expected the database as a number")
    return int(text or 0)


def _credentials(user_info: str, options: dict[str, str]) -> tuple[str | None, str | None]:
    username, _, password = user_info.partition(":")
    return (
        unquote(username) or options.pop("username", None),
        unquote(password) or options.pop("password", None),
    )


def _options(query: str, known: Collection[str], what: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name not in known:
            hint = f", did you mean {near}?" if (near := nearest(name, known)) else ""
            # A password with a "?" in it ends up in the query, and must not be shown.
            wrong = shown(name) if re.fullmatch(r"\w+", name) and "@" not in query else "what follows the ?"
            raise ValueError(
                f"{wrong} is no option of {what}; expected one of {', '.join(sorted(known))}{hint}"
            )
        if value not in _VALUES.get(name, (value,)):
            raise ValueError(f"{name}: expected {' or '.join(_VALUES[name])}, not {shown(value)}")
    return options


def _got(text: str) -> str:
    return f"got {shown(_hide_password(text))}"


def _hide_password(text: str) -> str:
    """Cut off the query, and hide everything before the last "@", as the text may be malformed anywhere."""
    scheme, separator, _ = text.partition("://")
    place, _, query = text.partition("?")
    if "@" in query:
        return f"{scheme}://***" if separator else "***"
    return re.sub(r"\A(\w[\w+]*://)?.*@", r"\1***@", place, flags=re.DOTALL)


def _scheme_hint(text: str) -> str:
    if "://" in text:
        return ""
    try:
        parse_store_url(f"redis://{text}")
    except ValueError:
        return ""
    return '; did you forget "redis://"?'
