"""What a store says to who connects and is not let in: it closes at once, so the word is easily lost."""

from __future__ import annotations

import re
from contextlib import closing, suppress
from typing import Any

import redis

_WAIT_SECONDS = 0.2
#: How redis-py reports a connection that was made, and then ended by the store.
_HUNG_UP = re.compile(r"Error \d+ while (?:writing|reading)|Connection closed by server|Connection reset")
_TOO_MANY = "max number of clients reached"


def refusal(error: Exception, client: redis.Redis) -> str:
    """Return why the store lets nobody in, in its own words; empty if that is not what the error means."""
    if _TOO_MANY in str(error):
        return _TOO_MANY
    return _heard(client) if _HUNG_UP.search(str(error)) else ""


def _heard(client: redis.Redis) -> str:
    """Connect without saying anything, and listen whether the store has an error for that."""
    pool = client.connection_pool
    with suppress(OSError, redis.RedisError):
        connection: Any = pool.connection_class(**pool.connection_kwargs)
        with closing(connection._connect()) as sock:
            sock.settimeout(_WAIT_SECONDS)
            said: bytes = sock.recv(512)
            if said.startswith(b"-"):
                line = said[1:].partition(b"\r\n")[0].decode(errors="replace")
                return line.removeprefix("ERR ")
    return ""
