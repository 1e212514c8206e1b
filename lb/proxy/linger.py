"""The end of a connection of which the other side does not know yet that it is the end.

Closing on unread data, or before it comes, would reset the connection and destroy the answer on its way. So
our side ends first, and what still comes is taken and dropped for a while (RFC 9112 §9.6).
"""

from __future__ import annotations

from lb.proxy.stream import Stream, StreamTimeoutError

#: For so long, …
LINGER_SECONDS = 2.0
#: … and again, so often at most, while the client goes on to take the answer; …
_TIMES = 16
#: … each time no more than this is dropped.
_MOST_BYTES = 1 << 20


def linger(stream: Stream) -> None:
    """Take what the client still sends, for a while, so that it sees the answer. OSError if it is gone."""
    if stream.closed:
        return
    stream.parked = False  # so whoever stops this worker leaves it the time
    stream.lingers = True  # until it has all of the answer, or while it sends
    stream.shutdown_write()
    unsent = stream.unacknowledged()
    for _ in range(_TIMES):
        stream.arm(LINGER_SECONDS)
        try:
            _drop(stream)
        except StreamTimeoutError:
            before, unsent = unsent, stream.unacknowledged()
            if 0 < unsent < before:
                continue
        return


def _drop(stream: Stream) -> None:
    left = _MOST_BYTES
    while left > 0 and (data := stream.receive()):
        stream.lingers = False
        left -= len(data)
