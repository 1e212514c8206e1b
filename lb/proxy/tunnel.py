"""After an upgrade: bytes both ways until both sides have ended, or nothing moves for too long."""

from __future__ import annotations

import gevent

from lb.proxy.stream import Stream, StreamTimeoutError


def tunnel(client: Stream, server: Stream, *, idle_seconds: float, half_closed_seconds: float) -> None:
    """Copy both ways; the end of one direction is passed on while the other goes on (half-close).

    Once a side has ended, the other may be silent for `half_closed_seconds` only: mostly nobody is there.
    """
    both = _Tunnel(client, idle_seconds, min(idle_seconds, half_closed_seconds))
    upward = gevent.spawn(both.copy, client, server)
    try:
        if both.copy(server, client):
            upward.join()
    finally:
        upward.kill()


class _Tunnel:
    def __init__(self, client: Stream, idle_seconds: float, half_closed_seconds: float) -> None:
        self._client = client
        self._idle_seconds = idle_seconds
        self._half_closed_seconds = half_closed_seconds

    def copy(self, source: Stream, target: Stream) -> bool:
        """Copy one way until its end; False if it failed, which is the end of the other way too."""
        try:
            data, source.buffer = source.buffer, b""
            while True:
                self._arm(source, target)
                target.patience_seconds = self._idle_seconds
                if not _sent(target, data):
                    break
                data = self._receive(source, target)
                if not data:
                    target.shutdown_write()
                    break
            self._idle_seconds = self._half_closed_seconds
            self._arm(source, target)  # the other way waits on them already
            source.arm_write(self._idle_seconds)
        except OSError as error:
            source.close()
            if target is not self._client or not isinstance(error, ConnectionResetError):
                target.close()
            # else the client, which may be sending, is left its time to read what the server had said
            return False
        return True

    def _receive(self, source: Stream, target: Stream) -> bytes:
        while True:
            try:
                return source.receive()
            except StreamTimeoutError:
                if not source.sending:
                    raise
                self._arm(source, target)  # the other way moves, or ends by its own time-out

    def _arm(self, source: Stream, target: Stream) -> None:
        """Note that something moved: while traffic goes one way, silence the other way is no absence."""
        source.arm(self._idle_seconds)
        target.arm(self._idle_seconds)


def _sent(target: Stream, data: bytes) -> bool:
    """Send; False if the target takes no more. What it said before that is for the other way to pass on."""
    try:
        target.send_all(data)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True
