"""Which store a command is for: --redis, LB_REDIS, the config's `redis`, or the embedded one of `dataDir`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lb import config
from lb.config.store_url import check_store_url
from lb.errors import ConfigError, UsageError
from lb.store import embedded
from lb.store.keys import Keys


@dataclass(frozen=True, slots=True)
class Target:
    """A store and the pool in it; `advice` is what to do if it does not answer."""

    url: str
    advice: str
    keys: Keys


def find_target(redis: str | None, config_file: str | None, environ: Mapping[str, str]) -> Target:
    """Decide by flags, environment and files; ConfigError or UsageError if what they say is malformed."""
    if redis:
        _check(redis)
    file, flags = Path(config_file) if config_file else None, {"redis": redis}
    try:
        settings = config.load(file, environ, flags)
    except ConfigError:
        if not redis:
            raise
        # It may be a config.json that happens to be here and is not ours. All else must be good.
        settings = config.load(file, environ, flags, default=None)
    keys = Keys(prefix=settings.key_prefix, pool=settings.pool)
    if url := redis or settings.redis:
        return Target(url, "Does it run there? --redis URL or --config FILE names another.", keys)
    return Target(
        embedded.socket_url(settings.data_dir),
        "Is `lb run` running here? If the balancer is elsewhere, give --redis URL or --config FILE.",
        keys,
    )


def _check(url: str) -> None:
    try:
        check_store_url(url)
    except ValueError as error:
        of_api = "; commands work on the store, not on the admin API" if url.startswith("http") else ""
        raise UsageError(f"--redis: {error}{of_api}") from None
