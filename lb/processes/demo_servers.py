"""Servers to try the balancer with: those of the config on this machine, each answering with its name."""

from __future__ import annotations

import hashlib
import logging
import signal
import socket
from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent import pywsgi
from gevent.event import Event

from lb.config import Config, ListenAddress
from lb.errors import LBError
from lb.model import ServerSpec
from lb.processes.control import Control
from lb.processes.sockets import SERVERS_SETTING, bind_each, listen

_log = logging.getLogger(__name__)

_WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
_CHUNK_BYTES = 64 * 1024
_STOP_SECONDS = 1.0


def run(config: Config, control: Control) -> None:
    """Serve as each configured server of this machine until SIGTERM or SIGINT. LBError if a port is taken."""
    listeners = {spec.id: _listen(spec) for spec in config.servers}
    if not any(listeners.values()):
        raise LBError("the config names no server on this machine; add some, such as http://localhost:5001")
    servers = [
        pywsgi.WSGIServer(sock, application(name), log=None)
        for name, socks in listeners.items()
        for sock in socks
    ]
    for server in servers:
        server.start()
    _log.info("serving as %s", ", ".join(name for name, socks in listeners.items() if socks))
    control.ready()
    _wait_for_the_end(control)
    gevent.joinall([gevent.spawn(server.stop, timeout=_STOP_SECONDS) for server in servers])


def application(name: str) -> _WsgiApp:
    """Return a WSGI application that says who it is, and of a body how long it was and its SHA-256."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # What follows an upgrade request has no end, and is not a body.
        has_end = environ["wsgi.input_terminated"]
        length, digest = _digest(environ["wsgi.input"]) if has_end else (0, "")
        text = f"server {name}\n" + (f"received {length} bytes, sha256 {digest}\n" if length else "")
        body = text.encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]

    return answer


def _digest(stream: Any) -> tuple[int, str]:
    length, digest = 0, hashlib.sha256()
    while chunk := stream.read(_CHUNK_BYTES):
        length += len(chunk)
        digest.update(chunk)
    return length, digest.hexdigest()


def _listen(spec: ServerSpec) -> list[socket.socket]:
    listeners = bind_each(ListenAddress.parse(spec.id), SERVERS_SETTING)
    for listener in listeners:
        if listener.family != socket.AF_UNIX:
            # Head and body go out apart: on a kept connection the body would wait 40 ms for an ACK.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listen(listener, SERVERS_SETTING)
    if not listeners:
        _log.warning("%s is not on this machine, leaving it out", spec.id)
    return listeners


def _wait_for_the_end(control: Control) -> None:
    told = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, told.set)
    gevent.spawn(control.beat_until_lost, gevent.sleep).link(lambda _: told.set())
    told.wait()
