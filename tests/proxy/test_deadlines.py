"""The sweep over deadlines; what a stream does when its own has passed is tested with streams."""

from __future__ import annotations

import time

import gevent

from lb.proxy.deadlines import Deadlines
from tests.proxy.rig import until


class Waiting:
    """Something that expires, once."""

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self.armed = time.monotonic()
        self.deadline = deadlines.now + seconds
        self.write_deadline = float("inf")
        self.expired_after = 0.0
        deadlines.streams.add(self)

    def expire(self, now: float) -> None:
        self.deadline = float("inf")
        self.expired_after = time.monotonic() - self.armed

    def close(self) -> None:
        pass


def test_each_expires_after_its_time_and_never_before(deadlines: Deadlines) -> None:
    waiting = [Waiting(deadlines, seconds) for seconds in (0.0, 0.05, 0.15)]
    for one, seconds in zip(waiting, (0.0, 0.05, 0.15), strict=True):
        until(lambda one=one: one.expired_after)  # type: ignore[misc]
        assert one.expired_after >= seconds


def test_those_that_expire_others_are_no_trouble(deadlines: Deadlines) -> None:
    """Ending one connection often closes another, which is then no longer there."""
    waiting = [Waiting(deadlines, 0) for _ in range(3)]
    for one in waiting:
        one.expire = lambda _now: deadlines.streams.clear()  # type: ignore[method-assign]
    until(lambda: not deadlines.streams)


def test_thousands_that_expire_together_let_others_have_turns(deadlines: Deadlines) -> None:
    in_turns = [0]

    class Counted(Waiting):
        def expire(self, now: float) -> None:
            super().expire(now)
            in_turns[-1] += 1

    watcher = gevent.get_hub().loop.check()
    watcher.start(lambda: in_turns.append(0))
    waiting = [Counted(deadlines, 0) for _ in range(1000)]
    until(lambda: all(one.expired_after for one in waiting))
    watcher.stop()
    watcher.close()
    assert sum(in_turns) == 1000
    assert max(in_turns) <= 2 * 64  # a sweep and the rest of the one before it


def test_one_that_is_gone_before_its_turn_came_does_not_expire(deadlines: Deadlines) -> None:
    waiting = [Waiting(deadlines, 0) for _ in range(1000)]
    until(lambda: any(one.expired_after for one in waiting))
    late = [one for one in waiting if not one.expired_after]
    assert late
    for one in late:
        deadlines.streams.discard(one)
    gevent.sleep(0.05)
    assert not any(one.expired_after for one in late)


def test_after_the_close_nothing_expires(deadlines: Deadlines) -> None:
    waiting = Waiting(deadlines, 0)
    deadlines.close()
    gevent.sleep(0.1)
    assert not waiting.expired_after
