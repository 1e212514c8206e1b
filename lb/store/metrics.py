"""What all hosts have counted, kept in the store: each host publishes its own sums, and anyone adds them up.

A *run* is one life of a scoreboard, from `lb run` to its end. Its hash holds absolute numbers, so publishing
twice changes nothing, and a store that has lost them gets them back a second later. A run that has ended is
folded into the base: the sum over all stays the same, and what must be read does not grow with each restart.
What was folded is remembered for a while. If the host was only cut off, it goes on with what came after that.
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
from lb.store.values import column, printable, whole

#: A run that has published nothing for so long is taken to have ended.
ENDED_SECONDS = 600.0
#: For so long after a publication its gauges, which describe the present, count as true.
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
    number: int  # of that publication; it grows each time
    totals: Totals
    now: Counts | None  # the gauges of its workers; None if they are too old


@dataclass(frozen=True, slots=True)
class Figures:
    """What the whole fleet has counted."""

    runs: Mapping[str, Run] = field(default_factory=dict)
    base: Totals = field(default_factory=dict)  # of the runs that were folded
    since: str = ""  # unix seconds when the counting began
    whole: bool = True  # False while the figures of the other hosts are not known yet

    def lack(self, known: Figures) -> bool:
        """Whether these figures, as now read from the store, lack some that it is known to have held."""
        if known.since not in ("", self.since):
            return True
        return any(
            name in known.runs and run.number < known.runs[name].number for name, run in self.runs.items()
        )

    @property
    def totals(self) -> Totals:
        """The sum over all runs and the base."""
        totals: Totals = {}
        for part in (self.base, *(run.totals for run in self.runs.values())):
            add(totals, part)
        return totals


class Metrics:
    """Publishes and reads figures. Raises StoreUnavailableError and StoreError."""

    def __init__(self, connection: redis.Redis, keys: Keys) -> None:
        self._session = Session(connection, keys)
        self._keys = keys
        self._runs: Sequence[str] = ()  # those that there were at the last look

    def publish(
        self, run: str, after: str, number: str, fields: Mapping[str, str], *, to_disk: bool = False
    ) -> int:
        """Write fields into a run's hash if its last publication was number `after`; always if that is "".

        Returns 1 if done, 0 if the last publication was another, -1 if the run was folded.
        """
        words = (word for pair in fields.items() for word in pair)
        done: int = self._session.run(
            "publish", run, after, number, int(to_disk), *words, metrics_run=self._keys.metrics_run(run)
        )
        return done

    def figures(self) -> Figures:
        """Read what all hosts have counted, as of one instant."""
        for _ in range(_LOOKS):
            names = self._runs
            asked = [self._keys.metrics_run(run) for run in names]
            now, found, (base, *hashes) = self._session.run("totals", further_keys=asked)
            heard = dict(zip(found[::2], map(float, found[1::2]), strict=True))
            if set(heard) == set(names):
                columns = [column(flat) for flat in (base, *hashes)]
                rows = zip(names, columns[1:], strict=True)
                runs = {run: _run_of(columns, heard[run], float(now)) for run, columns in rows}
                return Figures(runs, _totals_in(columns[0]), columns[0].get("since", ""))
            self._runs = [*heard]
        raise StoreUnavailableError("the hosts of the fleet come and go too fast to add up what they count")

    def put_back(self, figures: Figures) -> bool:
        """Give these figures back to a store that has lost some of them; False if it holds them all.

        The runs are made to look one publication older, so that those that live publish everything again.
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
        """Add a run to the base if it was silent for so long; False if it was not, or if it has been added.

        `host_lives` says whether its host has another run, which goes on from the figures of this one.
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
        """Read how much of a folded run is in the base; None if it had said that it ends, or long ago."""
        [columns] = self._session.hashes([self._keys.metrics_run(run)])
        return _totals_in(columns) if columns else None


class Publisher:
    """Publishes what a scoreboard holds: what has changed, or everything if the store has lost it."""

    def __init__(
        self, metrics: Metrics, board: Scoreboard, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._metrics = metrics
        self._board = board
        self._clock = clock
        self._number = ""  # of the last publication, if the store is known to hold it
        self._newest = 0
        self._said: dict[str, str] = {}  # the fields of that publication
        self._written: dict[str, str] = {}  # those of the last one that went to the store's disk
        self._disk_due = 0.0
        # The run as which the board is published, and how much of it the store's base already contains.
        self.run, self._base = _continued(board)

    def own(self) -> Run:
        """Return what is to be published, as a run."""
        totals = totals_of(self._board)
        add(totals, self._base, sign=-1)
        return Run(self._board.host, time.time(), time.monotonic_ns(), totals, gauges_of(self._board))

    def publish(self, *, last: bool = False) -> None:
        """Publish. If `Metrics` raises, so does this, and the next publication says everything.

        The `last` publication goes to the store's disk, as nobody would repeat it.
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
        # This clock is never set back, and no run outlives the boot that it counts from: numbers always grow.
        self._newest = max(time.monotonic_ns(), self._newest + 1)
        number = str(self._newest)
        done = self._metrics.publish(self.run, after, number, changed, to_disk=to_disk)
        if done == _DONE:
            self._number, self._said = number, fields
            if to_disk:
                self._written, self._disk_due = fields, self._clock() + _DISK_SECONDS
        return done

    def _alone(self) -> bool:
        """Whether no other process counts on this board any more."""
        return all(self._board.head(slot)[layout.PID] == os.getpid() for slot in self._board.live)

    def _go_on_as_another(self) -> None:
        """Begin a run with what is not in the base yet: this one was silent, and taken to have ended."""
        run, base = _continued(self._board)
        if run == self.run:  # no other process of this host has found out before
            folded = self._metrics.folded(run)
            # If nobody knows how much that is, count too little rather than anything twice.
            add(base, self.own().totals if folded is None else folded)
            run += "+"  # two processes that find out at once go on as the same run
            self._board.note(json.dumps([run, _texts(base)]))  # for the process that will replace this one
        self.run, self._base = run, base


def _continued(board: Scoreboard) -> tuple[str, Totals]:
    """Return the run as which a board is published, and how much of it the base already contains."""
    if not board.noted:
        return board.run, {}
    run, texts = json.loads(board.noted)
    return run, _totals_in(texts)


def _run_of(columns: Mapping[str, str], heard: float, now: float) -> Run:
    fresh = now - heard <= FRESH_SECONDS
    gauges = counts_of(columns.get("now", "")) if fresh else None
    number = whole(columns.get("number"))
    return Run(printable(columns.get("host", "")), heard, number, _totals_in(columns), gauges)


def _texts(totals: Totals) -> dict[str, str]:
    return {row: text_of(counts) for row, counts in totals.items()}


def _totals_in(columns: Mapping[str, str]) -> Totals:
    return {printable(row): counts_of(text) for row, text in columns.items() if row not in _ABOUT}
