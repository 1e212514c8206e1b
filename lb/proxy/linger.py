"""The lingering close: the end of a connection whose client may still be sending (RFC 9112 §9.6).

A close with unread input, or before more of it comes, resets the connection, and a reset destroys an answer
that is on its way or not read yet: a client that writes all of its body before it reads would never see why
it was refused. So our side ends first, and what still comes is dropped until the client has ended its side.
Time bounds that, as in nginx, and the number of such clients bounds what they cost the others.
"""

from __future__ import annotations

from time import monotonic

import gevent

from lb.proxy.stream import Stream, StreamTimeoutError

#: A client that was silent for this long sends no more, so a close resets nothing.
SILENCE_SECONDS = 5.0
#: A client that sends for this long after the answer is given up, unless it still takes the answer.
LINGER_SECONDS = 30.0
#: One receive of what is dropped …
_RECEIVE_BYTES = 262144
#: … after which each of n lingering clients waits for n times this: all together take a tenth of a processor.
_PAUSE_SECONDS = 0.0005


class LingeringClose:
    """Ends connections whose clients may be sending; the oldest at once if there are more than `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._streams: dict[Stream, None] = {}  # the oldest first

    def linger(self, stream: Stream, *, sending: bool = False) -> None:
        """End our side, and drop what comes until the client has ended its own; OSError if it is gone.

        `sending` says that there is more to come for certain, such as the rest of a body.
        """
        if stream.closed:
            return
        if len(self._streams) >= self._most:
            oldest = next(iter(self._streams))
            del self._streams[oldest]
            oldest.close()
        self._streams[stream] = None
        stream.parked = False  # so whoever stops this worker leaves it the time
        stream.lingers = not sending  # until it has all of the answer, or while it sends
        stream.buffer = b""
        stream.shutdown_write()
        try:
            self._drop(stream)
        finally:
            self._streams.pop(stream, None)

    def _drop(self, stream: Stream) -> None:
        unsent = stream.unacknowledged()
        ends = monotonic() + LINGER_SECONDS
        while True:
            stream.arm(SILENCE_SECONDS)
            try:
                silent = False
                if not stream.receive_later(_RECEIVE_BYTES):
                    return
                stream.lingers = False
            except StreamTimeoutError:
                silent = True
            if silent or monotonic() > ends:
                before, unsent = unsent, stream.unacknowledged()
                if not 0 < unsent < before:
                    return  # it has all of the answer, or takes no more of it
                ends = monotonic() + LINGER_SECONDS
            if not silent:
                gevent.sleep(_PAUSE_SECONDS * len(self._streams))
