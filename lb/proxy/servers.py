"""The servers as a worker's data plane sees them: an id leads to its connections."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Generic, Protocol, TypeAlias, TypeVar

from lb.errors import ServerConnectError
from lb.model import ServerId
from lb.store.values import is_id, printable

#: Gets the members of the pool, and those of their addresses that are used only if no other can be reached.
KeepOnly: TypeAlias = Callable[[Collection[ServerId], Mapping[ServerId, frozenset[str]]], None]


class _Connections(Protocol):
    @property
    def idle_since(self) -> float: ...  # of the connection that is idle for the longest; inf if none is

    def close_oldest(self) -> bool: ...

    def close(self) -> None: ...


_ConnectionsT = TypeVar("_ConnectionsT", bound=_Connections)


class Servers(Generic[_ConnectionsT]):
    """Connections by server id. An id is an address, so a server never seen before needs no look-up."""

    def __init__(self, make: Callable[[ServerId], _ConnectionsT]) -> None:
        self._make = make
        self._connections: dict[ServerId, _ConnectionsT] = {}
        self._left_out: Mapping[ServerId, frozenset[str]] = {}

    def __call__(self, server: ServerId) -> _ConnectionsT:
        """Return the connections to a server that was picked; ServerConnectError if it can be none."""
        connections = self._connections.get(server)
        if connections is None:
            if not is_id(server):  # whatever the store gave out, the client gets an answer
                raise ServerConnectError(f"{printable(server)}: no such server")
            connections = self._connections[server] = self._make(server)
        return connections

    def close_oldest(self) -> bool:
        """Close the connection that is idle for the longest; False if none is."""
        connections = min(list(self._connections.values()), key=lambda c: c.idle_since, default=None)
        return connections is not None and connections.close_oldest()

    def left_out(self, server: ServerId) -> frozenset[str]:
        """Return the addresses of a server that are used only if no other of it can be reached."""
        return self._left_out.get(server, frozenset())

    def keep_only(
        self, members: Collection[ServerId], left_out: Mapping[ServerId, frozenset[str]] | None = None
    ) -> None:
        """Close what is kept open to servers that left the pool; requests in flight go on.

        The same to those of which other addresses are left out from now on.
        """
        before, self._left_out = self._left_out, left_out or {}
        for server in list(self._connections):
            if server not in members or before.get(server) != self._left_out.get(server):
                self._connections.pop(server).close()
