"""When checks change a server's health: pure, so that every sequence of answers can be tested."""

from __future__ import annotations

from lb.model import Health


def observe(health: Health, streak: int, passed: bool, rise: int, fall: int) -> tuple[Health, int]:  # noqa: FBT001
    """Return health and streak after one more check.

    The streak counts checks in a row that contradict the health. `fall` failed ones take a server down,
    `rise` passed ones bring it up; a single check that agrees with the health starts the count anew.
    """
    if passed == (health is Health.UP):
        return health, 0
    needed, opposite = (fall, Health.DOWN) if health is Health.UP else (rise, Health.UP)
    if streak + 1 >= needed:
        return opposite, 0
    return health, streak + 1
