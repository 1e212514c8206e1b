"""When checks change a server's health. PURE, so that every sequence of outcomes can be tested."""

from __future__ import annotations

from lb.model import Health


def observe(health: Health, streak: int, passed: bool, rise: int, fall: int) -> tuple[Health, int]:  # noqa: FBT001
    """Return a server's health and streak after one more check.

    The streak is the number of consecutive checks that contradict the health. `fall` failed ones take a
    server down, `rise` passed ones bring it up. A single check that agrees resets it to zero.
    """
    if passed == (health is Health.UP):
        return health, 0
    needed, opposite = (fall, Health.DOWN) if health is Health.UP else (rise, Health.UP)
    if streak + 1 >= needed:
        return opposite, 0
    return health, streak + 1
