"""Every key in the store: its name, type, owner and life. This is the schema; `lb/docs/redis.md` explains it.

All keys of a pool share the hash tag `{pool}`, so that scripts over them run on Redis Cluster. The attributes
of servers are kept as columns: one hash per attribute, with server ids as its fields. So scripts need not
compose key names, and `redis-cli HGETALL` shows one attribute of all servers side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

from lb.model import ServerId, WorkerId

#: Raised when keys change their meaning; a store that carries another number is refused.
SCHEMA = "1"

DEFAULT_PREFIX = "lb"
DEFAULT_POOL = "default"


@dataclass(frozen=True, slots=True)
class Keys:
    """The key names of one pool. The Lua scripts use the names of these properties."""

    prefix: str = DEFAULT_PREFIX
    pool: str = DEFAULT_POOL

    def _name(self, suffix: str) -> str:
        return f"{self.prefix}:{{{self.pool}}}:{suffix}"

    # --- the pool: written by the acts of lb-admin, the API, the config and the health-checker; permanent

    @property
    def schema(self) -> str:
        """String: the schema number."""
        return self._name("schema")

    @property
    def version(self) -> str:
        """String: an integer that each change of the pool raises by one."""
        return self._name("version")

    @property
    def strategy(self) -> str:
        """String: name of the strategy."""
        return self._name("strategy")

    @property
    def servers(self) -> str:
        """Sorted set: server ids, scored by the order in which they joined."""
        return self._name("servers")

    @property
    def urls(self) -> str:
        """Hash: server id → URL."""
        return self._name("urls")

    @property
    def weights(self) -> str:
        """Hash: server id → weight, 1 to 256."""
        return self._name("weights")

    @property
    def admin(self) -> str:
        """Hash: server id → ready, drain or maint (what the operator wants)."""
        return self._name("admin")

    @property
    def health(self) -> str:
        """Hash: server id → up or down (what is observed)."""
        return self._name("health")

    @property
    def reasons(self) -> str:
        """Hash: server id → why it is down; no field while it is up."""
        return self._name("reasons")

    @property
    def since(self) -> str:
        """Hash: server id → unix seconds of the last change of admin or health."""
        return self._name("since")

    @property
    def sources(self) -> str:
        """Hash: server id → config or admin (who added it)."""
        return self._name("sources")

    @property
    def fail_open(self) -> str:
        """String: on or off, whether all ready servers are picked while none is up; as the config says."""
        return self._name("fail_open")

    @property
    def config_strategy(self) -> str:
        """String: the strategy that the config named when it was last reconciled."""
        return self._name("config:strategy")

    @property
    def config_weights(self) -> str:
        """Hash: server id → the weight that the config gave it when it was last reconciled."""
        return self._name("config:weights")

    @property
    def removed(self) -> str:
        """Sorted set: ids of removed servers, scored by unix seconds; 30 days."""
        return self._name("removed")

    def removed_server(self, server: ServerId) -> str:
        """Hash: url, weight, source and reason of one removed server; 30 days, or until it joins again."""
        return self._name(f"removed:{server}")

    @property
    def removed_unanswered(self) -> str:
        """Sorted set: ids of servers removed for silence that may return, scored by unix seconds; 30 days."""
        return self._name("removed_unanswered")

    @property
    def events(self) -> str:
        """Stream of the newest 1,000 or so: kind, server, by and detail of everything that happened."""
        return self._name("events")

    # --- derived from the pool whenever it changes, so that a pick is short; never written by hand

    @property
    def cycle(self) -> str:
        """List: eligible server ids, each as often as its weight, evenly spaced."""
        return self._name("cycle")

    @property
    def load(self) -> str:
        """Sorted set: eligible server ids by connections / weight; only under least-connections."""
        return self._name("load")

    @property
    def fail_open_since(self) -> str:
        """String: unix seconds since when the pool fails open; absent while it does not."""
        return self._name("fail_open:since")

    @property
    def shape(self) -> str:
        """Hash: what the last change left behind, and when it was looked at: tells that a part was lost."""
        return self._name("shape")

    # --- traffic: written by the workers' lease lines

    @property
    def cursor(self) -> str:
        """String: an integer, the turn modulo the cycle; under least-connections, a place among equals."""
        return self._name("cursor")

    @property
    def connections(self) -> str:
        """Hash: server id → its requests in flight, summed over all workers."""
        return self._name("connections")

    @property
    def failures(self) -> str:
        """Hash: server id → consecutive failures on real traffic; no field at zero."""
        return self._name("failures")

    @property
    def answered(self) -> str:
        """String with expiry: exists while servers answer requests."""
        return self._name("answered")

    # --- workers: each writes its own; any other deletes them once its heartbeat is too old

    @property
    def workers(self) -> str:
        """Sorted set: worker ids, scored by unix seconds of their last heartbeat."""
        return self._name("workers")

    def worker(self, worker: WorkerId) -> str:
        """Hash: host, pid, started, version and more of one worker; as long as it is in `workers`."""
        return self._name(f"worker:{worker}")

    def worker_connections(self, worker: WorkerId) -> str:
        """Hash: server id → that worker's requests in flight; as long as it is in `workers`."""
        return self._name(f"worker:{worker}:connections")

    # --- metrics: each host writes what its workers have counted since it began, about once a second

    @property
    def metrics(self) -> str:
        """Sorted set: runs (one for each life of a host's `lb run`), scored by when they last wrote."""
        return self._name("metrics")

    def metrics_run(self, run: str) -> str:
        """Hash: server id (or `-`, `other`, `@host`) → what the run has counted.

        As long as it is in `metrics`; 30 days more if it did not say that it ends.
        """
        return self._name(f"metrics:run:{run}")

    @property
    def metrics_base(self) -> str:
        """Hash: server id (or `-`, `other`, `@host`) → the sum over all runs that have ended; permanent."""
        return self._name("metrics:base")

    @property
    def metrics_folded(self) -> str:
        """Sorted set: runs whose figures are in the base, scored by unix seconds; 30 days."""
        return self._name("metrics:folded")

    # --- health checks: written by the leading health-checker

    @property
    def checker(self) -> str:
        """String with expiry: id of the leading health-checker."""
        return self._name("checker")

    @property
    def checker_term(self) -> str:
        """String: an integer that grows with each new lead among the health-checkers."""
        return self._name("checker:term")

    @property
    def webhook_cursor(self) -> str:
        """String: id of the last event that the webhook has been told of, or need not be told of."""
        return self._name("webhook:cursor")

    @property
    def check_results(self) -> str:
        """Hash: server id → passed or failed, and what the last check found."""
        return self._name("checks:result")

    @property
    def check_times(self) -> str:
        """Hash: server id → unix seconds of the last check."""
        return self._name("checks:at")

    @property
    def check_durations(self) -> str:
        """Hash: server id → the milliseconds that the last check took."""
        return self._name("checks:duration_ms")

    @property
    def check_settings(self) -> str:
        """Hash: server id → fingerprint of the `healthCheck` settings that its last check was made with."""
        return self._name("checks:settings")

    @property
    def left_out(self) -> str:
        """Hash: server id → those of its addresses that fail checks while others pass; no field if none."""
        return self._name("checks:left_out")

    @property
    def unanswered(self) -> str:
        """Hash: server id → unix seconds of the first unanswered check; no field while they are answered."""
        return self._name("checks:unanswered_since")

    @property
    def removal_refused(self) -> str:
        """Set: ids of overdue servers that are not removed, as too much of the pool would be gone."""
        return self._name("checks:removal_refused")


#: The type of each key that a script names, as the command TYPE says it; those that are not here are hashes.
TYPES: dict[str, str] = {
    **dict.fromkeys(("schema", "version", "strategy", "config_strategy", "cursor", "answered"), "string"),
    **dict.fromkeys(("checker", "checker_term", "webhook_cursor", "fail_open", "fail_open_since"), "string"),
    **dict.fromkeys(("servers", "removed", "removed_unanswered", "load", "workers"), "zset"),
    **dict.fromkeys(("metrics", "metrics_folded"), "zset"),
    "cycle": "list",
    "events": "stream",
    "removal_refused": "set",
}
