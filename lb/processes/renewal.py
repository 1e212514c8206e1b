"""A running crew renewed without a lost request: another configuration, or a program that is new.

Both are generators: each turn of the supervisor's loop lets them go as far as they can.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence

from lb.config import Config, from_json, to_json
from lb.errors import ConfigError
from lb.processes.announce import how_it_ended
from lb.processes.child import Child, Role
from lb.processes.crew import Crew

_log = logging.getLogger(__name__)

Start = Callable[[Child], None]

#: A worker of the new configuration that has failed so often in a row is given up; so is what is run once.
FAILED_STARTS = 3
#: An upgrade that cannot be finished for now is tried again after this time.
AGAIN_SECONDS = 10.0


class Renewals:
    """At most one renewal at a time: a later one takes the place of one that is not done.

    Only a reload does not end an upgrade: that reads the configuration too, so it waits and is needed only if
    there is no upgrade after all.
    """

    def __init__(self, reload: Callable[[], Iterator[None]], upgrade: Callable[[], Iterator[None]]) -> None:
        self._make_reload = reload
        self._make_upgrade = upgrade
        self._steps: Iterator[None] | None = None
        self._upgrading = self._reload_next = False

    def reload(self) -> None:
        """Have the configuration read again."""
        if self._upgrading:
            self._reload_next = True
        else:
            self._steps = self._make_reload()

    def upgrade(self) -> None:
        """Have the program replaced. A reload that is under way begins anew if nothing comes of that."""
        self._reload_next |= self._steps is not None and not self._upgrading
        self._steps, self._upgrading = self._make_upgrade(), True

    def go_on(self) -> bool:
        """Take the steps that can be taken now; whether that was the last one of all."""
        if self._steps is None or next(self._steps, self) is not self:
            return False
        next_one = self._make_reload() if self._reload_next else None
        self._steps, self._upgrading, self._reload_next = next_one, False, False
        return next_one is None


def reload(crew: Crew, load: Callable[[], Config], start: Start) -> Iterator[None]:
    """Read the configuration again and put it to use; one that does not work changes nothing.

    But the workers of an earlier program must not stay: while there are any, it is tried again.
    """
    while not (yield from _try_to_reload(crew, load, start)) and any(one.adopted for one in crew.workers):
        _log.error("upgrade: workers of the program before go on; next try in %g s", AGAIN_SECONDS)
        again = time.monotonic() + AGAIN_SECONDS
        while time.monotonic() < again:
            yield


def _try_to_reload(crew: Crew, load: Callable[[], Config], start: Start) -> Generator[None, None, bool]:
    before = crew.config
    try:
        crew.adapt(with_fixed(load(), before))
    except ConfigError as error:
        for problem in error.problems:
            _log.error("reload: %s", problem)
        _log.error("reload: the configuration is not valid, all stays as it was")
        return False
    yield from _run_once(crew.reconcile, start)
    if crew.reconcile.exit_code != 0:
        _log.error("reload: the store could not be brought up to date, all stays as it was; try again")
        crew.adapt(before)
        return False
    renewed = yield from _replace_workers(crew, start)
    if not renewed:
        crew.adapt(before)
        return False
    for helper in crew.helpers:
        helper.restart(time.monotonic())
    _log.info("reload: done, workers now: %d", len(crew.workers))
    return True


def rehearse(crew: Crew, arguments: Sequence[str], start: Start, go: Callable[[], None]) -> Iterator[None]:
    """Try whether the program that is installed now can load the configuration, and `go` if it can."""
    while crew.reconcile.running or crew.rehearsal.running:  # of what this replaces
        yield
    crew.rehearsal.role = Role("rehearse", options=tuple(arguments), beats=False, once=True)
    yield from _run_once(crew.rehearsal, start)
    if crew.rehearsal.exit_code == 0:
        go()
    else:
        how = how_it_ended(crew.rehearsal.exit_code or 0)
        _log.error("upgrade: the new program cannot start (%s), see above; this one goes on", how)


def with_fixed(config: Config, running: Config) -> Config:
    """Return `config` with the values of `running` where a running balancer cannot change; ConfigError."""
    fixed = {name: getattr(running, name) for name in ("port", "redis", "data_dir")}
    admin = config.admin.model_copy(update={"listen": running.admin.listen})
    changed = [key for key, name in _FIXED.items() if getattr(config, name) != fixed[name]]
    if admin != config.admin:
        changed.append("admin.listen")
    for key in changed:
        _log.warning("reload: %s cannot change while lb runs, it stays as it was until a restart", key)
    merged = config.model_copy(update={**fixed, "admin": admin})
    return from_json(to_json(merged))  # checked as a whole: what fits the new values may not fit the old


_FIXED = {"port": "port", "redis": "redis", "dataDir": "data_dir"}


def _run_once(child: Child, start: Start) -> Iterator[None]:
    """Run to its own end; what somebody killed has not said anything, and is tried again."""
    while child.running:  # still at it for a renewal that this one replaces
        yield
    for _ in range(FAILED_STARTS):
        start(child)
        while child.exit_code is None:
            yield
        if child.exit_code >= 0:
            return


def _replace_workers(crew: Crew, start: Start) -> Generator[None, None, bool]:
    """Put new workers in the place of the old, one by one: each old one goes when a new one is ready."""
    old = sorted(crew.workers, key=lambda worker: worker.ready)
    for _ in range(crew.config.worker_count):
        new = crew.hire()
        start(new)
        while not new.ready and new in crew.workers:
            if new.failed_starts >= FAILED_STARTS:
                _log.error("reload: no new worker could start, see above; the old ones go on")
                crew.retire(new, time.monotonic())
                return False
            yield
        if old:
            crew.retire(old.pop(0), time.monotonic())
    for worker in old:
        crew.retire(worker, time.monotonic())
    return True
