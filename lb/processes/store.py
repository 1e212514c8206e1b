"""The store as the processes need it: run the embedded one, open the pool, wait until it answers."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lb.config import Config
from lb.errors import LBError, StoreUnavailableError
from lb.model import Admin, Health, Server, ServerId, Snapshot, Source
from lb.processes import lock
from lb.processes.data_dir import hide
from lb.store import embedded
from lb.store.client import open_fleet, open_metrics, open_outbox, open_pool
from lb.store.fleet import Fleet
from lb.store.keys import Keys
from lb.store.metrics import Metrics
from lb.store.outbox import Outbox
from lb.store.pool import BackendPool

_log = logging.getLogger(__name__)

#: The embedded store may have to read a long file first; and roles started side by side wait for each other.
PATIENCE_SECONDS = 10.0
#: This much bridges a restart of a store that was given to `lb run`.
GIVEN_PATIENCE_SECONDS = 3.0
_RETRY_SECONDS = 0.1
_STANDARD = (0, 1, 2)  # descriptors
_QUIET_SECONDS = 2.0  # of waiting, before a reader of the log is told


def run_embedded(data_dir: Path) -> None:
    """Become the embedded store: this process goes on as the store's program. LBError if it runs already.

    The lock passes on to it, so that a store that is still writing its file is waited for, never doubled.
    """
    command = embedded.command(data_dir)
    fd = lock.take(data_dir / "store.lock", "lb store", patience_seconds=PATIENCE_SECONDS)
    hide(data_dir)
    _keep_only(fd)
    umask = os.umask(0o077)  # its files are its user's alone, whoever started it
    try:
        os.execv(command[0], command)  # noqa: S606 - our own program, no shell wanted
    except OSError as error:  # its loader is missing, as on musl, or its directory allows no programs
        os.umask(umask)
        os.close(fd)
        fault = f"{command[0]} cannot be executed: {error.strerror}"
        raise LBError(
            f"the embedded store does not run on this machine ({fault}): {embedded.INSTEAD}"
        ) from None


def _keep_only(fd: int) -> None:
    """Have the store's program inherit one descriptor: what others hold, such as secrets, is not for it."""
    for name in [entry.name for entry in Path("/dev/fd").iterdir()]:
        with suppress(OSError):  # it was that of the list
            os.set_inheritable(int(name), int(name) in (*_STANDARD, fd))


def pool_of(config: Config) -> BackendPool:
    """Return the pool in the configured store; nothing is sent yet."""
    return open_pool(url_of(config), keys_of(config))


def fleet_of(config: Config) -> Fleet:
    """Return the workers in the configured store; nothing is sent yet."""
    return open_fleet(url_of(config), keys_of(config))


def outbox_of(config: Config) -> Outbox:
    """Return what the webhook has not been told, in the configured store; nothing is sent yet."""
    return open_outbox(url_of(config), keys_of(config))


def metrics_of(config: Config) -> Metrics:
    """Return what all hosts have counted, in the configured store; nothing is sent yet."""
    return open_metrics(url_of(config), keys_of(config))


def url_of(config: Config) -> str:
    """Return the URL of the configured store."""
    return config.redis or embedded.socket_url(config.data_dir)


def keys_of(config: Config) -> Keys:
    """Return the names of the keys that the configured pool has."""
    return Keys(config.key_prefix, config.pool)


def start_patience_seconds(config: Config) -> float:
    """How long `lb run` waits for the store: one that was given should be there already."""
    return PATIENCE_SECONDS if config.redis is None else GIVEN_PATIENCE_SECONDS


def wait(config: Config, patience_seconds: float = PATIENCE_SECONDS) -> BackendPool:
    """Return the pool once the store answers; if it does not in time, the last StoreUnavailableError."""
    pool = pool_of(config)
    begun = time.monotonic()
    told = False
    while True:
        try:
            pool.ping()
        except StoreUnavailableError as error:
            waited = time.monotonic() - begun
            if waited >= patience_seconds:
                raise
            if waited >= _QUIET_SECONDS and not told:
                _log.info("waiting up to %.0f s for the store: %s", patience_seconds, error)
                told = True
            time.sleep(_RETRY_SECONDS)
        else:
            return pool


def reconcile(config: Config, patience_seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for the store, then make the pool's configured servers and strategy those of the config."""
    pool = wait(config, patience_seconds)
    left = fill(pool, config)
    if policy := pool.eviction():
        _log.warning(
            "the store may drop keys when its memory is full (maxmemory-policy %s), and a pool without some "
            "of them is broken: set noeviction",
            policy,
        )
    others = (
        {worker.host for worker in fleet_of(config).workers()} - {socket.gethostname()} if left else set()
    )
    if others:
        _log.warning(
            "%s left the pool, as the config of this host does not name them; if that of %s still does, they "
            "come back when it is read there again: give all hosts of a pool the same servers",
            ", ".join(left),
            ", ".join(sorted(others)),
        )


def fill(pool: BackendPool, config: Config) -> Sequence[ServerId]:
    """Make the pool's configured servers and settings those of the config; return the servers that left."""
    by = f"config@{socket.gethostname()}"
    fail_open = config.health_check.fail_open
    return pool.reconcile(config.servers, config.strategy, by, fail_open=fail_open)


def snapshot_of(config: Config) -> Snapshot:
    """Return the pool as the config has it: all there is to pick from until the store tells more."""
    servers = (
        Server(spec.id, spec.url, spec.weight, Admin.READY, Health.UP, Source.CONFIG, "", 0.0)
        for spec in config.servers
    )
    return Snapshot(0, config.strategy, tuple(servers), fail_open=config.health_check.fail_open)
