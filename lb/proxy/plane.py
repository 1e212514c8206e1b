"""The data plane of one worker, put together from its parts."""

from __future__ import annotations

import math
import socket
from collections.abc import Collection, Mapping
from functools import partial

import gevent

from lb.config import Config
from lb.model import ServerId
from lb.proxy.acceptor import Acceptor
from lb.proxy.access_log import AccessLog
from lb.proxy.additions import Additions, trusts
from lb.proxy.addresses import Addresses
from lb.proxy.attempt import Attempts, AttemptSettings
from lb.proxy.client import Client
from lb.proxy.client_loop import ClientLoop, ClientSettings
from lb.proxy.connections import ServerConnections
from lb.proxy.deadlines import Deadlines
from lb.proxy.descriptors import allowed, budget
from lb.proxy.exchange import Meters, Unmetered
from lb.proxy.forward import Forwarder, ForwardSettings
from lb.proxy.headers import header_settings
from lb.proxy.http1 import HeadParser
from lb.proxy.idle_clients import IdleClients
from lb.proxy.per_address import PerAddress
from lb.proxy.refusals import Refusals
from lb.proxy.relay import Relay
from lb.proxy.servers import Servers
from lb.proxy.stream import Stream
from lb.store.lease_line import LeaseLine

_DRAIN_TURN_SECONDS = 0.02
#: How long a client whose connection is kept open may still send a request to a worker that stops.
_LAST_REQUEST_SECONDS = 1.0


class DataPlane:
    """Everything between a listening socket and the servers."""

    def __init__(
        self, config: Config, line: LeaseLine, listener: socket.socket, meters: Meters | None = None
    ) -> None:
        meters = meters or Unmetered()
        self._config = config
        self._budget = budget(config.limits.clients, allowed(config.limits.clients))
        self._ending = False  # each client gets one more response
        self._deadlines = Deadlines()
        self._servers = Servers(self._connections)
        self._addresses: dict[ServerId, Addresses] = {}  # they outlive the connections to them
        self._headers = headers = header_settings(config)
        heads = self._heads = HeadParser(config.limits.header_count, headers)
        self._additions = Additions(headers)
        self._access_log = access_log = _access_log(config)
        self._relay = Relay(
            meters,
            idle_seconds=config.timeouts.idle_seconds,
            tunnel_seconds=config.timeouts.tunnel_seconds,
            id_in_response=headers.request_id_in_response,
        )
        attempts = Attempts(line, self._servers, heads, meters, _attempt_settings(config))
        forwarder = Forwarder(line, attempts, self._relay, meters, _forward_settings(config), access_log)
        self._refusals = Refusals(meters.answers)
        self._clients = ClientLoop(
            heads,
            self._additions,
            forwarder.forward,
            meters,
            _client_settings(config, self._budget.clients),
            access_log,
            self._refusals,
        )
        self._acceptor = self._make_acceptor(listener, meters)

    def _make_acceptor(self, listener: socket.socket, meters: Meters) -> Acceptor:
        config = self._config
        clients: set[Stream] = set()
        idle = IdleClients(clients, self._deadlines, config.timeouts.keep_alive_seconds)
        most = config.limits.clients_per_address
        return Acceptor(
            listener,
            lambda sock: Stream(sock, self._deadlines),
            self._serve,
            meters,
            make_room=idle.close_oldest,
            press=self._press,
            clients=clients,
            max_clients=self._budget.clients,
            per_address=PerAddress(most, partial(trusts, config.trusted_proxies)) if most else None,
            turn_away=self._clients.turn_away,
        )

    def start(self) -> None:
        """Begin to accept clients."""
        if self._access_log is not None:
            self._access_log.start()
        self._acceptor.start()

    def stop(self, seconds: float) -> int:
        """Let requests in flight finish for up to `seconds`, accept no more; return how many were cut."""
        self._ending = self._relay.stopping = True
        gevent.get_hub().loop.run_callback(self._acceptor.let_in)
        gevent.sleep(0)  # they come in
        self._acceptor.stop()
        deadline = self._deadlines.now + seconds
        # Who is between two requests may be about to send one: it gets its response, and is told to go.
        self._wait_for_clients(min(seconds, _LAST_REQUEST_SECONDS))
        self._clients.stopping = True
        self._close_idle()
        gevent.sleep(0)  # they end
        left = self._wait_for_clients(deadline - self._deadlines.now)
        if self._access_log is not None:
            self._clients.give_up()
            self._access_log.close()
        return left

    def look(self) -> None:
        """Look whether all is well with what was answered; about once a second."""
        self._refusals.look()

    def reopen_log(self) -> None:
        """Write the access log to a new file of its name, as the old one has been renamed."""
        if self._access_log is not None:
            self._access_log.reopen()

    def retire(self, seconds: float) -> int:
        """Accept no more, and give each client one more response, which tells it to connect anew.

        So no request meets a connection that is closing. A client that sends none is closed by `keepAlive`.
        Returns how many are left after `seconds`.
        """
        self._acceptor.stop()
        self._ending = self._relay.stopping = True
        return self._wait_for_clients(seconds)

    def _wait_for_clients(self, seconds: float) -> int:
        deadline = self._deadlines.now + seconds
        while self._acceptor.clients and self._deadlines.now < deadline:
            if self._clients.stopping:
                self._close_idle()
            gevent.sleep(_DRAIN_TURN_SECONDS)
        return len(self._acceptor.clients)

    def _close_idle(self) -> None:
        """Close who says nothing between two requests, or past the last one with all of its answer."""
        for stream in self._acceptor.clients:
            idle = stream.waits and stream.quiet()
            if idle and (stream.parked or (stream.lingers and not stream.unacknowledged())):
                stream.close()

    def keep_only(
        self, members: Collection[ServerId], left_out: Mapping[ServerId, frozenset[str]] | None = None
    ) -> None:
        """Close what is kept open to servers that left the pool, or to addresses that are left out."""
        self._servers.keep_only(members, left_out)
        self._addresses = {server: known for server, known in self._addresses.items() if server in members}

    def _press(self, waiting: bool) -> None:  # noqa: FBT001 (it is all there is to tell)
        """Have clients leave after their next response while others wait for room, or no longer."""
        self._relay.stopping = waiting or self._ending

    def _before_connecting(self) -> None:
        """Keep what is open to servers within its share, as there will be one more."""
        if len(self._deadlines.streams) - len(self._acceptor.clients) >= self._budget.servers:
            self._servers.close_oldest()

    def _serve(self, stream: Stream, address: str) -> None:
        trusted = trusts(self._config.trusted_proxies, address)
        self._clients.serve(Client(stream, address, self._additions, self._heads, trusted=trusted))

    def _connections(self, server: ServerId) -> ServerConnections:
        addresses = self._addresses.setdefault(server, Addresses(server))
        addresses.left_out = self._servers.left_out(server)
        return ServerConnections(
            server,
            self._deadlines,
            addresses=addresses,
            header=self._headers.server,
            connect_seconds=self._config.timeouts.connect_seconds,
            idle_seconds=self._config.timeouts.idle_seconds,
            max_idle=self._config.limits.idle_connections_per_server,
            before=self._before_connecting,
            spare=self._servers.close_oldest,
        )


def _access_log(config: Config) -> AccessLog | None:
    log = config.access_log
    return None if log.path is None else AccessLog(log.path, log.format)


def _attempt_settings(config: Config) -> AttemptSettings:
    return AttemptSettings(
        response_head_seconds=config.timeouts.response_head_seconds,
        head_bytes=config.limits.header_bytes,
        retry_on=frozenset(config.retry_on),
        failure_statuses=frozenset(config.passive_health.statuses),
    )


def _forward_settings(config: Config) -> ForwardSettings:
    return ForwardSettings(
        max_retries=config.max_retries,
        retry_on=frozenset(config.retry_on),
        body_bytes=config.limits.body_bytes,
        replay_bytes=config.limits.replay_bytes,
        client_body_seconds=config.timeouts.client_body_seconds,
        response_head_seconds=config.timeouts.response_head_seconds,
    )


def _client_settings(config: Config, clients: int) -> ClientSettings:
    return ClientSettings(
        request_line_bytes=config.limits.request_line_bytes,
        header_bytes=config.limits.header_bytes,
        header_seconds=config.timeouts.client_header_seconds,
        keep_alive_seconds=config.timeouts.keep_alive_seconds,
        keep_alive_requests=config.limits.keep_alive_requests or 2**62,
        retry_after_seconds=math.ceil(config.health_check_interval_seconds),
        request_id=config.request_id,
        request_id_in_response=config.request_id_in_response,
        lingering_clients=max(1, clients // 4),
    )
