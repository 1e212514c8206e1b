"""The end of a connection of which the other side does not know yet that it is the end.

Closing on unread data, or before it comes, would reset the connection and destroy the answer on its way. So
our side ends first, and what still comes is taken and dropped for a while (RFC 9112 §9.6).
"""

from __future__ import annotations

import fcntl
import termios
from array import array

from lb.proxy.stream import Stream, StreamTimeoutError

#: For so long; and again, up to `_TIMES`, while the client goes on to take the answer.
LINGER_SECONDS = 2.0
#: So many receives, too, are the most.
_TIMES = 16


def linger(stream: Stream) -> None:
    """Take what the client still sends, for a while, so that it sees the answer. OSError if it is gone."""
    if stream.closed:
        return
    stream.parked = False  # so whoever stops this worker leaves it the time
    stream.shutdown_write()
    stream.arm(LINGER_SECONDS)
    unsent = _unsent(stream)
    for _ in range(_TIMES):
        try:
            if not stream.receive():
                return
        except StreamTimeoutError:
            before, unsent = unsent, _unsent(stream)
            if not 0 < unsent < before:
                return
            stream.arm(LINGER_SECONDS)


def _unsent(stream: Stream) -> int:
    """Return how many of the bytes that were sent the client's side has not acknowledged."""
    count = array("i", [0])
    fcntl.ioctl(stream.socket.fileno(), termios.TIOCOUTQ, count)
    return count[0]
