"""Looks names up within a limit of time, as a resolver may hang for longer than anybody can wait."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import Any, TypeAlias

import gevent

from lb.health.words import NO_SUCH_NAME

#: Where to connect to: the family of a socket, and the address that its `connect` takes.
Place: TypeAlias = tuple[int, tuple[Any, ...] | str]


class Names:
    """The look-ups that are under way, and what the last ones found.

    Who is tired of waiting leaves a look-up behind, and the next one who asks for that name waits for the
    same: each holds one of the few threads that gevent has for all of a process.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], list[Place]] = {}
        self._lookups: dict[tuple[str, int], gevent.Greenlet[[str, int], list[Place] | OSError]] = {}

    def last_known(self, host: str, port: int) -> list[Place]:
        """Return the places that were found last; none if the name has never been found."""
        return self._known.get((host, port), [])

    def places(self, host: str, port: int, seconds: float) -> list[Place]:
        """Return all places of a host; TimeoutError if that takes longer, gaierror if its name has none."""
        if (literal := _literal(host, port)) is not None:
            return [literal]
        lookup = self._lookups.get((host, port))
        if lookup is None:
            lookup = self._lookups[host, port] = gevent.spawn(_look_up, host, port)
            lookup.rawlink(lambda _: self._lookups.pop((host, port)))
        lookup.join(seconds)
        if not lookup.ready():
            raise TimeoutError
        found = lookup.get()
        if isinstance(found, OSError):
            raise found
        self._known[host, port] = found
        return found


def _literal(host: str, port: int) -> Place | None:
    try:
        version = ip_address(host).version
    except ValueError:
        return None
    return (socket.AF_INET6 if version == 6 else socket.AF_INET), (host, port)


def _look_up(host: str, port: int) -> list[Place] | OSError:
    """Return an error instead of raising it, which gevent would print."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:  # a label that is too long, or empty
        return socket.gaierror(socket.EAI_NONAME, str(error))
    except OSError as error:
        return error
    places = dict.fromkeys((family, address) for family, _, _, _, address in found)
    return list(places) or socket.gaierror(socket.EAI_NONAME, "the name has no address")


def is_literal(host: str) -> bool:
    """Whether it is an address and no name."""
    return _literal(host, 0) is not None


def is_gone(error: OSError) -> bool:
    """Whether a look-up failed because there is no such name any more, rather than for want of an answer."""
    return isinstance(error, socket.gaierror) and error.errno in NO_SUCH_NAME
