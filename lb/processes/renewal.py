"""A running crew renewed without a lost request: another configuration, or a program that is new.

Both are steps: each turn of the supervisor's loop lets them go as far as they can.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TypeAlias

from lb.config import Config, from_json, to_json
from lb.errors import ConfigError
from lb.limited_log import LimitedLog
from lb.processes.announce import how_it_ended
from lb.processes.child import Child
from lb.processes.crew import Crew

_log = logging.getLogger(__name__)
_limited = LimitedLog(__name__)

Start = Callable[[Child], None]
#: True is a step at which all is in order, and another renewal may take the place of this one.
Steps: TypeAlias = Iterator[bool]
_Outcome: TypeAlias = Generator[bool, None, bool]

#: A worker of the new configuration that has failed so often in a row is given up; so is what is run once.
FAILED_STARTS = 3
#: An upgrade that cannot be finished for now is tried again after this time.
AGAIN_SECONDS = 10.0
#: Each answer to an operator's signals is logged, but not those to all tries of an upgrade.
_BURST = 5


class Renewals:
    """One renewal at a time, each to its end. What is asked for meanwhile comes next, an upgrade first."""

    def __init__(self, reload: Callable[[], Steps], upgrade: Callable[[], Steps]) -> None:
        self._make_reload = reload
        self._make_upgrade = upgrade
        self._steps: Steps | None = None
        self._in_order = True
        self._reload_next = self._upgrade_next = False

    def reload(self) -> None:
        """Have the configuration read again."""
        self._reload_next = True

    def upgrade(self) -> None:
        """Have the program replaced; the new one reads the configuration too."""
        self._upgrade_next = True

    def go_on(self) -> bool:
        """Take the steps that can be taken now; whether that was the last one of all."""
        if self._in_order and self._upgrade_next:
            self._steps, self._upgrade_next = self._make_upgrade(), False
        elif self._in_order and self._reload_next:
            self._steps, self._reload_next = self._make_reload(), False
        if self._steps is None:
            return False
        in_order = next(self._steps, None)
        self._in_order = in_order is not False
        if in_order is None:
            self._steps = None
        return self._steps is None and not (self._upgrade_next or self._reload_next)


def reload(crew: Crew, load: Callable[[], Config], start: Start) -> Steps:
    """Read the configuration again and put it to use; one that does not work changes nothing.

    But the workers of an earlier program must not stay: while there are any, it is tried again.
    """
    while not (yield from _try_to_reload(crew, load, start)) and any(one.adopted for one in crew.workers):
        _limited.error(
            "upgrade: workers of the program before go on; next try in %g s", AGAIN_SECONDS, burst=_BURST
        )
        again = time.monotonic() + AGAIN_SECONDS
        while time.monotonic() < again:
            yield True


def _try_to_reload(crew: Crew, load: Callable[[], Config], start: Start) -> _Outcome:
    before = crew.config
    try:
        crew.adapt(with_fixed(load(), before))
    except ConfigError as error:
        for problem in error.problems:
            _limited.error("reload: %s", problem, of=problem, burst=_BURST)
        _limited.error("reload: the configuration is not valid, all stays as it was", burst=_BURST)
        return False
    renewed = yield from _put_to_use(crew, before, start)
    crew.settle()
    if renewed:
        for helper in crew.helpers:
            helper.restart(time.monotonic())
        _log.info("reload: done, workers now: %d", len(crew.workers))
    return renewed


def _put_to_use(crew: Crew, before: Config, start: Start) -> _Outcome:
    """Have the store and new workers use the crew's configuration, or all that of before."""
    if not (yield from _run_once(crew.reconcile, start)):
        _limited.error(
            "reload: the store could not be brought up to date, all stays as it was; try again", burst=_BURST
        )
        crew.adapt(before)
        return False
    if not (yield from _replace_workers(crew, start)):
        _limited.error("reload: a new worker could not start, see above; all stays as it was", burst=_BURST)
        crew.adapt(before)
        if not (yield from _run_once(crew.reconcile, start)):
            _limited.error(
                "reload: the store keeps the servers of the new configuration for now; try again",
                burst=_BURST,
            )
        return False
    return True


def rehearse(crew: Crew, arguments: Sequence[str], start: Start, go: Callable[[], None]) -> Steps:
    """Try whether the program that is installed now can load the configuration, and `go` if it can."""
    rehearsal = crew.rehearse_with(arguments)
    if (yield from _run_once(rehearsal, start)):
        go()
    else:
        how = how_it_ended(rehearsal.exit_code or 0)
        _log.error("upgrade: the new program cannot start (%s), see above; this one goes on", how)


def with_fixed(config: Config, running: Config) -> Config:
    """Return `config` with the values of `running` where a running balancer cannot change; ConfigError."""
    fixed = {name: getattr(running, name) for name in _FIXED.values()}
    admin = config.admin.model_copy(update={"listen": running.admin.listen})
    changed = [key for key, name in _FIXED.items() if getattr(config, name) != fixed[name]]
    if admin != config.admin:
        changed.append("admin.listen")
    for key in changed:
        _limited.warning(
            "reload: %s cannot change while lb runs, it stays as it was until a restart",
            key,
            of=key,
            burst=_BURST,
        )
    merged = config.model_copy(update={**fixed, "admin": admin})
    return from_json(to_json(merged))  # checked as a whole: what fits the new values may not fit the old


_FIXED = {"port": "port", "redis": "redis", "dataDir": "data_dir"}


def _run_once(child: Child, start: Start) -> _Outcome:
    """Run to its own end, and return whether that was a good one.

    What somebody killed has not said anything, and is tried again.
    """
    for _ in range(FAILED_STARTS):
        start(child)
        while child.exit_code is None:
            yield False
        if child.exit_code >= 0:
            break
    return child.exit_code == 0


def _replace_workers(crew: Crew, start: Start) -> _Outcome:
    """Have new workers take over from the old ones once all of the new serve; whether that could be done."""
    old, new = [*crew.workers], list[Child]()
    while len(new) < crew.config.worker_count:
        new.append(crew.hire())
        start(new[-1])  # one by one, as each takes a processor for a while
        while not all(worker.ready for worker in new if worker in crew.workers):
            if any(worker.failed_starts >= FAILED_STARTS for worker in new):
                _retire(crew, new)
                return False
            yield False
    _retire(crew, old)
    return True


def _retire(crew: Crew, workers: Sequence[Child]) -> None:
    for worker in workers:
        crew.retire(worker, time.monotonic())
