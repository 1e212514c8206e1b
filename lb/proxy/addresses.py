"""The addresses of one server: looked up, kept fresh beside the traffic, and in the order to try them."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Collection
from ipaddress import ip_address

import gevent

from lb.errors import ServerConnectError, ServerConnectTimeoutError
from lb.model import ServerId, address_name

#: How long the addresses of a name are used before it is looked up again, and how long one that failed is
#: tried last.
RESOLVE_SECONDS = 30.0

Address = tuple[int, tuple[str, int] | str]  # family, socket address


class Addresses:
    """Where one server can be reached."""

    def __init__(self, server: ServerId) -> None:
        self._server = server
        host, _, port = server.rpartition(":")
        self._known: list[Address] = []
        self._expire_at = float("-inf")  # monotonic seconds; later they are looked up again
        self._lookup: gevent.Greenlet[[], None] | None = None
        self._problem = "no address"
        self._turns = itertools.count()
        self._failed: dict[Address, float] = {}  # until when each is tried last
        #: Those that fail their checks, by `address_name`: used only if no other can be reached.
        self.left_out: Collection[str] = ()
        if server.startswith("unix:"):
            self._known = [(socket.AF_UNIX, server.removeprefix("unix:"))]
            self._expire_at = float("inf")
        elif (literal := _literal(host.strip("[]"), int(port))) is not None:
            self._known = [literal]
            self._expire_at = float("inf")

    def in_order(self, seconds: float) -> list[Address]:
        """Return all addresses in the order to try them: each time another first, those that fail last.

        Only the first look-up is waited for, up to `seconds`; then it is ServerConnectError.
        """
        now = time.monotonic()
        if now >= self._expire_at and self._lookup is None:
            self._lookup = gevent.spawn(self._look_up)
        if not self._known and self._lookup is not None:
            self._lookup.join(seconds)
        if not self._known:
            raise self._unknown(seconds)
        if len(self._known) == 1:
            return self._known
        first = next(self._turns) % len(self._known)
        rotated = self._known[first:] + self._known[:first]
        return sorted(rotated, key=lambda at: (self._is_left_out(at), self._failed.get(at, 0.0) > now))

    def _is_left_out(self, address: Address) -> bool:
        _, place = address
        return not isinstance(place, str) and address_name(*place) in self.left_out

    def failed(self, address: Address) -> None:
        """Note that no connection could be made to an address."""
        if len(self._known) > 1:
            self._failed[address] = time.monotonic() + RESOLVE_SECONDS

    def worked(self, address: Address) -> None:
        """Note that one could."""
        if self._failed:
            self._failed.pop(address, None)

    def _unknown(self, seconds: float) -> ServerConnectError:
        if self._lookup is None:
            return ServerConnectError(f"{self._server}: {self._problem}")
        return ServerConnectTimeoutError(f"{self._server}: the name was not looked up in {seconds:g} s")

    def _look_up(self) -> None:
        host, _, port = self._server.rpartition(":")
        try:
            found = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            self._problem = f"cannot resolve the name: {error}"  # and go on with those that worked
        else:
            addresses: list[Address] = [(family, (str(at[0]), int(at[1]))) for family, _, _, _, at in found]
            self._known = addresses or self._known
            self._failed = {address: until for address, until in self._failed.items() if address in addresses}
        finally:
            if self._known:
                self._expire_at = time.monotonic() + RESOLVE_SECONDS
            self._lookup = None


def _literal(host: str, port: int) -> Address | None:
    try:
        version = ip_address(host).version
    except ValueError:
        return None
    return (socket.AF_INET6 if version == 6 else socket.AF_INET), (host, port)
