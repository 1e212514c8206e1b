"""The clients that are idle between two requests or after the last: those to close when others need room."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from heapq import nsmallest

from lb.proxy.deadlines import Deadlines
from lb.proxy.stream import Stream

#: Idle for less, a client may have its next request on the way already: closing would lose that. What a
#: client meets after it is what it meets when `keepAlive` ends.
SHORTEST_SECONDS = 1.0
#: Found in one pass over all clients, which takes 1 ms for 10,000; there is one each time-out sweep at most.
_FOUND = 1024


class IdleClients:
    """Closes idle clients, the oldest first. A client that has begun a request is not idle."""

    def __init__(self, clients: Collection[Stream], deadlines: Deadlines, keep_alive_seconds: float) -> None:
        self._clients = clients
        self._deadlines = deadlines
        self._keep_alive_seconds = keep_alive_seconds
        self._looked = 0.0  # when the last pass was
        self._found: deque[tuple[Stream, float]] = deque()  # with their deadlines, which tell since when

    def close_oldest(self) -> Stream | None:
        """Close the one that is idle for the longest and return it; None if none is idle for long enough."""
        stream = self._oldest()
        if stream is not None:
            stream.close()
        return stream

    def _oldest(self) -> Stream | None:
        if not self._found:
            self._find()
        while self._found:
            stream, deadline = self._found.popleft()
            if stream.deadline == deadline and _is_idle(stream) and stream.quiet():
                return stream
        return None

    def _find(self) -> None:
        if self._looked == self._deadlines.now:
            return
        self._looked = self._deadlines.now
        latest = self._deadlines.now + self._keep_alive_seconds - SHORTEST_SECONDS
        idle = [stream for stream in self._clients if stream.deadline <= latest and _is_idle(stream)]
        oldest = nsmallest(_FOUND, idle, key=lambda stream: stream.deadline)
        self._found.extend((stream, stream.deadline) for stream in oldest)


def _is_idle(stream: Stream) -> bool:
    if not stream.waits or stream.closed:
        return False
    return stream.parked or (stream.lingers and not stream.unacknowledged())
