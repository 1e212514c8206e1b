"""After an upgrade: bytes both ways until both sides have ended, or nothing moves for too long."""

from __future__ import annotations

import gevent

from lb.proxy.stream import Stream


def tunnel(client: Stream, server: Stream, *, idle_seconds: float, half_closed_seconds: float) -> None:
    """Copy both ways; the end of one direction is passed on while the other goes on (half-close).

    Once a side has ended, the other may be silent for `half_closed_seconds` only: mostly nobody is there.
    """
    both = _Tunnel(idle_seconds, min(idle_seconds, half_closed_seconds))
    upward = gevent.spawn(both.copy, client, server)
    try:
        both.copy(server, client)
        upward.join()
    finally:
        upward.kill()


class _Tunnel:
    def __init__(self, idle_seconds: float, half_closed_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._half_closed_seconds = half_closed_seconds

    def copy(self, source: Stream, target: Stream) -> None:
        """Copy one way until its end."""
        try:
            data, source.buffer = source.buffer, b""
            while True:
                self._arm(source, target)
                target.send_all(data)
                data = source.receive()
                if not data:
                    break
            target.shutdown_write()
            self._idle_seconds = self._half_closed_seconds
            self._arm(source, target)  # the other way waits on them already
        except OSError:
            source.close()
            target.close()

    def _arm(self, source: Stream, target: Stream) -> None:
        """Note that something moved: traffic in either direction keeps both alive."""
        source.arm(self._idle_seconds)
        target.arm(self._idle_seconds)
