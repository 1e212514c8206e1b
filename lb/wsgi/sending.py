"""Sends a request's body to a server that may answer before it has taken all of it."""

from __future__ import annotations

import select
import socket

from gevent import monkey

# The system's own: gevent's would wait for a turn of the hub.
_look = monkey.get_original("select", "poll")
_IN, _OUT = 1, 4  # POLLIN and POLLOUT

#: A server that has answered may still read the request; not if it takes nothing for this long.
_ANSWERED_SECONDS = 1.0


def send_unless_answered(sock: socket.socket, data: bytes, seconds: float) -> None:
    """Send all of `data`; BrokenPipeError if the server has answered or left, and takes no more of it.

    TimeoutError if it takes nothing for `seconds`, and says nothing.
    """
    rest = memoryview(data)
    while rest:
        if not _ready(_look(), sock, _OUT, 0):
            _wait(sock, seconds)
        rest = rest[sock.send(rest) :]


def _wait(sock: socket.socket, seconds: float) -> None:
    ready = _ready(select.poll(), sock, _IN | _OUT, seconds)
    if not ready:
        raise TimeoutError("the server takes nothing")
    if ready & _OUT:
        return
    answered = _answered(sock)
    if not _ready(select.poll(), sock, _OUT, min(_ANSWERED_SECONDS, seconds) if answered else seconds):
        if answered:
            raise BrokenPipeError("the server does not wait for the rest of the request")
        raise TimeoutError("the server takes nothing")


def _ready(poll: select.poll, sock: socket.socket, wanted: int, seconds: float) -> int:
    poll.register(sock.fileno(), wanted)
    return sum(events for _, events in poll.poll(seconds * 1000))


def _answered(sock: socket.socket) -> bool:
    """Whether what can be read is more than an interim response, or the beginning of one."""
    try:
        begun = sock.recv(10, socket.MSG_PEEK)
    except OSError:
        return True
    return not (begun and b"HTTP/1.1 1".startswith(begun.replace(b"/1.0", b"/1.1")))
