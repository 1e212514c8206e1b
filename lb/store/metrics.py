"""What all hosts have counted, kept in the store: each host publishes its own sums, anyone adds them up.

A *run* is one life of a scoreboard, from `lb run` to its end. Its hash holds absolute numbers, so publishing
twice changes nothing, and a store that lost them has them back a second later. A run that has ended is folded
into the base: the sum over all stays the same, and what is read does not grow with each restart. How much
that was is kept: who was only cut off says next what came on top of just that.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import redis

from lb.errors import StoreUnavailableError
from lb.metrics import layout
from lb.metrics.scoreboard import Scoreboard
from lb.metrics.totals import Counts, Totals, add, counts_of, gauges_of, text_of, totals_of
from lb.store.keys import Keys
from lb.store.session import Session

#: A run that says nothing for so long has ended.
ENDED_SECONDS = 600.0
#: What is true of a host now is no longer, if it has not said so for so long.
FRESH_SECONDS = 5.0

_KNOWN_AS_FOLDED_SECONDS = 30 * 86400
_DISK_SECONDS = 60.0
_LOOKS = 5
_ABOUT = ("host", "number", "now", "ended", "since")

_DONE, _FOLDED = 1, -1


@dataclass(frozen=True, slots=True)
class Run:
    """What one run has published."""

    host: str
    heard: float  # unix seconds of its last publication
    number: int  # of that, greater each time
    totals: Totals
    now: Counts | None  # what is true of its workers now; None if that is too old


@dataclass(frozen=True, slots=True)
class Figures:
    """What the whole fleet has counted."""

    runs: Mapping[str, Run] = field(default_factory=dict)
    base: Totals = field(default_factory=dict)  # of runs that were folded
    since: str = ""  # unix seconds: when the counting began
    whole: bool = True  # False if the store has not told yet what the others counted

    def lack(self, known: Figures) -> bool:
        """Whether the store has lost some of what it was known to hold."""
        if known.since not in ("", self.since):
            return True
        return any(
            name in known.runs and run.number < known.runs[name].number for name, run in self.runs.items()
        )

    @property
    def totals(self) -> Totals:
        """The sum over all."""
        totals: Totals = {}
        for part in (self.base, *(run.totals for run in self.runs.values())):
            add(totals, part)
        return totals


class Metrics:
    """Publishes and reads. Raises StoreUnavailableError and StoreError."""

    def __init__(self, connection: redis.Redis, keys: Keys) -> None:
        self._session = Session(connection, keys)
        self._keys = keys
        self._runs: Sequence[str] = ()  # that there were at the last look

    def publish(
        self, run: str, after: str, number: str, fields: Mapping[str, str], *, to_disk: bool = False
    ) -> int:
        """Put fields into a run's hash if its last publication was `after`, or whatever it was if that is "".

        Returns 1 if done, 0 if it was another, -1 if the run was folded.
        """
        words = (word for pair in fields.items() for word in pair)
        done: int = self._session.run(
            "publish", run, after, number, int(to_disk), *words, metrics_run=self._keys.metrics_run(run)
        )
        return done

    def figures(self) -> Figures:
        """Read what all have counted, at one instant."""
        for _ in range(_LOOKS):
            names = self._runs
            asked = [self._keys.metrics_run(run) for run in names]
            now, found, (base, *hashes) = self._session.run("totals", further_keys=asked)
            heard = dict(zip(found[::2], map(float, found[1::2]), strict=True))
            if set(heard) == set(names):
                columns = [dict(zip(flat[::2], flat[1::2], strict=True)) for flat in (base, *hashes)]
                rows = zip(names, columns[1:], strict=True)
                runs = {run: _run_of(columns, heard[run], float(now)) for run, columns in rows}
                return Figures(runs, _totals_in(columns[0]), columns[0].get("since", ""))
            self._runs = [*heard]
        raise StoreUnavailableError("the hosts of the fleet come and go too fast to add up what they count")

    def put_back(self, figures: Figures) -> bool:
        """Give a store that lost some of these figures what it held; False if it holds them all.

        The runs look a little older than they are, so that who lives says everything again.
        """
        words: list[str | float] = []
        for name, run in figures.runs.items():
            fields = {"host": run.host, "number": str(run.number - 1), **_texts(run.totals)}
            words += (name, run.heard, str(run.number - 1), json.dumps(fields))
        done = self._session.run(
            "put_back",
            figures.since,
            json.dumps(_texts(figures.base)),
            *words,
            further_keys=[self._keys.metrics_run(name) for name in figures.runs],
        )
        return bool(done)

    def fold(self, run: str, silence_seconds: float = ENDED_SECONDS, *, host_lives: bool = False) -> bool:
        """Add a run to the base if it was silent for so long; False if it was not, or another was faster.

        `host_lives`: whether there is another run on its host, which goes on from its figures.
        """
        return bool(
            self._session.run(
                "fold",
                run,
                silence_seconds,
                _KNOWN_AS_FOLDED_SECONDS,
                int(host_lives),
                metrics_run=self._keys.metrics_run(run),
            )
        )

    def folded(self, run: str) -> Totals | None:
        """Read how much of a folded run is in the base; None if it said that it ends, or that is long ago."""
        with self._session.edge() as connection:
            columns = connection.hgetall(self._keys.metrics_run(run))
        return _totals_in(columns) if columns else None


class Publisher:
    """Publishes what one scoreboard holds, about once a second: what changed, or all if the store lost it."""

    def __init__(
        self, metrics: Metrics, board: Scoreboard, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._metrics = metrics
        self._board = board
        self._clock = clock
        self._number = ""  # of the last publication, if the store is known to hold it
        self._newest = 0
        self._said: dict[str, str] = {}  # with it
        self._written: dict[str, str] = {}  # with the last that went to the store's disk
        self._disk_due = 0.0
        # As what it is published, and what of it is counted in the store's base already.
        self.run, self._base = _continued(board)

    def own(self) -> Run:
        """Return what there is to publish."""
        totals = totals_of(self._board)
        add(totals, self._base, sign=-1)
        return Run(self._board.host, time.time(), time.monotonic_ns(), totals, gauges_of(self._board))

    def publish(self, *, last: bool = False) -> None:
        """Publish; raises what `Metrics` raises, and then the next time says everything.

        The `last` time it goes to the store's disk, as nobody will tell it again.
        """
        if last:
            self._disk_due = 0.0
        while (done := self._say(last=last)) != _DONE:
            if done == _FOLDED:
                self._go_on_as_another()

    def _say(self, *, last: bool) -> int:
        own = self.own()
        ended = "1" if last and self._alone() else ""
        about = {"host": own.host, "now": text_of(own.now or {}), "ended": ended}
        fields = {**_texts(own.totals), **about}
        after, self._number = self._number, ""
        to_disk = not after or self._clock() >= self._disk_due
        known = {} if not after else self._written if to_disk else self._said
        changed = {name: text for name, text in fields.items() if known.get(name) != text}
        # No run outlives the machine's start, and this clock is never set: what follows is always greater.
        self._newest = max(time.monotonic_ns(), self._newest + 1)
        number = str(self._newest)
        done = self._metrics.publish(self.run, after, number, changed, to_disk=to_disk)
        if done == _DONE:
            self._number, self._said = number, fields
            if to_disk:
                self._written, self._disk_due = fields, self._clock() + _DISK_SECONDS
        return done

    def _alone(self) -> bool:
        """Whether no other process counts any more."""
        return all(self._board.head(slot)[layout.PID] == os.getpid() for slot in self._board.live)

    def _go_on_as_another(self) -> None:
        """Begin a run with what is not in the base yet: this one was silent for long, and taken for ended."""
        run, base = _continued(self._board)
        if run == self.run:  # no other process of this host has found out before
            folded = self._metrics.folded(run)
            # If nobody knows how much: rather count too little than anything twice.
            add(base, self.own().totals if folded is None else folded)
            run += "+"  # two that find out at once go on as the same
            self._board.note(json.dumps([run, _texts(base)]))  # for the process that will replace this one
        self.run, self._base = run, base


def _continued(board: Scoreboard) -> tuple[str, Totals]:
    """Return the run that a scoreboard is published as, and what of it is in the base already."""
    if not board.noted:
        return board.run, {}
    run, texts = json.loads(board.noted)
    return run, _totals_in(texts)


def _run_of(columns: Mapping[str, str], heard: float, now: float) -> Run:
    fresh = now - heard <= FRESH_SECONDS
    gauges = counts_of(columns.get("now", "")) if fresh else None
    number = int(columns.get("number", 0))
    return Run(columns.get("host", ""), heard, number, _totals_in(columns), gauges)


def _texts(totals: Totals) -> dict[str, str]:
    return {row: text_of(counts) for row, counts in totals.items()}


def _totals_in(columns: Mapping[str, str]) -> Totals:
    return {row: counts_of(text) for row, text in columns.items() if row not in _ABOUT}
