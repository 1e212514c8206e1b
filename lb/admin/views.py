"""What operators see of servers, workers and the whole, as tables; `list`, `status` and `top` share them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.table import Table
from rich.text import Text

from lb.admin.output import Rows, ago, cell, facts_of
from lb.admin.rates import latency, per_second, share
from lb.api.overview import Overview
from lb.api.rates import Rate, Rates
from lb.config.store_url import masked
from lb.model import Admin, Health, RemovedServer, Server, ServerStatus, WorkerStatus

_SERVERS = ("SERVER", "STATE", "WHY", "SINCE", "WEIGHT", "CONNECTIONS", "FAILURES", "LAST CHECK", "SOURCE")
_RATES = ("REQUESTS/S", "P50", "P99", "ERRORS")
_REMOVED = ("SERVER", "WHY", "SINCE", "WEIGHT", "SOURCE")
_HOSTS = ("HOST", "WORKERS", "CONNECTIONS", "OLDEST HEARTBEAT", "BEHIND", "DEGRADED")

_NUMBERS = frozenset({"WEIGHT", "CONNECTIONS", "FAILURES", "WORKERS", "BEHIND", *_RATES})
_PROSE = frozenset({"WHY", "LAST CHECK"})

#: What is said while the pool fails open.
FAIL_OPEN = "failing open: requests go to all that are ready"

#: What narrow terminals do without, the least important first.
_EXPENDABLE = ("SOURCE", "LAST CHECK", "SINCE", "FAILURES", "WEIGHT")
_SACRIFICED = ("ERRORS", "P50", "P99")
_EXPENDABLE_OF_REMOVED = ("SOURCE", "WEIGHT")
_EXPENDABLE_OF_HOSTS = ("OLDEST HEARTBEAT", "BEHIND")


def servers(statuses: Iterable[ServerStatus], now: float, rates: Rates | None = None) -> Rows:
    """Lay out the pool, a server on a line, with its rates if they are known."""
    headings, rows = [*_SERVERS], [_row(status, now) for status in statuses]
    if rates is not None:
        before = headings.index("WEIGHT")
        headings[before:before] = _RATES
        rows = [[*row[:before], *_rates(rates.servers.get(row[0].plain)), *row[before:]] for row in rows]
    return Rows(
        headings, rows, numbers=_NUMBERS, prose=_PROSE, expendable=_EXPENDABLE, sacrificed=_SACRIFICED
    )


def removed_servers(gone: Iterable[RemovedServer], now: float) -> Rows:
    """Lay out the servers that left the pool."""
    rows = [_removed_row(server, now) for server in gone]
    return Rows(_REMOVED, rows, numbers=_NUMBERS, prose=_PROSE, expendable=_EXPENDABLE_OF_REMOVED)


def facts(overview: Overview, store_url: str, rates: Rates | None = None) -> Table:
    """Lay out the few figures that tell how the balancer is."""
    total = len(overview.servers)
    how_many = "red" if not overview.eligible else "green" if overview.eligible == total else "yellow"
    opened = f", {FAIL_OPEN}" if overview.fails_open else ""
    checker = overview.health_checker
    return facts_of(
        {
            "store": cell(f"reachable, {masked(store_url)}", "green"),
            "strategy": cell(overview.strategy),
            "pool version": cell(overview.version),
            "servers": cell(f"{overview.eligible} of {total} eligible{opened}", how_many),
            **_down(overview),
            **({} if rates is None else {"requests/s": _total(rates.total)}),
            "connections": cell(overview.connections),
            "workers": cell(len(overview.workers), "" if overview.workers else "red"),
            "health-checker": cell(checker or "none", "" if checker else "red"),
        }
    )


def _down(overview: Overview) -> dict[str, Text]:
    """Say why a server is down, and how many more there are."""
    down = [status.server for status in overview.servers if status.server.health is Health.DOWN]
    if not down:
        return {}
    others = f"; {len(down) - 1} more: see lb-admin list" if down[1:] else ""
    return {"down": cell(f"{down[0].id}, {down[0].reason}{others}", "red")}


def hosts(overview: Overview) -> Rows:
    """Lay out the workers, a host on a line."""
    workers = sorted(overview.workers, key=_host)
    rows = [_host_row(host, list(group), overview) for host, group in groupby(workers, key=_host)]
    return Rows(_HOSTS, rows, numbers=_NUMBERS, expendable=_EXPENDABLE_OF_HOSTS)


def _row(status: ServerStatus, now: float) -> list[Text]:
    server = status.server
    return [
        cell(server.id),
        _state(server),
        cell(server.reason),
        cell(ago(server.since, now)),
        cell(server.weight),
        cell(status.connections),
        cell(status.failures, "red" if status.failures else ""),
        _last_check(status, now),
        cell(server.source),
    ]


def _rates(rate: Rate | None) -> list[Text]:
    """Write what is known of one server; nothing was counted of one that got no request."""
    if rate is None:
        return [cell("0"), cell(""), cell(""), cell("")]
    return [
        cell(per_second(rate)),
        cell(latency(rate.p50_seconds)),
        cell(latency(rate.p99_seconds)),
        cell(share(rate.error_ratio), "red" if rate.error_ratio else ""),
    ]


def _total(rate: Rate) -> Text:
    if rate.error_ratio is None:
        return cell(per_second(rate))
    words = f"{per_second(rate)}, p50 {latency(rate.p50_seconds)}, p99 {latency(rate.p99_seconds)}"
    return cell(f"{words}, {share(rate.error_ratio)} errors", "red" if rate.error_ratio else "")


def _state(server: Server) -> Text:
    if server.admin is Admin.READY:
        return cell(server.health, "green" if server.health is Health.UP else "red")
    return cell(f"{server.admin}, {server.health}", "yellow")


def _last_check(status: ServerStatus, now: float) -> Text:
    check = status.last_check
    if check is None:
        return cell("")
    text = f"{check.detail} {check.duration_seconds * 1000:.1f} ms, {ago(status.last_check_at, now)}"
    return cell(text, "" if check.passed else "red")


def _removed_row(server: RemovedServer, now: float) -> list[Text]:
    return [
        cell(server.id),
        cell(server.reason + (", comes back when it answers" if server.returns else "")),
        cell(ago(server.at, now)),
        cell(server.weight),
        cell(server.source),
    ]


def _host(worker: WorkerStatus) -> str:
    return worker.host


def _host_row(host: str, workers: Sequence[WorkerStatus], overview: Overview) -> list[Text]:
    return [
        cell(host),
        cell(len(workers)),
        cell(sum(worker.connections for worker in workers)),
        cell(ago(min(worker.heartbeat for worker in workers), overview.at)),
        cell(sum(worker.version < overview.version for worker in workers)),
        _degraded(workers, overview.at),
    ]


def _degraded(workers: Sequence[WorkerStatus], now: float) -> Text:
    """Say how many pick without the store and since when, or how long ago the last one did."""
    without = [worker for worker in workers if worker.degraded_since and not worker.degraded_until]
    if without:
        since = min(worker.degraded_since or 0.0 for worker in without)
        return cell(f"{len(without)} of {len(workers)}, began {ago(since, now)}", "red")
    ended = max(worker.degraded_until or 0.0 for worker in workers)
    return cell(f"ended {ago(ended, now)}" if ended else "")
