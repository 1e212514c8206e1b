"""`GET /metrics`: what Prometheus asks for, of the whole fleet. `lb/docs/metrics.md` lists the names."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from flask import Blueprint, Response
from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

import lb
from lb.api.context import context
from lb.api.long_gone import long_gone, without
from lb.api.overview import Overview, look
from lb.errors import StoreError
from lb.metrics import layout
from lb.metrics.totals import HOST_MARK, OWN, Counts, Totals, bounds_of
from lb.model import Admin, Health, Server
from lb.store.metrics import Figures

routes = Blueprint("metrics", __name__)

_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Counters of a server's row: name, cell, meaning.
_OF_SERVERS = (
    ("lb_retries", "retries", "Attempts that failed and were followed by another."),
    ("lb_responses_cut", "cut", "Responses that broke off in the middle because the server did."),
    ("lb_clients_gone", "gone", "Clients that left before they had their answer."),
    ("lb_server_ejections", "ejections", "Times that a server was marked down because requests failed."),
)
#: Counters of a host's row, likewise.
_OF_CLIENTS = (
    ("lb_accepted_connections", "accepted", "Connections of clients accepted."),
    ("lb_idle_clients_closed", "closed_idle", "Idle clients closed so that others could come in."),
    ("lb_clients_refused", "refused", "Connections refused as their address had enough."),
)
#: Shown from the beginning: an increase from nothing is not seen.
_USUAL_CLASSES = ("2xx", "3xx", "4xx", "5xx")

_STATES = ("eligible", "down", "drain", "maint")


class _Page:
    """What is exposed at one moment."""

    def __init__(self, figures: Figures, overview: Overview | None, gone: Collection[str]) -> None:
        self._figures = figures
        self._totals = without(figures.totals, gone)
        self._overview = overview  # None while the store is away

    def collect(self) -> Iterator[Metric]:
        """Yield the families, as the exposition wants them.

        A counter that leaves out the other hosts would look as if it had begun anew; one that is not there
        does not.
        """
        for family in self._families():
            if self._figures.whole or family.type == "gauge":
                yield family

    def _families(self) -> Iterator[Metric]:
        servers = [] if self._overview is None else [status.server.id for status in self._overview.servers]
        rows = {row: counts for row, counts in self._totals.items() if not row.startswith(HOST_MARK)}
        yield from _requests({**{row: {} for row in (OWN, *servers)}, **rows})
        yield from self._balancer()
        if self._overview is not None:
            yield from _servers(self._overview)

    def _balancer(self) -> Iterator[Metric]:
        hosts = [counts for row, counts in self._totals.items() if row.startswith(HOST_MARK)]
        yield from _clients(self._figures, self._totals)
        yield from _workers(self._figures, self._overview)
        yield CounterMetricFamily(
            "lb_degraded_seconds",
            "Time that workers have picked servers without the store, added up.",
            value=_sum(hosts, "degraded_seconds"),
        )
        answered = self._overview is not None
        yield _gauge("lb_store_up", "1 if the store answered this very request.", answered)
        yield _histogram(
            "lb_store_round_trip_seconds",
            "From sending a batch of leases to its reply.",
            _buckets(hosts, "trips", layout.TRIP_BOUNDS),
            _sum(hosts, "trip_seconds"),
        )
        yield _histogram(
            "lb_lease_batch_size",
            "Picks in one batch of leases.",
            _buckets(hosts, "batches", layout.BATCH_BOUNDS),
            _sum(hosts, "picks"),
        )
        build = GaugeMetricFamily("lb_build_info", "The program that answers.", labels=("version", "python"))
        build.add_metric((lb.__version__, platform.python_version()), 1)
        yield build


@routes.get("/metrics")
def metrics() -> Response:
    """Answer the metrics of the whole fleet, for Prometheus."""
    store = context()
    counted = store.counted
    try:
        figures, overview = counted.look(), look(store.pool, store.fleet)
        members = {status.server.id for status in overview.servers}
        counted.long_gone = long_gone(store.pool, figures.totals, members, overview.at)
        page = _Page(figures, overview, counted.long_gone)
    except StoreError:
        page = _Page(counted.remembered(), None, counted.long_gone)
    return Response(generate_latest(page), content_type=_TYPE)


def _requests(rows: Totals) -> Iterator[Metric]:
    requests = CounterMetricFamily("lb_requests", "Requests answered to the end.", labels=("server", "code"))
    seconds = HistogramMetricFamily(
        "lb_request_duration_seconds",
        "From the request's head to the end of its answer.",
        labels=("server",),
    )
    for row, counts in rows.items():
        for code, count in _codes(counts).items():
            requests.add_metric((row, code), count)
        classes = [f"{status}xx" for status in range(1, layout.CLASSES)]
        cells = _each([counts], classes, layout.LATENCY_BOUNDS)
        seconds.add_metric((row,), _cumulative(cells, layout.LATENCY_BOUNDS), counts.get("seconds", 0))
    yield requests
    yield seconds
    for name, cell, meaning in _OF_SERVERS:
        family = CounterMetricFamily(name, meaning, labels=("server",))
        for row, counts in rows.items():
            family.add_metric((row,), counts.get(cell, 0))
        yield family


def _codes(counts: Counts) -> Counts:
    codes: Counts = dict.fromkeys(_USUAL_CLASSES, 0)
    for cell, count in counts.items():
        code, is_class, _ = cell.partition("xx/")
        if is_class:
            codes[f"{code}xx"] = codes.get(f"{code}xx", 0) + count
    return codes


def _clients(figures: Figures, totals: Totals) -> Iterator[Metric]:
    open_now = _by_host(figures, "clients")
    yield _gauges("lb_client_connections", "Connections of clients that are open now.", "host", open_now)
    most = _by_host(figures, "max_clients")
    yield _gauges("lb_client_connections_limit", "How many of those there may be.", "host", most)
    hosts = sorted({run.host for run in figures.runs.values()})
    for name, cell, meaning in _OF_CLIENTS:
        family = CounterMetricFamily(name, meaning, labels=("host",))
        for host in hosts:
            family.add_metric((host,), totals.get(HOST_MARK + host, {}).get(cell, 0))
        yield family


def _workers(figures: Figures, overview: Overview | None) -> Iterator[Metric]:
    if overview is None:
        workers, degraded = _by_host(figures, "workers"), _by_host(figures, "degraded")
    else:
        workers = Counter(worker.host for worker in overview.workers)
        without = (w.host for w in overview.workers if w.degraded_since and not w.degraded_until)
        degraded = Counter({**dict.fromkeys(workers, 0), **Counter(without)})
    yield _gauges("lb_workers", "Workers in the fleet.", "host", workers)
    yield _gauges("lb_workers_degraded", "Workers that pick servers without the store.", "host", degraded)


def _by_host(figures: Figures, name: str) -> Counter[str]:
    """Add up what is true now of each host's workers."""
    sums = Counter[str]()
    for run in figures.runs.values():
        if run.now is not None:
            sums[run.host] += int(run.now.get(name, 0))
    return sums


def _servers(overview: Overview) -> Iterator[Metric]:
    statuses = {str(status.server.id): status for status in overview.servers}
    members = {name: status.server for name, status in statuses.items()}
    checks = {name: status.last_check for name, status in statuses.items() if status.last_check is not None}
    for name, meaning, values in (
        ("up", "1 while it is found up.", {k: s.health is Health.UP for k, s in members.items()}),
        ("eligible", "1 while it may be picked.", {k: s.eligible for k, s in members.items()}),
        ("weight", "Its weight.", {k: s.weight for k, s in members.items()}),
        ("connections", "Requests in flight to it.", {k: s.connections for k, s in statuses.items()}),
        ("failures", "Failed requests in a row.", {k: s.failures for k, s in statuses.items()}),
        (
            "check_duration_seconds",
            "How long its last health check took.",
            {k: c.duration_seconds for k, c in checks.items()},
        ),
    ):
        yield _gauges(f"lb_server_{name}", meaning, "server", values)
    states = Counter(dict.fromkeys(_STATES, 0))
    states.update(map(_state, members.values()))
    yield _gauges("lb_servers", "How many are in each state.", "state", states)
    yield _gauge(
        "lb_fail_open", "1 while no server is up and requests go to all that are ready.", overview.fails_open
    )
    yield _gauge("lb_pool_version", "One more after each change of the pool.", overview.version)
    yield _gauges("lb_strategy_info", "The strategy in use.", "strategy", {overview.strategy: 1})
    leads = overview.health_checker is not None
    yield _gauge("lb_health_checker_leader", "1 while a health-checker leads.", leads)


def _state(server: Server) -> str:
    if server.admin is not Admin.READY:
        return server.admin.value
    return "eligible" if server.eligible else "down"


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(name, meaning, value=value)


def _gauges(name: str, meaning: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, meaning, labels=(label,))
    for key, value in values.items():
        family.add_metric((key,), value)
    return family


def _histogram(name: str, meaning: str, buckets: Sequence[tuple[str, float]], total: float) -> Metric:
    return HistogramMetricFamily(name, meaning, buckets=buckets, sum_value=total)


def _buckets(rows: Iterable[Counts], name: str, bounds: Sequence[float]) -> Sequence[tuple[str, float]]:
    return _cumulative(_each(rows, [name], bounds), bounds)


def _each(rows: Iterable[Counts], names: Sequence[str], bounds: Sequence[float]) -> list[float]:
    """Return how many are in each bucket of a histogram, or of several together."""
    rows = [*rows]
    return [
        sum(counts.get(f"{name}/{bound}", 0) for counts in rows for name in names)
        for bound in bounds_of(bounds)
    ]


def _cumulative(cells: Sequence[float], bounds: Sequence[float]) -> Sequence[tuple[str, float]]:
    return [*zip(bounds_of(bounds), accumulate(cells), strict=True)]


def _sum(rows: Iterable[Counts], cell: str) -> float:
    return sum(counts.get(cell, 0) for counts in rows)
