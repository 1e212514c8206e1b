"""What is done when: a schedule is all chance, drawn in advance from its seed. PURE."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

#: What can be done, and how often compared to the others.
ACTS = {
    "kill_worker": 4,
    "freeze_worker": 3,
    "kill_checker": 2,
    "freeze_checker": 2,
    "kill_api": 1,
    "kill_store": 3,
    "freeze_store": 3,
    "restart_store": 1,
    "flush": 2,
    "kill_host": 2,
    "kill_server": 2,
    "slow_server": 2,
    "add": 3,
    "remove": 2,
    "drain": 4,
    "undrain": 4,
    "maint": 2,
    "weigh": 3,
    "choose_strategy": 2,
}

#: Everything heals, and the picks are counted one by one.
CALM = "calm"
CALM_EVERY_SECONDS = 12.0


@dataclass(frozen=True, slots=True)
class Step:
    """One act: after a pause, upon a target and with a duration that `chance` chooses, each from 0 to 1."""

    pause_seconds: float
    act: str
    target: float = 0.0
    chance: float = 0.0

    def __str__(self) -> str:
        return f"{self.pause_seconds:5.2f} s  {self.act} {self.target:.3f} {self.chance:.3f}"


def make(seed: int, seconds: float) -> list[Step]:
    """Draw a schedule of about so many seconds; it ends in calm."""
    return list(_draw(random.Random(seed), seconds))


def _draw(chance: random.Random, seconds: float) -> Iterator[Step]:
    elapsed, calm_due = 0.0, min(CALM_EVERY_SECONDS, seconds)
    while elapsed < seconds:
        pause = chance.uniform(0.1, 1.6)
        elapsed += pause
        [act] = chance.choices(list(ACTS), list(ACTS.values()))
        yield Step(pause, act, chance.random(), chance.random())
        if elapsed >= calm_due:
            calm_due += CALM_EVERY_SECONDS
            yield Step(1.0, CALM)
    yield Step(1.0, CALM)
