"""The admin API's process: serves `lb.api` on a socket that is bound already, until told to stop.

Standard library and greenlets only mix when gevent has patched it first; the command that runs this does so.
"""

from __future__ import annotations

import itertools
import signal
import socket
from contextlib import suppress

import gevent
from gevent.pool import Pool

from lb.api.access import Access
from lb.api.app import create_app
from lb.api.counted import Counted
from lb.config import Config
from lb.config.addresses import is_loopback
from lb.errors import ConfigError, StoreError
from lb.metrics.scoreboard import Scoreboard
from lb.processes.api_gate import Gate
from lb.processes.api_http import Server
from lb.processes.control import Control
from lb.processes.store import fleet_of, metrics_of, pool_of
from lb.proxy.descriptors import allowed
from lb.store.metrics import Publisher

_STOP_SECONDS = 2.0  # for requests in flight
_BACKLOG = 128
_PUBLISH_SECONDS = 1.0
_LOOK_EVERY = 10  # publications: reading what all hosts count costs the store more than being told of one


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
    server = Server(listener, app, Gate.within(allowed(config.limits.clients)), spawn=Pool())
    server.start()  # lets other greenlets run, so none may stop the server before it has started
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, server.stop, _STOP_SECONDS)
    control.ready()
    gevent.spawn(_beat, server, control)
    gevent.spawn(_count, counted)
    server.serve_forever(_STOP_SECONDS)
    with suppress(StoreError):
        counted.publish(last=True)  # the workers have ended: all of it


def _beat(server: Server, control: Control) -> None:
    """Give signs of life until the supervisor is gone, then stop: nobody else would."""
    control.beat_until_lost(gevent.sleep)
    server.stop(_STOP_SECONDS)


def _count(counted: Counted) -> None:
    """Publish what this host counts; now and then also read what all hosts do, for rates and to fold runs."""
    for turn in itertools.count():
        counted.attempt(counted.publish if turn % _LOOK_EVERY else counted.fold_ended)
        gevent.sleep(_PUBLISH_SECONDS)
