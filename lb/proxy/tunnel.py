"""After an upgrade: bytes both ways until both sides have ended, or nothing moves for too long."""

from __future__ import annotations

import gevent

from lb.proxy.stream import Stream


def tunnel(client: Stream, server: Stream, *, idle_seconds: float) -> None:
    """Copy both ways; the end of one direction is passed on while the other goes on (half-close)."""
    upward = gevent.spawn(_copy, client, server, idle_seconds)
    try:
        _copy(server, client, idle_seconds)
        upward.join()
    finally:
        upward.kill()


def _copy(source: Stream, target: Stream, idle_seconds: float) -> None:
    try:
        data, source.buffer = source.buffer, b""
        while True:
            source.arm(idle_seconds)  # traffic in either direction keeps both alive
            target.arm(idle_seconds)
            target.send_all(data)
            data = source.receive()
            if not data:
                break
        target.shutdown_write()
    except OSError:
        source.close()
        target.close()
