"""Turns for others where gevent hosts the application: in a process of its own, which gevent patches."""

from __future__ import annotations

import subprocess
import sys

from lb.proxy.fairness import RECEIVE_COST, TURN_BYTES
from lb.wsgi.turns import ReadSize, Turns

#: Counts what is done in each turn of gevent's loop while a response, and a request's body, is passed on.
_UNDER_GEVENT = f"""
from gevent import monkey
monkey.patch_all()
import gevent, time
from lb.wsgi.turns import ReadSize, Turns

counts = [0]
watcher = gevent.get_hub().loop.check()
watcher.start(lambda: counts.append(0))

turns = Turns()
for _ in range(64):
    turns.spend(1)
    counts[-1] += 1
assert max(counts) <= {TURN_BYTES // RECEIVE_COST}, counts

now = [0.0]
size = ReadSize(65536, lambda: now[0])


def read(seconds):
    begun = size.begin()
    now[0] += seconds
    size.end()
    return begun


assert [read(0.0001) for _ in range(12)] == [64 << min(n, 10) for n in range(12)]
assert [read(0.001) for _ in range(3)] == [65536] * 3
assert [read(0.003) for _ in range(7)] == [65536, 16384, 4096, 1024, 256, 64, 64]
before = len(counts)
size.begin()
size.end()
assert len(counts) > before, "no turn for the others"
"""


def test_under_gevent_others_have_their_turns_and_slow_reads_get_small() -> None:
    subprocess.run([sys.executable, "-c", _UNDER_GEVENT], check=True, timeout=60)


def test_threads_read_as_much_as_they_can() -> None:
    size = ReadSize(65536)
    for _ in range(3):
        assert size.begin() == 65536
        size.end()
    turns = Turns()
    for _ in range(64):
        turns.spend(65536)
