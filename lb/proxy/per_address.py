"""How many connections each address of a client may hold at the same time."""

from __future__ import annotations

import socket
from collections.abc import Callable

#: So the address of an IPv4 client begins where one socket is for IPv6 and IPv4.
IPV4_MAPPED = "::ffff:"
_IPV6_NETWORK_BYTES = 8  # a /64: one customer's, who can use each address in it


class PerAddress:
    """Counts connections by address, IPv6 by /64. Unix sockets and exempt addresses are not."""

    def __init__(self, most: int, exempt: Callable[[str], bool]) -> None:
        self.most = most
        self._exempt = exempt
        self._counts: dict[str | bytes, int] = {}

    def enter(self, host: str) -> bool:
        """Count a connection; False, and it is not counted, if its address has enough."""
        key = self._key(host)
        if key is None:
            return True
        count = self._counts.get(key, 0)
        if count >= self.most:
            return False
        self._counts[key] = count + 1
        return True

    def leave(self, host: str) -> None:
        """Take off a connection that has entered."""
        key = self._key(host)
        if key is None:
            return
        self._counts[key] -= 1
        if not self._counts[key]:
            del self._counts[key]

    def _key(self, host: str) -> str | bytes | None:
        if not host or self._exempt(host):
            return None
        return network_of(host)


def network_of(host: str) -> str | bytes:
    """Return what all addresses of one client have in common: an IPv4 address, or the /64 of an IPv6 one."""
    host = host.removeprefix(IPV4_MAPPED)
    if ":" not in host:
        return host
    return socket.inet_pton(socket.AF_INET6, host.partition("%")[0])[:_IPV6_NETWORK_BYTES]
