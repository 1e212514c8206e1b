"""The way of a request through a WSGI process: read it, get an answer, pass that on."""

from __future__ import annotations

import math
from collections.abc import Iterable
from time import monotonic

from lb.config import Config
from lb.errors import LBError
from lb.proxy.choice import Chooser, Leases
from lb.proxy.exchange import NO_SERVER, Meters
from lb.proxy.headers import header_settings
from lb.proxy.http1 import HeadParser
from lb.proxy.preflight import preflight
from lb.proxy.refusals import Refusals
from lb.proxy.servers import Servers
from lb.wsgi import membership
from lb.wsgi.answers import Pieces, StartResponse, head_of, own_answer
from lb.wsgi.attempt import Answer, Attempts
from lb.wsgi.call import Call, Calls
from lb.wsgi.connections import Connections, ConnectionSettings
from lb.wsgi.environ import Environ


class Forwarder(Chooser[object, Call, Answer]):
    """Forwards the requests of a process."""

    def __init__(self, config: Config, leases: Leases, servers: Servers[Connections], meters: Meters) -> None:
        retry_on = frozenset(config.retry_on)
        failures = frozenset(config.passive_health.statuses)
        attempts = Attempts(leases, servers, retry_on=retry_on, failure_statuses=failures)
        super().__init__(leases, attempts, meters, max_retries=config.max_retries, retry_on=retry_on)
        headers = header_settings(config)
        self._leases = leases
        self._refusals = Refusals(meters.answers)
        self._calls = Calls(config, headers)
        self._id_in_response = headers.request_id and headers.request_id_in_response
        self._idle_seconds = config.timeouts.idle_seconds
        self._retry_after_seconds = math.ceil(config.health_check_interval_seconds)

    def forward(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        arrived = monotonic()
        call: Call | None = None
        try:
            call = self._calls.read(environ)
            answer = self.choose(None, call)
        except LBError as error:
            self._refusals.note(error)
            self._meters.answered(NO_SERVER, error.status, monotonic() - arrived)
            return own_answer(
                error,
                start_response,
                method=environ["REQUEST_METHOD"],
                retry_after_seconds=self._retry_after_seconds,
                request_id=call.request_id if call is not None and self._id_in_response else "",
            )
        try:
            return self._hand_on(call, answer, start_response, arrived)
        except BaseException:
            answer.drop()
            self._leases.release(answer.lease)
            raise

    def _hand_on(
        self, call: Call, answer: Answer, start_response: StartResponse, arrived: float
    ) -> Iterable[bytes]:
        status, fields = head_of(answer.head.forward)
        headers = [*fields, *answer.server.signature]
        if self._id_in_response:
            headers.append(("X-Request-Id", call.request_id))
        start_response(status, headers)
        if answer.body is None:
            answer.wait_up_to(self._idle_seconds)
            return Pieces(answer, self._leases, self._meters, arrived=arrived)
        self._meters.answered(answer.lease.server, answer.head.status, monotonic() - arrived)
        answer.part()
        self._leases.release(answer.lease)
        return [answer.body] if answer.body else []


def join(config: Config) -> Forwarder:
    """Make this process a member of the fleet, and return its forwarder."""
    headers = header_settings(config)
    preflight(headers)
    heads = HeadParser(config.limits.header_count, headers)
    settings = ConnectionSettings(
        connect_seconds=config.timeouts.connect_seconds,
        response_head_seconds=config.timeouts.response_head_seconds,
        idle_seconds=config.timeouts.idle_seconds,
        max_idle=config.limits.idle_connections_per_server,
        head_bytes=config.limits.header_bytes,
        server_header=config.server_header_name,
    )
    servers: Servers[Connections] = Servers(
        lambda server: Connections(server, heads, settings, servers.close_oldest, servers.left_out(server))
    )
    place = membership.join(config, servers.keep_only)
    return Forwarder(config, place.leases, servers, place.meters)
