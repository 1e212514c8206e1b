"""The admin API's process: serves `lb.api` on a socket that is bound already, until told to stop.

Standard library and greenlets only mix when gevent has patched it first; the command that runs this does so.
"""

from __future__ import annotations

import io
import itertools
import signal
import socket
from contextlib import suppress
from http.client import HTTPException
from typing import Any

import gevent
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer

from lb.api.access import Access
from lb.api.app import create_app
from lb.api.counted import Counted
from lb.config import Config
from lb.config.addresses import is_loopback
from lb.errors import ConfigError, StoreError
from lb.metrics.scoreboard import Scoreboard
from lb.processes.control import Control
from lb.processes.store import fleet_of, metrics_of, pool_of
from lb.proxy.fairness import go_round
from lb.store.metrics import Publisher

_MAX_CLIENTS = 256  # connections; more wait to be accepted
_CLIENT_SECONDS = 30.0  # without a byte from or to the client
_STOP_SECONDS = 2.0  # for requests in flight
_BACKLOG = 128
_READ_BYTES = 2048
_PUBLISH_SECONDS = 1.0
_LOOK_EVERY = 10  # publications: reading what all hosts count costs the store more than being told of one


class _FairReader(io.RawIOBase):
    """What a client sends. Each look for more goes once round the loop: one that is always ready, too."""

    def __init__(self, raw: io.RawIOBase) -> None:
        self._raw = raw

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        go_round()
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Handler(WSGIHandler):
    def handle(self) -> None:
        self.socket.settimeout(_CLIENT_SECONDS)
        # gevent sends head and body apart; a kept connection would wait 40 ms for the body.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A small buffer, as gevent parses what is in it without a pause: 1 ms for chunks of one byte.
        self.rfile = io.BufferedReader(_FairReader(self.rfile.detach()), _READ_BYTES)
        with suppress(ConnectionError):  # it left before it was told what is wrong
            super().handle()

    def _handle_client_error(self, ex: Exception) -> Any:
        """Refuse a request. Whatever ended its head is the client's doing: gevent would log a traceback."""
        known = ValueError(str(ex)) if isinstance(ex, HTTPException | OSError) else ex
        return super()._handle_client_error(known)  # type: ignore[misc]

    def handle_one_request(self) -> Any:
        go_round()  # the next one may be here already
        return super().handle_one_request()


def run(config: Config, listener: socket.socket, control: Control, board: Scoreboard | None = None) -> None:
    """Serve until told to stop or left alone; ConfigError if other machines could come in without a token."""
    host = listener.getsockname()[0]
    if config.admin.token is None and not is_loopback(host):
        raise ConfigError(
            [f"admin.listen: {host} can be reached from other machines, so admin.token must be set"]
        )
    access = Access(config.admin.token, host, config.admin.read_token)
    metrics = metrics_of(config)
    counted = Counted(metrics, Publisher(metrics, board) if board else None)
    app = create_app(pool_of(config), fleet_of(config), access, counted)
    listener.listen(_BACKLOG)
    # No logs of its own: they tell of clients' mistakes, and each client is told those.
    server = WSGIServer(
        listener, app, spawn=Pool(_MAX_CLIENTS), log=None, error_log=None, handler_class=_Handler
    )
    server.start()  # lets other greenlets run, so none may stop the server before it has started
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, server.stop, _STOP_SECONDS)
    control.ready()
    gevent.spawn(_beat, server, control)
    gevent.spawn(_count, counted)
    server.serve_forever(_STOP_SECONDS)
    with suppress(StoreError):
        counted.publish(last=True)  # the workers have ended: all of it


def _beat(server: WSGIServer, control: Control) -> None:
    """Give signs of life until the supervisor is gone, then stop: nobody else would."""
    control.beat_until_lost(gevent.sleep)
    server.stop(_STOP_SECONDS)


def _count(counted: Counted) -> None:
    """Publish what this host counts; now and then also read what all hosts do, for rates and to fold runs."""
    for turn in itertools.count():
        counted.attempt(counted.publish if turn % _LOOK_EVERY else counted.fold_ended)
        gevent.sleep(_PUBLISH_SECONDS)
